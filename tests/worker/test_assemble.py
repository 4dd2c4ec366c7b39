"""Assembling: what stays the same object, what is made anew, what breaks alone, and how long the loop waits for it."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Secret, reveal_hook
from edgerouter.contracts.messages import Delta, Frames, ToWorker, frame
from edgerouter.contracts.plan import (
    Entry,
    MiddlewareEntry,
    RouterEntry,
    ServerEntry,
    ServiceEntry,
    TransportEntry,
    entry_key,
)
from edgerouter.contracts.plugins import Middleware, PluginContext, Route
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.net.pool import TransportSettings
from edgerouter.registry import Plugin
from edgerouter.routing.table import RoutingTable
from edgerouter.services.load_balancer import LoadBalancer
from edgerouter.telemetry.records import SharedRecords
from edgerouter.worker.assemble import Assembly
from edgerouter.worker.assemble_services import make_server

RULE = "Host(`a.example`)"


class NoteOptions(Model, frozen=True):
    """Options of the toy."""

    text: str = ""
    secret: Secret | None = None


class Note(Middleware):
    """Remembers what it was made with; "bad" cannot be made."""

    def __init__(self, options: NoteOptions, context: PluginContext) -> None:
        super().__init__()
        if options.text == "bad":
            raise ValueError("text: bad is not allowed")
        self.options = options
        self.context = context


KINDS = {"testNote": Plugin("middlewares", "testNote", Note, NoteOptions)}  # not registered: it is no plugin of ours


def router(name: str = "r@f", **fields: Any) -> RouterEntry:
    """A router to s@f."""
    given: dict[str, Any] = {
        "name": name,
        "entry_points": ("web",),
        "rule": RULE,
        "priority": 10,
        "middlewares": (),
        "service": "s@f",
        "key": 1,
    }
    return RouterEntry(**{**given, **fields})


def service(name: str = "s@f", *urls: str, **fields: Any) -> ServiceEntry:
    """A load balancer."""
    servers = tuple(ServerEntry(url) for url in urls or ("http://10.0.0.1:80",))
    given: dict[str, Any] = {"name": name, "kind": "loadBalancer", "options": {}, "key": 2, "servers": servers}
    return ServiceEntry(**{**given, **fields})


def note(name: str, text: str = "") -> MiddlewareEntry:
    """A toy."""
    return MiddlewareEntry(name, "testNote", {"text": text})


class Bench:
    """An assembly, fed as a worker is: through the channel's bytes."""

    def __init__(self) -> None:
        self.transports: dict[str, TransportSettings] = {"": TransportSettings()}
        self.assembly = Assembly(self.transports, SharedRecords(), (), KINDS)
        self.generation = 0

    async def apply(self, *entries: Entry, removed: tuple[str, ...] = ()) -> RoutingTable:
        """The table after this delta."""
        self.generation += 1
        delta = Delta(generation=self.generation, entries=entries, removed=removed)
        for message in Frames(ToWorker).feed(frame(delta)):
            for _ in self.assembly.note(message):
                pass
        return await self.assembly.table()


def match(table: RoutingTable, host: str = "a.example") -> Route | None:
    """The route for a request to this host."""
    request = Request("GET", b"/", host, Headers())
    request.host, request.path = host, "/"
    exchange = Exchange(request)
    exchange.entrypoint = "web"
    return table.match(exchange)


def route(table: RoutingTable, host: str = "a.example") -> Route:
    """The same, when there is one."""
    found = match(table, host)
    assert found is not None
    return found


async def test_a_plan_becomes_a_table() -> None:
    table = await Bench().apply(note("n@f", "hello"), service(), router(middlewares=("n@f",), access_log=False))
    found = route(table)
    assert (found.name, found.key, found.access_log, found.metrics, found.refused) == ("r@f", 1, False, True, "")
    assert found.service is table.service("s@f") and isinstance(found.service, LoadBalancer)
    assert found.service.key == 2
    (step,) = found.steps
    assert isinstance(step, Note) and step.options.text == "hello"
    assert (step.context.name, step.context.router, step.context.service, step.context.slot) == ("n@f", "r@f", "s@f", 0)
    assert match(table, "b.example") is None


