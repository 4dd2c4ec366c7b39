"""What keeps us from wearing an authority out, and what it tells us by itself: budgets, limits, renewal information,
orders that are gone on with, failures that others need not repeat."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import ssl
import time
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from acme_page import options, serving
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from pebble_ca import Pebble, free_port
from small_servers import Answer, json_server

from edgerouter.certs.acme import state
from edgerouter.certs.acme.account import seconds_of
from edgerouter.certs.acme.authority import Authority, renewal_id
from edgerouter.certs.acme.budget import Budget, registered_domain
from edgerouter.certs.acme.ordering import Ordering
from edgerouter.certs.acme.provider import AcmeProvider
from edgerouter.certs.acme.refused import Refused
from edgerouter.certs.acme.state import Attempt
from edgerouter.certs.acme.stores.file import FileStorage
from edgerouter.certs.acme.together import Together
from edgerouter.certs.acme.tokens import HttpProver, Tokens
from edgerouter.certs.acme.wanted import Wanted
from edgerouter.config.resolvers import Acme

NAMES = ("a.example.com",)


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[Pebble]:
    with Pebble(tmp_path, free_port(), free_port()).running() as authority:
        yield authority


@contextlib.contextmanager
def front(pebble: Pebble, limited: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Pebble's directory with renewal information, which its Debian package lacks: the first certificate that is asked
    for is to be renewed at once, others in a month. ``limited``: new orders are refused for two hours."""
    asked: list[str] = []

    def answer(method: str, path: str, headers: Message, body: Any) -> Answer:
        if method == "POST":
            asked.append("order")
            problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates"}
            return 429, problem, {"Retry-After": "7200"}
        own = f"http://{headers['Host']}"
        if path == "/dir":
            with urllib.request.urlopen(pebble.directory, context=ssl._create_unverified_context()) as response:
                found = json.load(response) | {"renewalInfo": f"{own}/ari"}
            return 200, found | ({"newOrder": f"{own}/order"} if limited else {})
        asked.append(path.rpartition("/")[2])
        start = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=-2 if asked[-1] == asked[0] else 30)
        window = {"start": start.isoformat(), "end": (start + datetime.timedelta(days=1)).isoformat()}
        return 200, {"suggestedWindow": window}

    with json_server(answer) as url:
        yield f"{url}/dir", asked


def ordering(acme: Acme, path: Path, tokens: Tokens) -> Ordering:
    storage = FileStorage(str(path))
    authority = Authority(acme, storage, "le", [HttpProver(tokens, 0)])
    budget = Budget(storage, "le", acme.budget.per_domain, float(acme.budget.period))
    return Ordering(authority, Together(storage, "le"), None, False, budget)


def run(one: Ordering, *names: str) -> Any:
    return one.run(Attempt(names=names or NAMES), None, lambda: None)


def orders(pebble: Pebble) -> int:
    return (pebble.folder / "pebble.log").read_text().count("Added order ")


# -- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("example.com", "example.com"),
        ("*.a.b.example.com", "example.com"),
        ("a.example.co.uk", "example.co.uk"),
        ("example.de", "example.de"),
        ("a.abc.de", "abc.de"),
        ("shop.a.github.io", "a.github.io"),
        ("github.io", "github.io"),
        ("a.b.c.internal", "c.internal"),
        ("A.Example.COM", "example.com"),
    ],
)
def test_registered_domains(name: str, domain: str) -> None:
    assert registered_domain(name) == domain


def test_a_budget_is_kept_over_restarts_and_for_each_domain(tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path / "acme.json"))
    for name in ("a.example.com", "b.example.com"):
        Budget(storage, "le", 2, 3600).spend((name,))
    with pytest.raises(Refused, match=r"2 orders for example.com in 1 hours are our own limit") as failure:
        Budget(storage, "le", 2, 3600).spend(("c.example.com",))
    assert failure.value.code == "BUDGET" and 3590 < failure.value.after <= 3600
    with pytest.raises(Refused):
        Budget(storage, "le", 2, 3600).spend(("x.other.com", "c.example.com"))
    Budget(storage, "le", 2, 3600).spend(("x.other.com",))
    Budget(storage, "le", 0, 3600).spend(("c.example.com",))
    Budget(storage, "le", 2, 0.0).spend(("c.example.com",))
    Budget(storage, "le", 0, 3600).hold(("a.example.com",), 7200, "too many")
    with pytest.raises(Refused, match=r"orders for example\.com for a time: too many") as failure:
        Budget(storage, "le", 0, 3600).spend(("b.example.com",))
    assert failure.value.code == "RATE_LIMITED" and 7100 < failure.value.after <= 7200


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("", 0.0),
        ("soon", 0.0),
    ],
)
def test_retry_after(text: str, seconds: float) -> None:
    assert seconds_of(text, 40.0) == seconds


