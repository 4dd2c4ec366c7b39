"""Who may have a certificate on demand: rules that may take a name, the ask URL's word, bounds, and the budget."""

from __future__ import annotations

import asyncio
import datetime
import time
from pathlib import Path

import pytest
from ask_server import AskServer

from edgerouter.certs.acme import demand as limits
from edgerouter.certs.acme import state
from edgerouter.certs.acme.authority import Authority, Issued
from edgerouter.certs.acme.budget import Budget, DemandBudget
from edgerouter.certs.acme.demand import Demand
from edgerouter.certs.acme.demanded import Demanded
from edgerouter.certs.acme.numbers import Numbers
from edgerouter.certs.acme.open_rules import may_take, open_rules
from edgerouter.certs.acme.ordering import Ordering
from edgerouter.certs.acme.provider import AcmeProvider
from edgerouter.certs.acme.refused import Refused
from edgerouter.certs.acme.state import Attempt
from edgerouter.certs.acme.stores.file import FileStorage
from edgerouter.certs.acme.together import Together
from edgerouter.certs.acme.tokens import HttpProver, Tokens
from edgerouter.certs.acme.wanted import Names, is_name
from edgerouter.certs.local.ca import open_authority
from edgerouter.config.dynamic import Domain, DynamicConfiguration, HttpConfiguration, Router, RouterTLS
from edgerouter.config.resolvers import Acme, OnDemand
from edgerouter.config.static import EntryPoint, EntryPointHttp, EntryPointTLS
from edgerouter.config.types import Duration
from edgerouter.contracts.snapshot import Snapshot


@pytest.mark.parametrize(
    ("rule", "host", "answer"),
    [
        ("PathPrefix(`/`)", "a.test", True),
        ("HostRegexp(`^[a-z]+[.]shop[.]test$`)", "a.shop.test", True),
        ("HostRegexp(`^[a-z]+[.]shop[.]test$`)", "a.other.test", False),
        ("HostRegexp(`^[a-z]+[.]shop[.]test$`) && PathPrefix(`/x`)", "a.other.test", False),
        ("HostRegexp(`^[a-z]+[.]shop[.]test$`) || PathPrefix(`/x`)", "a.other.test", True),
        ("PathPrefix(`/`) && !Host(`admin.test`)", "admin.test", False),
        ("PathPrefix(`/`) && !Host(`admin.test`)", "a.test", True),
        ("!(PathPrefix(`/`) && Host(`admin.test`))", "admin.test", True),
        ("Host(`*.shop.test`)", "a.shop.test", True),
        ("Host(`*.shop.test`)", "a.b.shop.test", False),
        ("Host(`*`)", "a.test", True),
        ("Header(`X`, `y`)", "a.test", True),
        ("HostRegexp(`(`)", "a.test", False),
        ("Host(", "a.test", False),
    ],
)
def test_rules_that_may_take_a_name(rule: str, host: str, answer: bool) -> None:
    assert may_take(rule, host) is answer


def found(router: Router, stars: bool = True, point: EntryPointTLS | None = None) -> dict[str, tuple[str, ...]]:
    http = HttpConfiguration(routers={"r": router})
    points = {"web": EntryPoint(http=EntryPointHttp(tls=point)), "other": EntryPoint()}
    snapshots = {"file": Snapshot(configuration=DynamicConfiguration(http=http))}
    return open_rules(snapshots, points, ("web", "other"), {"le": stars}).get("le", {})


def test_which_rules_are_open_and_where() -> None:
    le = RouterTLS(cert_resolver="le")
    assert found(Router(rule="PathPrefix(`/`)", tls=le)) == {"web": ("PathPrefix(`/`)",), "other": ("PathPrefix(`/`)",)}
    assert found(Router(rule="PathPrefix(`/`)", tls=le, entry_points=("web",))) == {"web": ("PathPrefix(`/`)",)}
    assert found(Router(rule="Host(`a.test`)", tls=le)) == {}
    assert list(found(Router(rule="Host(`*.a.test`)", tls=le))) == ["web", "other"]
    assert found(Router(rule="Host(`*.a.test`)", tls=le), stars=False) == {}, "ordered as it stands"
    assert found(Router(rule="PathPrefix(`/`)", tls=RouterTLS())) == {}
    assert found(Router(rule="PathPrefix(`/`)", tls=RouterTLS(cert_resolver="other"))) == {}
    domains = (Domain(main="a.test"),)
    assert found(Router(rule="PathPrefix(`/`)", tls=RouterTLS(cert_resolver="le", domains=domains))) == {}
    assert list(found(Router(rule="PathPrefix(`/`)"), point=EntryPointTLS(cert_resolver="le"))) == ["web"]


def test_the_budget_is_kept_over_restarts_and_has_room_again(tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path / "acme.json"))
    for _ in range(2):
        DemandBudget(storage, "le", 2, 3600).spend()
    with pytest.raises(Refused, match="2 new certificates on demand within 3600 s are our own limit") as failure:
        DemandBudget(storage, "le", 2, 3600).spend()
    assert failure.value.code == "ON_DEMAND_BUDGET" and 3590 < failure.value.after <= 3600
    DemandBudget(storage, "other", 2, 3600).spend()
    DemandBudget(storage, "le", 2, 0.0).spend()
    with pytest.raises(Refused):
        DemandBudget(storage, "le", 0, 3600).spend()


