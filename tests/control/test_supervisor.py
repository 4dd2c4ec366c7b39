"""The supervisor: streams that answer, repeat, fail, end and race; on a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from edgerouter.config.dynamic import DynamicConfiguration, HttpConfiguration, Model, Router, Service
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Outcome, Provider, ProviderContext, Snapshot, Workload
from edgerouter.control import supervisor
from edgerouter.control.supervisor import Supervisor, back_off
from edgerouter.control.supervisor_throttle import only_servers
from edgerouter.control.supervisor_timing import Timing


class Address(Model, frozen=True):
    """A server."""

    url: str


class Servers(Model, frozen=True):
    """A load balancer's options."""

    servers: tuple[Address, ...] = ()
    strategy: str = "wrr"


def answer(text: str = "a", *servers: str, strategy: str = "wrr", **rest: Any) -> Snapshot:
    """A snapshot whose router has this host."""
    addresses = tuple(Address(url=url) for url in servers)
    http = HttpConfiguration(
        routers={"r": Router(rule=f"Host(`{text}`)", service="s")},
        services={"s": Service("loadBalancer", Servers(servers=addresses, strategy=strategy))},
    )
    return Snapshot(configuration=DynamicConfiguration(http=http), **rest)


class ManualTiming(Timing):
    """Time stands still until the test moves it."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.calls: list[ManualCall] = []

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time + 1_000_000.0

    def random(self) -> float:
        return 1.0

    def call_later(self, seconds: float, callback: Callable[[], None]) -> ManualCall:
        call = ManualCall(self.time + seconds, callback)
        self.calls.append(call)
        return call

    async def advance(self, seconds: float) -> None:
        """Move on, calling what is due on the way."""
        until = self.time + seconds
        while due := sorted((c for c in self.calls if c.at <= until and c.open), key=lambda c: c.at):
            self.time = max(self.time, due[0].at)
            due[0].open = False
            due[0].callback()
            await settle()
        self.time = until
        self.calls = [call for call in self.calls if call.open]


class ManualCall:
    """Something to call."""

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at, self.callback, self.open = at, callback, True

    def cancel(self) -> None:
        self.open = False


async def settle() -> None:
    """Let everything that can run do so; nothing in these tests waits for more than a few turns."""
    for _ in range(20):
        await asyncio.sleep(0)


END = object()


class Script(Provider):
    """Says what the test tells it to: a snapshot, an exception, or END."""

    def __init__(self) -> None:
        super().__init__(None, ProviderContext(name="p", kinds={}))
        self.says: asyncio.Queue[Any] = asyncio.Queue()
        self.streams = 0
        self.closed = 0

    async def watch(self) -> AsyncIterator[Snapshot]:
        self.streams += 1
        try:
            while True:
                said = await self.says.get()
                if said is END:
                    return
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            self.closed += 1


class Bench:
    """A supervisor over scripts."""

    def __init__(self, *names: str, throttle: float = 0.2) -> None:
        self.timing = ManualTiming()
        self.scripts = {name: Script() for name in names or ("p",)}
        self.changes: list[dict[str, Snapshot]] = []
        self.supervisor = Supervisor(
            self.scripts, lambda: self.changes.append(dict(self.supervisor.snapshots)), throttle, self.timing
        )

    async def say(self, said: Any, name: str = "p") -> None:
        self.scripts[name].says.put_nowait(said)
        await settle()

    async def __aenter__(self) -> Bench:
        self.supervisor.start()
        await settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.supervisor.stop()


async def test_the_first_change_at_once_then_the_newest_when_the_time_is_over() -> None:
    async with Bench() as bench:
        await bench.say(answer("a"))
        assert len(bench.changes) == 1
        await bench.say(answer("b"))
        await bench.say(answer("c"))
        assert len(bench.changes) == 1
        await bench.timing.advance(0.19)
        assert len(bench.changes) == 1
        await bench.timing.advance(0.02)
        assert [change["p"] for change in bench.changes] == [answer("a"), answer("c")]
        await bench.timing.advance(0.3)
        await bench.say(answer("d"))
        assert len(bench.changes) == 3


async def test_equal_snapshots_are_dropped() -> None:
    async with Bench() as bench:
        await bench.say(answer("a"))
        await bench.timing.advance(1)
        await bench.say(answer("a"))
        await bench.timing.advance(1)
        assert len(bench.changes) == 1
        assert bench.supervisor.states["p"].snapshots == 2


async def test_servers_alone_are_never_throttled() -> None:
    async with Bench() as bench:
        for count in range(5):
            await bench.say(answer("a", *"abcde"[:count]))
        assert len(bench.changes) == 5


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (answer("a", "1"), answer("a", "1", "2"), True),
        (answer("a", "1"), answer("a"), True),
        (answer("a", "1"), answer("b", "1"), False),
        (answer("a", "1"), answer("a", "2", strategy="p2c"), False),
        (answer("a", "1"), answer("a", "2", sleeping={"r": "x"}), False),
        (answer("a", "1"), Snapshot(), False),
        (answer("a", "1"), answer("a", "1", problems=(Problem("x", "y"),)), False),
        (answer("a", "1"), answer("a", "2", workloads=(Workload(id="1", name="w"),)), True),
        (None, answer("a"), False),
    ],
)
def test_what_counts_as_servers_alone(old: Snapshot | None, new: Snapshot, same: bool) -> None:
    assert only_servers(old, new) is same


async def test_a_stream_that_fails_keeps_its_snapshot_and_is_restarted_later_and_later() -> None:
    async with Bench() as bench:
        script, states = bench.scripts["p"], bench.supervisor.states
        await bench.say(answer("a"))
        await bench.say(OSError("daemon\n is gone"))
        state = states["p"]
        assert (state.state, state.reason, state.since) == ("stale", "daemon is gone", 1_001_000.0)
        assert bench.supervisor.snapshots["p"] == answer("a")
        (problem,) = bench.supervisor.problems()
        assert "daemon is gone" in problem.message and "goes on serving" in problem.message
        assert (script.streams, script.closed) == (1, 1)
        for delay in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
            streams = script.streams
            await bench.timing.advance(delay - 0.01)
            assert script.streams == streams
            await bench.timing.advance(0.02)
            assert script.streams == streams + 1
            await bench.say(OSError("still gone"))
        assert states["p"].since == 1_001_000.0 and states["p"].restarts == 9
        await bench.timing.advance(31)
        await bench.say(answer("a"))
        assert (states["p"].state, states["p"].reason) == ("running", "")
        assert bench.supervisor.problems() == () and len(bench.changes) == 1


async def test_a_stream_that_lived_long_is_restarted_quickly() -> None:
    async with Bench() as bench:
        for _ in range(4):
            await bench.say(OSError("x"))
            await bench.timing.advance(60)
        await bench.say(OSError("x"))
        streams = bench.scripts["p"].streams
        await bench.timing.advance(0.51)
        assert bench.scripts["p"].streams == streams + 1


async def test_a_stream_that_ends_is_done_and_keeps_serving() -> None:
    async with Bench() as bench:
        await bench.say(answer("a"))
        await bench.say(END)
        await bench.timing.advance(100)
        assert bench.supervisor.states["p"].state == "ended" and bench.supervisor.states["p"].reason
        assert bench.scripts["p"].streams == 1 and bench.supervisor.snapshots["p"] == answer("a")


async def test_something_that_is_no_snapshot_is_the_providers_failure() -> None:
    async with Bench() as bench:
        await bench.say({"http": {}})
        assert "watch() gave a dict, not a Snapshot" in bench.supervisor.states["p"].reason
        assert bench.changes == []


async def test_providers_do_not_disturb_each_other_and_are_waited_for() -> None:
    async with Bench("a", "b") as bench:
        waiting = asyncio.ensure_future(bench.supervisor.silent(60))
        await bench.say(answer("a"), "a")
        assert not waiting.done() and await bench.supervisor.silent(0.01) == ["b"]
        await bench.say(ValueError("b is broken"), "b")
        assert await waiting == []
        assert set(bench.supervisor.snapshots) == {"a"}


async def test_stopping_closes_streams() -> None:
    async with Bench() as bench:
        await bench.say(answer("a"))
    assert bench.scripts["p"].closed == 1


class Deaf(Script):
    """Forgets that it was cancelled, as asyncio.wait_for of Python 3.11 may make a plugin do."""

    async def watch(self) -> AsyncIterator[Snapshot]:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                yield await self.says.get()
                return


async def test_a_provider_that_does_not_end_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.05)
    bench = Bench("deaf", "p")
    bench.scripts["deaf"] = bench.supervisor._providers["deaf"] = Deaf()
    async with asyncio.timeout(10), bench:
        await bench.say(answer("a"))
    assert bench.scripts["p"].closed == 1
    assert caplog.messages == ["deaf: it did not end within 0.05 s of being told to, and is left behind"]
    bench.scripts["deaf"].says.put_nowait(answer("b"))  # now it ends
    await settle()


@pytest.mark.parametrize(
    ("failures", "least", "most"), [(1, 0.25, 0.5), (2, 0.5, 1.0), (7, 15.0, 30.0), (99, 15.0, 30.0)]
)
def test_back_off_is_spread(failures: int, least: float, most: float) -> None:
    assert back_off(failures, 0.0) == least and back_off(failures, 1.0) == most


class Writer(Script):
    """A provider that writes statuses back, slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[Outcome] = []
        self.may_go_on = asyncio.Event()

    async def report(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        await self.may_go_on.wait()
        if outcome.problems:
            raise OSError("cannot write")


async def test_reports_reach_those_that_write_back_the_newest_only() -> None:
    writer, silent = Writer(), Script()
    timing = ManualTiming()
    supervisor = Supervisor({"w": writer, "s": silent}, lambda: None, 0.2, timing)
    supervisor.start()
    writer.says.put_nowait(answer("a"))
    await settle()
    workload = Workload(id="1", name="one")
    supervisor.report((), [("w", workload), ("s", workload)])
    await settle()
    supervisor.report((), [("w", workload)])
    supervisor.report((Problem("x", "y", source="w"), Problem("x", "y", source="s")), [])
    await settle()
    assert [outcome.workloads for outcome in writer.outcomes] == [(workload,)]
    writer.may_go_on.set()
    await settle()
    assert [len(outcome.problems) for outcome in writer.outcomes] == [0, 1]
    supervisor.report((), [])
    await settle()
    assert len(writer.outcomes) == 3
    await supervisor.stop()


async def test_a_fault_in_what_follows_a_change_is_not_the_providers() -> None:
    timing, script = ManualTiming(), Script()

    def broken() -> None:
        raise RuntimeError("a fault of ours")

    supervisor = Supervisor({"p": script}, broken, 0.2, timing)
    supervisor.start()
    script.says.put_nowait(answer("a"))
    await settle()
    assert supervisor.states["p"].state == "running" and supervisor.snapshots["p"] == answer("a")
    await supervisor.stop()
