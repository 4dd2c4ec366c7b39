"""Three throwaway providers prove the contract through the supervisor: one polls HTTP, one asks a blocking query, one
watches keys. Each meets a source that answers, changes, fails and comes back; each has real sockets or none at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from edgerouter.config.decode import decode_dynamic
from edgerouter.config.dynamic import DynamicConfiguration, Model
from edgerouter.config.types import Duration
from edgerouter.contracts.snapshot import Outcome, Provider, ProviderContext, Snapshot, Workload
from edgerouter.control.supervisor import Supervisor
from edgerouter.control.supervisor_timing import Timing

CONTEXT = ProviderContext(name="toy", kinds={"middlewares": {}, "services": {}})


def routes(**hosts: str) -> dict[str, Any]:
    """Plain dynamic configuration: one router a host."""
    return {"http": {"routers": {name: {"rule": f"Host(`{host}`)", "service": "s"} for name, host in hosts.items()}}}


def decoded(data: object) -> DynamicConfiguration:
    """As a provider does it."""
    return decode_dynamic(data, CONTEXT.kinds, CONTEXT.name)[0]


class Endpoint(Model, frozen=True):
    """Where a toy asks."""

    url: str = ""
    interval: Duration = Duration(0.01)


class Polling(Provider):
    """Asks again and again; an unchanged answer is the supervisor's to drop."""

    async def watch(self) -> AsyncIterator[Snapshot]:
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            while True:
                async with session.get(self.options.url) as response:
                    yield Snapshot(configuration=decoded(await response.json()))
                await asyncio.sleep(self.options.interval)


class Blocking(Provider):
    """Asks for anything newer than what it has; the source answers when there is something."""

    async def watch(self) -> AsyncIterator[Snapshot]:
        index = "0"
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            while True:
                async with session.get(self.options.url, params={"index": index}) as response:
                    index = response.headers["X-Index"]
                    yield Snapshot(configuration=decoded(await response.json()))


class KeyWatch(Provider):
    """Lists all keys once, then applies the changes that a stream of lines brings; reports by writing keys."""

    async def watch(self) -> AsyncIterator[Snapshot]:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.get(self.options.url) as stream,
        ):
            keys: dict[str, str] = json.loads(await stream.content.readline())
            yield self.snapshot(keys)
            while line := await stream.content.readline():
                key, value = json.loads(line)
                keys = {**keys, key: value} if value else {k: v for k, v in keys.items() if k != key}
                yield self.snapshot(keys)
        raise ConnectionError("the stream of keys ended")

    def snapshot(self, keys: dict[str, str]) -> Snapshot:
        """All keys as one answer; each is a workload."""
        workloads = tuple(Workload(id=key, name=key, kind="key", routers=(key,)) for key in sorted(keys))
        return Snapshot(configuration=decoded(routes(**keys)), workloads=workloads)

    async def report(self, outcome: Outcome) -> None:
        verdicts = {workload.name: workload.verdict for workload in outcome.workloads}
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            await session.put(self.options.url, json=verdicts)


class Source:
    """A server that all three can ask, whose answer the test changes."""

    def __init__(self) -> None:
        self.hosts: dict[str, str] = {}
        self.index = 1
        self.broken = False
        self.asked = 0
        self.written: list[dict[str, str]] = []
        self.news = asyncio.Event()
        self.url = ""

    def set(self, **hosts: str) -> None:
        """Another answer from now on."""
        self.hosts, self.index = hosts, self.index + 1
        self.wake()

    def wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    def fail(self, broken: bool) -> None:
        """Answer 500 and cut streams."""
        self.broken = broken
        self.wake()

    async def poll(self, request: web.Request) -> web.StreamResponse:
        self.check()
        return web.json_response(routes(**self.hosts))

    async def query(self, request: web.Request) -> web.StreamResponse:
        self.check()
        while int(request.query["index"]) >= self.index:
            await self.news.wait()
            self.check()
        return web.json_response(routes(**self.hosts), headers={"X-Index": str(self.index)})

    async def keys(self, request: web.Request) -> web.StreamResponse:
        self.check()
        response = web.StreamResponse()
        await response.prepare(request)
        told: dict[str, str] = dict(self.hosts)
        await response.write(json.dumps(told).encode() + b"\n")
        while not self.broken:
            await self.news.wait()
            for key in {**told, **self.hosts}:
                if told.get(key) != self.hosts.get(key):
                    await response.write(json.dumps([key, self.hosts.get(key, "")]).encode() + b"\n")
            told = dict(self.hosts)
        return response

    async def put(self, request: web.Request) -> web.StreamResponse:
        self.written.append(await request.json())
        return web.Response()

    def check(self) -> None:
        self.asked += 1
        if self.broken:
            raise web.HTTPInternalServerError


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    """A source on a port of its own."""
    made = Source()
    app = web.Application()
    app.router.add_get("/poll", made.poll)
    app.router.add_get("/query", made.query)
    app.router.add_get("/keys", made.keys)
    app.router.add_put("/keys", made.put)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


class Quick(Timing):
    """Real time, but restarts come at once."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it; fail after ten seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("cls", "path"), [(Polling, "/poll"), (Blocking, "/query"), (KeyWatch, "/keys")])
async def test_changes_arrive_and_losses_are_survived(source: Source, cls: type[Provider], path: str) -> None:
    source.set(a="a.example")
    changes: list[Snapshot] = []
    provider = cls(Endpoint(url=source.url + path), CONTEXT)
    supervisor = Supervisor({"toy": provider}, lambda: changes.append(supervisor.snapshots["toy"]), 0.0, Quick())
    supervisor.start()

    def hosts() -> dict[str, str]:
        snapshot = supervisor.snapshots.get("toy", Snapshot())
        return {name: router.rule[6:-2] for name, router in snapshot.configuration.http.routers.items()}

    await until(lambda: hosts() == {"a": "a.example"})
    asked = source.asked
    if cls is Polling:
        await until(lambda: source.asked > asked + 5)
    assert len(changes) == 1, "an equal answer is no change"
    source.set(a="a.example", b="b.example")
    await until(lambda: hosts() == {"a": "a.example", "b": "b.example"})
    source.fail(True)
    await until(lambda: supervisor.states["toy"].state == "stale" and supervisor.states["toy"].restarts > 2)
    assert hosts() == {"a": "a.example", "b": "b.example"} and supervisor.states["toy"].reason
    source.set(b="c.example")
    source.fail(False)
    await until(lambda: hosts() == {"b": "c.example"})
    assert supervisor.states["toy"].state == "running" and len(changes) == 3
    await supervisor.stop()


async def test_what_became_of_keys_is_written_back(source: Source) -> None:
    source.set(a="a.example")
    provider = KeyWatch(Endpoint(url=source.url + "/keys"), CONTEXT)
    supervisor = Supervisor({"toy": provider}, lambda: None, 0.0, Quick())
    supervisor.start()
    await until(lambda: "toy" in supervisor.snapshots)
    supervisor.report((), [("toy", workload) for workload in supervisor.snapshots["toy"].workloads])
    await until(lambda: source.written == [{"a": "ROUTED"}])
    await supervisor.stop()