# -- the ask URL ------------------------------------------------------------------------------------------------------


def demand(url: str) -> Demand:
    made = Demand("le", OnDemand(ask=url, interval=Duration(60)), Numbers("le"), lambda: None)
    made.rules = {"web": ("HostRegexp(`[.]test$`)",)}
    return made


async def test_a_name_is_asked_about_once_and_only_200_is_a_yes() -> None:
    async with AskServer("a.test") as ask:
        one = demand(ask.url)
        assert (await one.verdict("a.test", "web")).code == ""
        for _ in range(3):
            verdict = await one.verdict("b.test", "web")
        assert verdict.code == "ASK_DENIED" and "answered 403, and only 200 is a yes" in verdict.words
        assert (await one.verdict("a.example", "web")).code == "NO_ROUTER"
        assert (await one.verdict("a.test", "other")).code == "NO_ROUTER"
        for name in ("not a name.test", "\x1b[2J.test", "<b>.test", "*.test"):
            assert (await one.verdict(name, "web")).code == "BAD_NAME"
        assert ask.asked == ["a.test", "b.test"]
        one.forget("b.test")
        for status in (204, 302):
            ask.status = status
            assert (await one.verdict(f"s{status}.test", "web")).code == "ASK_DENIED"
        shown = {line.name: line.verdict for line in one.workloads()}
        assert shown["s204.test"] == "REFUSED_ASK_DENIED" and "b.test" not in shown
        assert all(is_name(name) for name in shown), shown
        assert "s3cret" not in str(one.workloads()) and one.problems() == ()


async def test_a_url_that_does_not_answer_is_a_problem_until_it_does() -> None:
    async with AskServer("a.test", "b.test") as ask:
        one = demand(ask.url)
        ask.status = 500
        assert (await one.verdict("a.test", "web")).code == "ASK_UNREACHABLE"
        (problem,) = one.problems()
        assert problem.path == "certificatesResolvers.le.acme.onDemand.ask" and "answered 500" in problem.message
        assert "s3cret" not in str(problem)
        ask.status = 0
        assert (await one.verdict("b.test", "web")).code == "" and one.problems() == ()
    verdict = await one.verdict("c.test", "web")
    assert verdict.code == "ASK_UNREACHABLE" and "does not answer" in verdict.words and "s3cret" not in verdict.words


async def test_a_flood_costs_few_questions_and_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_REMEMBERED", 20)
    async with AskServer() as ask:
        one = demand(ask.url)
        began = time.time()
        codes = [
            verdict.code for verdict in await asyncio.gather(*(one.verdict(f"n{i}.test", "web") for i in range(2000)))
        ]
        assert codes.count("ASK_DENIED") == len(ask.asked) and set(codes) == {"ASK_DENIED", "BUSY"}
        assert len(ask.asked) <= limits.MOST_A_SECOND * (time.time() - began + 2)
        for number in range(30):
            await one.verdict(f"m{number}.test", "web")
        assert len(one.workloads()) <= limits.SHOWN and len(one._refused) <= 20


async def test_a_spent_budget_is_said_without_asking() -> None:
    async with AskServer("a.test") as ask:
        one = demand(ask.url)
        one.closed = time.time() + 100
        verdict = await one.verdict("a.test", "web")
        assert verdict.code == "ON_DEMAND_BUDGET" and 98 < verdict.until - time.time() <= 100 and ask.asked == []


# -- among the resolver's certificates --------------------------------------------------------------------------------


class Held:
    """What a resolver holds, and what those who wait are told."""

    def __init__(self, one: Demand, *certificates: Names) -> None:
        self.attempts: dict[Names, Attempt] = {}
        self.refused: list[float] = []
        self.turned = asyncio.Event()
        self.demanded = Demanded(one, self.attempts, set(certificates), self.turned.set)

    def ask(self, name: str) -> None:
        self.demanded.ask(name, "web", self.refused.append)


async def test_a_name_that_failed_is_tried_again_when_its_time_has_come_and_a_client_comes() -> None:
    names = ("a.test",)
    async with AskServer("a.test") as ask:
        held = Held(demand(ask.url))
        held.ask("a.test")
        held.ask("a.test")
        await asyncio.wait_for(held.turned.wait(), 20)
        assert held.attempts[names].state == state.WAITING and ask.asked == ["a.test"] and held.refused == []
        failed = state.failed(held.attempts[names], time.time(), "NXDOMAIN", "no")
        held.attempts[names] = failed
        held.demanded.settled(failed)
        assert len(held.refused) == 2 and all(50 < seconds <= 60 for seconds in held.refused)
        held.ask("a.test")
        assert len(held.refused) == 3 and held.demanded.sleeps(failed) and ask.asked == ["a.test"]
        held.attempts[names] = state.failed(held.attempts[names], time.time() - 1000, "NXDOMAIN", "no")
        held.turned.clear()
        held.ask("a.test")
        await asyncio.wait_for(held.turned.wait(), 20)
        assert held.attempts[names].state == state.WAITING and held.attempts[names].failures == 2