def test_a_limit_of_the_authority_is_waited_for_by_all_of_the_domain(pebble: Pebble, tmp_path: Path) -> None:
    with front(pebble, limited=True) as (directory, asked):
        acme = Acme(ca_server=directory, ca_certificates=(str(pebble.ca),))
        one = ordering(acme, tmp_path / "acme.json", Tokens())
        for names in (("a.example.com",), ("b.example.com",), ("b.example.com",)):
            attempt = run(one, *names).attempt
            assert attempt.code == "RATE_LIMITED" and 7000 < attempt.next_attempt - time.time() <= 7201
            assert "too many certificates" in attempt.error
        assert asked == ["order"]
        kept = FileStorage(str(tmp_path / "acme.json")).keys("le/orders/")
        assert kept == [], "a key of an order that there is not"


# -- orders and failures ----------------------------------------------------------------------------------------------


def test_an_order_that_was_cut_short_is_gone_on_with(pebble: Pebble, tmp_path: Path) -> None:
    class Late(HttpProver):
        def show(self, name: str, token: str, authorization: str, validation: str) -> None:
            raise Refused("NOT_LIVE", "the router ended here")

    storage = FileStorage(str(tmp_path / "acme.json"))
    with pytest.raises(Refused):
        Authority(options(pebble), storage, "le", [Late(Tokens(), 0)]).obtain(NAMES)
    key = json.loads(storage.get("le/orders/a.example.com") or "")["key"]
    tokens = Tokens()
    authority = Authority(options(pebble), storage, "le", [HttpProver(tokens, 0)])
    with serving(tokens, pebble.http_port):
        assert authority.obtain(NAMES).key == key
        assert orders(pebble) == 1
        assert authority.obtain(NAMES).key == key, "the certificate was not kept: it is fetched again"
        assert orders(pebble) == 1
        authority.done(NAMES)
        assert authority.obtain(NAMES).key != key
        assert orders(pebble) == 2


def test_an_account_that_the_authority_lost_is_made_again(pebble: Pebble, tmp_path: Path) -> None:
    tokens, storage = Tokens(), FileStorage(str(tmp_path / "acme.json"))
    with serving(tokens, pebble.http_port):
        Authority(options(pebble), storage, "le", [HttpProver(tokens, 0)]).obtain(NAMES)
        account = json.loads(storage.get("le/account") or "")
        storage.put("le/account", json.dumps(account | {"uri": account["uri"] + "0123"}))
        Authority(options(pebble), storage, "le", [HttpProver(tokens, 0)]).obtain(("b.example.com",))
    assert json.loads(storage.get("le/account") or "") == account


def test_a_failure_is_not_repeated_by_others_nor_after_a_restart(pebble: Pebble, tmp_path: Path) -> None:
    first = run(ordering(options(pebble), tmp_path / "acme.json", Tokens()))
    assert first.ours and first.attempt.code == "CHALLENGE_FAILED" and orders(pebble) == 1
    other = ordering(options(pebble), tmp_path / "acme.json", Tokens())
    second = run(other)
    assert not second.ours and second.attempt == first.attempt and orders(pebble) == 1
    tokens = Tokens()
    fixed = ordering(options(pebble), tmp_path / "acme.json", tokens)
    with serving(tokens, pebble.http_port):
        wanted_now = Attempt(names=NAMES, asked=first.attempt.next_attempt)
        assert fixed.run(wanted_now, None, lambda: None).issued is not None
        assert run(other).issued is not None and orders(pebble) == 2, "the others take what is there"


def test_a_name_that_another_router_orders_is_waited_for(tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path / "acme.json"))
    assert storage.lock("le/a.example.com", "another router", 60)
    nobody = Acme(ca_server="http://127.0.0.1:1/dir")
    ended = run(ordering(nobody, tmp_path / "acme.json", Tokens()))
    assert ended.attempt.state == state.WAITING and "another router" in ended.attempt.error and not ended.ours


# -- renewal information ----------------------------------------------------------------------------------------------


def test_the_identifier_of_a_certificate() -> None:
    """The example of RFC 9773 section 4.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(0x87654321)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.AuthorityKeyIdentifier(identifier, None, None), critical=False)
        .sign(key, hashes.SHA256())
    )
    assert renewal_id(certificate.public_bytes(Encoding.PEM).decode()) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


async def test_a_certificate_that_the_authority_wants_replaced_is_renewed_at_once(
    pebble: Pebble, tmp_path: Path
) -> None:
    """So it is with one that was revoked: its window lies in the past."""
    tokens = Tokens()
    with front(pebble) as (directory, asked), serving(tokens, pebble.http_port):
        acme = Acme(ca_server=directory, ca_certificates=(str(pebble.ca),))
        storage = FileStorage(str(tmp_path / "acme.json"))
        provider = AcmeProvider("le", acme, storage, [HttpProver(tokens, 0)], None)
        provider.want({NAMES: Wanted(NAMES, "r@file")}, frozenset())
        watching = provider.watch()
        async with asyncio.timeout(60):
            async for snapshot in watching:
                when = snapshot.workloads[0].detail.get("next attempt", "") if snapshot.workloads else ""
                if len(set(asked)) == 2 and when and when < in_days(32):
                    break
        await watching.aclose()
    assert in_days(29) < when
    assert orders(pebble) == 2 and len(snapshot.configuration.tls.certificates) == 1


def in_days(days: int) -> str:
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)).isoformat()
