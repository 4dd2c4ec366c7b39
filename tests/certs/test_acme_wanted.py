"""Which certificates routers want, and when each is tried: tables."""

from __future__ import annotations

import pytest

from edgerouter.certs.acme import state
from edgerouter.certs.acme.state import Attempt
from edgerouter.certs.acme.wanted import covers, hosts, is_name, wanted
from edgerouter.config.dynamic import Domain, DynamicConfiguration, HttpConfiguration, Router, RouterTLS
from edgerouter.config.static import EntryPoint, EntryPointHttp, EntryPointTLS
from edgerouter.contracts.snapshot import Snapshot


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("Host(`a.test`)", ["a.test"]),
        ("Host(`A.Test.`) && PathPrefix(`/x`)", ["a.test"]),
        ("Host(`a.test`) || Host(`b.test`)", ["a.test", "b.test"]),
        ("(Host(`a.test`) || Host(`b.test`)) && Method(`GET`)", ["a.test", "b.test"]),
        ("Host(`*.a.test`)", ["*.a.test"]),
        ("Host(`a.test`) && !Host(`b.test`)", ["a.test"]),
        ("HostRegexp(`^.+\\.a\\.test$`)", []),
        ("Host(`localhost`)", []),
        ("Host(`192.0.2.1`)", []),
        ("PathPrefix(`/`)", []),
        ("Host(", []),
    ],
)
def test_names_of_rules(rule: str, names: list[str]) -> None:
    assert hosts(rule) == names


@pytest.mark.parametrize("name", ["a.test", "*.a.test", "xn--bcher-kva.test", "_x.a.test", "a-b.c-d.test"])
def test_names_that_can_be_certified(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "a", "*.test.*", "*.*.test", "-a.test", "a..test", "a.test.", "bücher.test", "1.2.3.4"]
)
def test_names_that_cannot(name: str) -> None:
    assert not is_name(name)


def asked(router: Router, point: EntryPointTLS | None = None) -> dict[str, list[tuple[str, ...]]]:
    http = HttpConfiguration(routers={"r": router})
    points = {"web": EntryPoint(http=EntryPointHttp(tls=point))}
    found = wanted({"file": Snapshot(configuration=DynamicConfiguration(http=http))}, points)
    return {resolver: list(names) for resolver, names in found.items()}


def test_routers_and_entry_points_ask() -> None:
    rule = "Host(`a.test`) || Host(`b.test`)"
    own = RouterTLS(cert_resolver="le")
    assert asked(Router(rule=rule, tls=own)) == {"le": [("a.test", "b.test")]}
    domains = (Domain(main="*.a.test", sans=("a.test",)), Domain(main="c.test"))
    assert asked(Router(rule=rule, tls=RouterTLS(cert_resolver="le", domains=domains))) == {
        "le": [("*.a.test", "a.test"), ("c.test",)]
    }
    assert asked(Router(rule=rule, tls=RouterTLS())) == {}
    assert asked(Router(rule=rule)) == {}
    assert asked(Router(rule=rule, entry_points=("web",)), EntryPointTLS(cert_resolver="le")) == {
        "le": [("a.test", "b.test")]
    }
    assert asked(Router(rule=rule, entry_points=("web",), tls=own), EntryPointTLS(cert_resolver="other")) == {
        "le": [("a.test", "b.test")]
    }


def test_an_entry_points_resolver_counts_for_routers_that_name_no_entry_point() -> None:
    http = HttpConfiguration(routers={"r": Router(rule="Host(`a.test`)")})
    snapshots = {"file": Snapshot(configuration=DynamicConfiguration(http=http))}
    points = {"web": EntryPoint(), "websecure": EntryPoint(http=EntryPointHttp(tls=EntryPointTLS(cert_resolver="le")))}
    assert list(wanted(snapshots, points, ("web", "websecure"))["le"]) == [("a.test",)]
    assert wanted(snapshots, points, ("web",)) == {}


@pytest.mark.parametrize(
    ("given", "names", "answer"),
    [
        (("a.test",), ("a.test",), True),
        (("*.a.test",), ("b.a.test", "c.a.test"), True),
        (("*.a.test",), ("a.test",), False),
        (("*.a.test",), ("x.b.a.test",), False),
        (("*.a.test", "a.test"), ("a.test", "b.a.test"), True),
        (("a.test",), ("*.a.test",), False),
    ],
)
def test_what_a_certificate_covers(given: tuple[str, ...], names: tuple[str, ...], answer: bool) -> None:
    assert covers(given, names) is answer


DAY = 86_400.0


@pytest.mark.parametrize(
    ("lifetime", "ahead"),
    [
        (398 * DAY, 120 * DAY),
        (90 * DAY, 30 * DAY),
        (45 * DAY, 10 * DAY),
        (6 * DAY, 2 * DAY),
        (DAY, 6 * 3600.0),
        (3600.0, 1200.0),
    ],
)
def test_renewal_by_lifetime_and_spread(lifetime: float, ahead: float) -> None:
    assert state.renewal_of(0, lifetime, 0) == pytest.approx(lifetime - ahead)
    assert state.renewal_of(0, lifetime, 1) == pytest.approx(lifetime - ahead * 1.1)


def test_failures_wait_longer_each_time_up_to_a_day() -> None:
    attempt, waits = Attempt(names=("a.test",)), []
    for _ in range(16):
        attempt = state.failed(attempt, 1000.0, "DNS", "words")
        waits.append(attempt.next_attempt - 1000.0)
    assert waits[:4] == [60, 120, 240, 480] and waits[-1] == DAY
    assert not state.due(attempt, 1000.0) and state.due(attempt, attempt.next_attempt)
    asked, waits = Attempt(names=("a.test",)), []
    for _ in range(4):
        asked = state.failed(asked, 1000.0, "CHALLENGE_FAILED", "words")
        waits.append(asked.next_attempt - 1000.0)
    assert waits == [60, 240, 960, 3840], "five failures in an hour are too many"
    assert state.failed(attempt, 0.0, "RATE_LIMITED", "").next_attempt == state.UNSAID
    assert state.failed(attempt, 0.0, "RATE_LIMITED", "", after=3 * DAY).next_attempt == 3 * DAY
    fresh = state.issued(attempt, 1000.0, 0.0, 90 * DAY, 0.0)
    assert (fresh.failures, fresh.error, fresh.next_attempt) == (0, "", 60 * DAY)