async def test_names_that_routers_spell_out_are_not_asked_about() -> None:
    async with AskServer("a.test") as ask:
        held = Held(demand(ask.url))
        held.demanded.spelled = {"a.test": ("a.test", "b.test"), "*.c.test": ("*.c.test",)}
        held.attempts[("a.test", "b.test")] = Attempt(names=("a.test", "b.test"), state=state.ORDERING)
        held.ask("a.test")
        assert held.refused == [], "it comes with the others"
        held.ask("x.c.test")
        assert len(held.refused) == 1 and ask.asked == []


async def test_a_renewal_is_asked_about_again() -> None:
    names = ("a.test",)
    async with AskServer("a.test") as ask:
        held = Held(demand(ask.url), names)
        have = Attempt(names=names, state=state.ISSUED, demanded=True, not_after=time.time() + 1000)
        assert await held.demanded.renewal(have) is None
        ask.allowed.clear()
        parked = await held.demanded.renewal(have)
        assert parked is not None and (parked.state, parked.code) == (state.PARKED, "ASK_DENIED")
        assert "it is not renewed" in parked.error and not held.demanded.over(parked, time.time())
        assert held.demanded.over(parked, time.time() + 1001)
        ask.status = 503
        failed = await held.demanded.renewal(have)
        assert failed is not None and failed.code == "ASK_UNREACHABLE" and not held.demanded.sleeps(failed)
        gone = await held.demanded.renewal(Attempt(names=("a.example",), state=state.ISSUED, demanded=True))
        assert gone is not None and gone.code == "NO_ROUTER"


async def test_names_without_certificates_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgerouter.certs.acme.demanded.MOST_WITHOUT", 3)
    everything = [f"n{number}.test" for number in range(5)]
    async with AskServer(*everything) as ask:
        held = Held(demand(ask.url))
        for name in everything:
            held.turned.clear()
            held.ask(name)
            await asyncio.wait_for(held.turned.wait(), 20)
            held.attempts[(name,)] = state.failed(held.attempts[(name,)], time.time(), "NXDOMAIN", "no")
        assert [names[0] for names in held.attempts] == everything[2:]


def test_what_nobody_may_have_any_longer_leaves_the_storage(tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path / "acme.json"))
    together = Together(storage, "le")
    authority = Authority(Acme(), storage, "le", [])
    ordering = Ordering(authority, together, None, False, Budget(storage, "le", 0, 0))
    signing = open_authority(FileStorage(str(tmp_path / "ca.json")), "ca")
    now = datetime.datetime.now(datetime.UTC)
    for name, age in (("old.test", 2), ("new.test", 0)):
        issued = signing.issue((name,), datetime.timedelta(days=1), now - datetime.timedelta(days=age))
        together.keep(Issued((name,), issued.certificate, issued.key))
        together.failed(Attempt(names=(name,), state=state.FAILED, code="NXDOMAIN"))
        ordering.forget((name,))
    assert storage.keys("le/failures/") == [] and storage.keys("le/certificates/") == ["le/certificates/new.test"]


@pytest.mark.parametrize(
    ("allowed", "minutes", "verdict"),
    [(True, 1, "FAILED_UNREACHABLE"), (False, 1, "PARKED_ASK_DENIED"), (False, -1, "")],
)
async def test_after_a_restart_what_clients_asked_for_is_asked_about_when_it_is_due(
    tmp_path: Path, allowed: bool, minutes: int, verdict: str
) -> None:
    """``minutes``: until the certificate expires. One that has expired and may not be had again is let go."""
    storage = FileStorage(str(tmp_path / "acme.json"))
    signing = open_authority(FileStorage(str(tmp_path / "ca.json")), "ca")
    life, left = datetime.timedelta(minutes=10), datetime.timedelta(minutes=minutes)
    issued = signing.issue(("a.test",), life, datetime.datetime.now(datetime.UTC) - life + left)
    Together(storage, "le").keep(Issued(("a.test",), issued.certificate, issued.key))
    found: list[tuple[str, int]] = []
    async with AskServer("a.test" if allowed else "") as ask, asyncio.timeout(60):
        acme = Acme(ca_server="http://127.0.0.1:1/dir", on_demand=OnDemand(ask=ask.url))
        provider = AcmeProvider("le", acme, storage, [HttpProver(Tokens(), 0)], None)
        assert provider.demand is not None
        provider.demand.rules = {"web": ("HostRegexp(`[.]test$`)",)}
        watching = provider.watch()
        async for snapshot in watching:
            found.append(
                (",".join(one.verdict for one in snapshot.workloads), len(snapshot.configuration.tls.certificates))
            )
            if ask.asked and found[-1][0] == verdict:
                break
        while not verdict and storage.keys("le/certificates/"):
            await asyncio.sleep(0.01)
        await watching.aclose()
        assert ask.asked[0] == "a.test" and found[-1][1] == (1 if verdict else 0), found