async def test_what_is_unchanged_stays_the_same_object() -> None:
    bench = Bench()
    before = await bench.apply(note("a@f"), note("b@f"), service(), router(middlewares=("a@f", "b@f")))
    old = route(before)
    server = old.service.servers[0]  # type: ignore[union-attr]
    other = await bench.apply(router("x@f", rule="Host(`x.example`)"))
    assert route(other) is old and route(other).service is old.service
    edited = route(await bench.apply(note("b@f", "new")))
    assert edited is not old
    assert edited.steps[0] is old.steps[0] and edited.steps[1] is not old.steps[1]
    assert edited.service is old.service
    scaled = route(await bench.apply(service("s@f", "http://10.0.0.1:80", "http://10.0.0.2:80")))
    assert scaled is edited and scaled.service is not None
    assert [s.url for s in scaled.service.servers] == ["http://10.0.0.1:80", "http://10.0.0.2:80"]  # type: ignore[attr-defined]
    assert scaled.service.servers[0] is server  # type: ignore[attr-defined]


async def test_another_service_of_the_router_means_new_middlewares() -> None:
    bench = Bench()
    old = route(await bench.apply(note("a@f"), service(), service("t@f"), router(middlewares=("a@f",))))
    new = route(await bench.apply(router(middlewares=("a@f",), service="t@f")))
    assert new.steps[0] is not old.steps[0]
    assert isinstance(new.steps[0], Note) and new.steps[0].context.service == "t@f"


async def test_removed_entries_are_gone() -> None:
    bench = Bench()
    await bench.apply(service(), router())
    table = await bench.apply(removed=(entry_key(router()), entry_key(service())))
    assert match(table) is None and table.service("s@f") is None


@pytest.mark.parametrize(
    ("entries", "refused"),
    [
        ((service(), router(refused="because")), "because"),
        ((router(),), "service 's@f' does not exist"),
        ((service(), router(middlewares=("n@f",))), "middleware 'n@f' does not exist"),
        ((service(), note("n@f", "bad"), router(middlewares=("n@f",))), "text: bad is not allowed"),
        ((service(), MiddlewareEntry("n@f", "nope", {}), router(middlewares=("n@f",))), "there is no kind 'nope'"),
        ((service(), MiddlewareEntry("n@f", "testNote", {"x": 1}), router(middlewares=("n@f",))), "unknown field"),
        ((service("s@f", kind="nope"), router()), "there is no service kind 'nope'"),
        ((service("s@f", options={"strategy": "nope"}), router()), "no balancer is named 'nope'"),
        ((service("s@f", "ftp://x"), router()), "is not a server's address"),
        ((service("s@f", refused="the service says so"), router()), "the service says so"),
        ((service("s@f", middlewares=("gone@f",)), router()), "middleware 'gone@f' does not exist"),
        ((TransportEntry("t@f", {"x": 1}), service("s@f", options={"serversTransport": "t@f"}), router()), "'t@f'"),
    ],
)
async def test_what_is_broken_is_refused_alone(entries: tuple[Entry, ...], refused: str) -> None:
    good = router("good@f", rule="Host(`good.example`)", service="fine@f")
    table = await Bench().apply(*entries, good, service("fine@f"))
    assert refused in route(table).refused
    assert not route(table, "good.example").refused


async def test_a_refusal_ends_when_its_cause_does() -> None:
    bench = Bench()
    assert route(await bench.apply(note("n@f", "bad"), service(), router(middlewares=("n@f",)))).refused
    assert not route(await bench.apply(note("n@f", "good"))).refused
    assert route(await bench.apply(removed=("service:s@f",))).refused
    assert not route(await bench.apply(service())).refused


async def test_a_sleeping_router_says_asleep_whatever_else_is_wrong() -> None:
    table = await Bench().apply(router(asleep="container shop is stopped", service="gone@f"))
    assert (route(table).asleep, route(table).refused) == ("container shop is stopped", "")


async def test_servers_follow_their_entries_and_lose_their_connections_with_them() -> None:
    bench = Bench()
    urls = ("http://10.0.0.1:80", "http://10.0.0.2:80")
    first = route(await bench.apply(service("s@f", *urls), router())).service
    assert isinstance(first, LoadBalancer)
    one, two = first.servers
    down = (ServerEntry(urls[0], weight=3), ServerEntry(urls[1], up=False))
    second = route(await bench.apply(service("s@f", servers=down))).service
    assert isinstance(second, LoadBalancer) and second.servers == [one, two]
    assert (one.weight, one.up, two.up) == (3, True, False)
    third = route(await bench.apply(service("s@f", urls[1]))).service
    assert isinstance(third, LoadBalancer) and third.servers == [two] and two.up


async def test_a_service_with_steps_or_a_refusal_has_no_lone_server() -> None:
    table = await Bench().apply(
        note("n@f"),
        *(service("s@f"), service("t@f", middlewares=("n@f",)), service("u@f", refused="bad")),
        *(service("v@f", middlewares=("x@f",)), service("w@f", "http://10.0.0.1", "http://10.0.0.2")),
    )
    found = {name: service.lone for name, service in table.services.items()}
    assert [name for name, lone in found.items() if lone is not None] == ["s@f"]


