"""Every name with its state, source, expiry, next attempt and last error, from the ledger and from the view."""

from __future__ import annotations

from edgerouter.certs.acme import state
from edgerouter.certs.acme.lines import line
from edgerouter.certs.acme.numbers import Numbers
from edgerouter.certs.acme.state import Attempt
from edgerouter.control.certificate_lines import CertificateLine, certificate_lines, certificates_text
from edgerouter.control.ledger import Ledger
from edgerouter.control.view import CertificateView, View

NOW = 1_800_000_000.0
DAY = 86_400.0
GOOD = state.issued(Attempt(names=("a.test", "b.test"), router="shop@docker"), NOW, NOW - 10 * DAY, NOW + 80 * DAY, 0.0)
BAD = state.failed(
    Attempt(names=("c.test",), router="c@file"), NOW, "CAA", "c.test: the CAA record allows 'x'", "add this authority"
)
TWICE = state.failed(BAD, NOW, "RATE_LIMITED", "too many", after=3600)
COVERED = Attempt(names=("d.test",), state=state.COVERED)


def view() -> View:
    ledger = Ledger()
    ledger.update((("le.acme", line("le", one)) for one in (GOOD, BAD, COVERED)), NOW)
    served = [
        CertificateView(name="1" * 64, source="tls.certificates[0] of le.acme", provider="le.acme", names=GOOD.names),
        CertificateView(name="2" * 64, source="/certs/x.pem", provider="file", names=("x.test",), not_after=NOW + DAY),
        CertificateView(name="/certs/y.pem", source="/certs/y.pem", provider="file", status="disabled", errors=("no",)),
        CertificateView(name="3" * 64, source="generated", default=True, names=("z.default",), not_after=1.0),
    ]
    return View(ledger=ledger.lines(NOW), certificates={one.name: one for one in served})


def test_each_name_once_those_first_that_need_somebody() -> None:
    lines = certificate_lines(view())
    assert [(one.state, one.names, one.source) for one in lines] == [
        ("FAILED", ("c.test",), "resolver le"),
        ("BROKEN", ("/certs/y.pem",), "/certs/y.pem"),
        ("ISSUED", ("a.test", "b.test"), "resolver le"),
        ("SERVED", ("x.test",), "/certs/x.pem"),
        ("COVERED", ("d.test",), "resolver le"),
    ]
    assert lines[0] == CertificateLine(
        names=("c.test",),
        state="FAILED",
        source="resolver le",
        router="c@file",
        next_attempt="2027-01-15T08:01:00Z",
        failures=1,
        code="CAA",
        error="c.test: the CAA record allows 'x'",
        fix="add this authority",
    )
    assert lines[2].expires == "2027-04-05T08:00:00Z" and lines[2].next_attempt == "2027-03-06T08:00:00Z"


def test_as_people_read_it() -> None:
    text = certificates_text(certificate_lines(view()), NOW)
    assert text.splitlines() == [
        "FAILED     c.test  resolver le  c@file",
        "    CAA: c.test: the CAA record allows 'x'",
        "    fix: add this authority",
        "    failed once, next attempt 2027-01-15T08:01:00Z; now: edgerouter certificates retry c.test",
        "BROKEN     /certs/y.pem  /certs/y.pem",
        "    no",
        "ISSUED     a.test, b.test  expires 2027-04-05 (80 days left)  resolver le  shop@docker",
        "    renewed from 2027-03-06T08:00:00Z",
        "SERVED     x.test  expires 2027-01-16 (24 hours left)  /certs/x.pem",
        "COVERED    d.test  resolver le",
    ]
    assert certificates_text([], NOW).startswith("no certificate is served or wanted")


def test_metrics_of_a_resolver() -> None:
    numbers = Numbers("le")
    for code in ("", "CAA", "CAA", "DNS"):
        numbers.attempt(code)
    found = {}
    for sample in numbers.samples([GOOD, TWICE, COVERED], NOW):
        labels = (value for name, value in sample.labels.items() if name != "resolver")
        found[(sample.name.removeprefix("edgerouter_acme_"), *labels)] = sample.value
    assert found == {
        ("attempts_total",): 4,
        ("failures_total", "CAA"): 2,
        ("failures_total", "DNS"): 1,
        ("certificates", "ISSUED"): 1,
        ("certificates", "FAILED"): 1,
        ("certificates", "COVERED"): 1,
        ("certificate_expiry_seconds", "a.test", "a.test,b.test"): 80 * DAY,
        ("next_attempt_seconds", "a.test", "a.test,b.test"): 50 * DAY,
        ("next_attempt_seconds", "c.test", "c.test"): 3600,
    }