async def test_a_lone_server_is_judged_and_replaced() -> None:
    bench = Bench()
    first = route(await bench.apply(service("s@f"), router())).service
    assert first is not None and first.lone is not None
    bench.assembly.services.judge([("s@f", "http://10.0.0.1:80")], [])
    assert first.lone is None
    bench.assembly.services.judge([], [("s@f", "http://10.0.0.1:80")])
    assert first.lone is not None
    second = route(await bench.apply(service("s@f", "http://10.0.0.1:80", "http://10.0.0.2:80"))).service
    assert second is not None and second.lone is None


async def test_two_services_with_one_address_have_a_server_each() -> None:
    table = await Bench().apply(service("s@f"), service("t@f", servers=(ServerEntry("http://10.0.0.1:80", weight=9),)))
    one, other = table.service("s@f"), table.service("t@f")
    assert isinstance(one, LoadBalancer) and isinstance(other, LoadBalancer)
    assert (one.servers[0].weight, other.servers[0].weight) == (1, 9)


async def test_transports_become_settings() -> None:
    bench = Bench()
    plain = TransportEntry("default@internal", {"maxIdleConnsPerHost": 7})
    timed = TransportEntry("t@f", {"forwardingTimeouts": {"dialTimeout": "2s"}, "insecureSkipVerify": True})
    table = await bench.apply(
        plain, timed, service("s@f", "https://10.0.0.1", options={"serversTransport": "t@f"}), router()
    )
    assert bench.transports[""].max_idle == 7 and bench.transports[""].tls is None
    assert bench.transports["t@f"].dial_timeout == 2.0 and bench.transports["t@f"].tls is not None
    found = table.service("s@f")
    assert isinstance(found, LoadBalancer) and found.servers[0].transport == "t@f"


async def test_services_bring_their_own_steps_in_slots_of_their_own() -> None:
    table = await Bench().apply(
        note("n@f"), service("s@f", middlewares=("n@f", "n@f")), service("t@f", middlewares=("n@f",))
    )
    slots = [step.context.slot for name in ("s@f", "t@f") for step in (table.service(name).steps or [])]  # type: ignore
    assert len(set(slots)) == 3 and min(slots) >= 64


async def test_weighted_services_find_their_children_when_they_come() -> None:
    bench = Bench()
    options = {"services": [{"name": "late@f", "weight": 1}]}
    both = ServiceEntry("s@f", "weighted", options, 3)
    parent = route(await bench.apply(both, router())).service
    assert parent is not None and not parent.available()
    table = await bench.apply(service("late@f"))
    assert route(table).service is parent and parent.available()


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "base"),
    [
        ("http://10.0.0.1:8080", "http", "10.0.0.1", 8080, ""),
        ("https://a.example/x/", "https", "a.example", 443, "/x"),
        ("http://[::1]", "http", "::1", 80, ""),
        ("unix:/run/a.sock", "unix", "/run/a.sock", 0, ""),
        ("unix:///run/a.sock", "unix", "/run/a.sock", 0, ""),
    ],
)
def test_addresses_of_servers(url: str, scheme: str, host: str, port: int, base: str) -> None:
    server = make_server(url)
    assert (server.scheme, server.host, server.port, server.base_path) == (scheme, host, port, base)


def test_secrets_arrive_in_clear() -> None:
    sent = msgspec.to_builtins(NoteOptions(secret=Secret("s3cret")), enc_hook=reveal_hook)
    assert sent == {"secret": "s3cret"}


async def test_a_thousand_routers_go_live_in_a_second_without_stopping_the_loop() -> None:
    entries: list[Entry] = [note("n@f")]
    for i in range(1000):
        rule = f"Host(`h{i}.example`) && PathPrefix(`/p{i % 7}`)"
        entries.append(router(f"r{i}@f", rule=rule, middlewares=("n@f",), service=f"s{i}@f", key=i))
        entries.append(service(f"s{i}@f", f"http://10.0.0.1:{i + 1}", key=i))
    bench = Bench()
    await bench.apply(router("first@f"), service())
    for entry in entries:
        bench.assembly.entries.put(entry)
    turns: list[float] = []

    async def measure() -> None:
        while True:
            turns.append(time.thread_time())  # the loop's own work: other processes of the machine do not count
            await asyncio.sleep(0)

    measuring = asyncio.create_task(measure())
    await asyncio.sleep(0)
    table = await bench.assembly.table()
    measuring.cancel()
    assert len(table.entries) == 1001
    assert turns[-1] - turns[0] < 1.0
    assert max(later - sooner for sooner, later in pairwise(turns)) < 0.005
