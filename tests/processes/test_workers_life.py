"""The workers' life without a router around it: real processes, real sockets, a plan that only answers ping."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from live.toolbox import exchange, fetch, until

from edgerouter.config.static import AccessLog, EntryPoint, Metrics, StaticConfiguration, parse_address
from edgerouter.control import workers as workers_module
from edgerouter.control.build import build
from edgerouter.control.build_keys import Keys
from edgerouter.control.build_types import Inputs
from edgerouter.control.drain import Ending
from edgerouter.control.internal import internal_snapshot
from edgerouter.control.launch import Launcher
from edgerouter.control.publish import Publisher
from edgerouter.control.publish_delta import deltas
from edgerouter.control.sockets import Opened, close_all, open_all
from edgerouter.control.workers import Workers
from edgerouter.telemetry.reader import CounterReader
from edgerouter.telemetry.records import create_records

POINTS = {name: EntryPoint(address="127.0.0.1:0") for name in ("web", "traefik")}


class Crew:
    """Workers that serve ping, and what is needed to look at them."""

    def __init__(self, count: int, records_fd: int | None = None, **static: Any) -> None:
        metrics = Metrics(add_internals=True)
        self.static = StaticConfiguration(entry_points=POINTS, workers=count, metrics=metrics, **static)
        self.opened: list[Opened] = open_all({n: parse_address(p.address) for n, p in POINTS.items()}, count)
        self.reader = CounterReader()
        keys = Keys()
        numbers = {name: keys.key("entrypoint", name) for name in POINTS}
        self.records = create_records(workers=count) if records_fd is None else records_fd
        launcher = Launcher(self.static, POINTS, self.opened, numbers, "/nowhere", self.records, self.reader)
        self.publisher = Publisher(deltas)
        self.workers = Workers(count, self.publisher, launcher.launch, launcher.retire)
        inputs = Inputs(static=self.static, snapshots={"internal": internal_snapshot(self.static, "/nowhere")})
        self.publisher.publish(build(inputs, keys).plan)
        self.port = next(entry.port for entry in self.opened if entry.name == "traefik")

    def pid(self, slot: int) -> int:
        process = self.workers.slots[slot].process
        assert process is not None
        return process.pid

    async def ping(self) -> int:
        return (await fetch(self.port, "/ping")).status

    def requests(self) -> int:
        return sum(traffic.requests() for traffic in self.reader.totals().traffic.values())


@asynccontextmanager
async def crew(count: int, **static: Any) -> AsyncIterator[Crew]:
    made = Crew(count, **static)
    made.workers.start()
    try:
        async with asyncio.timeout(60):
            await made.workers.complete.wait()
        yield made
    finally:
        ending = Ending(made.workers, made.opened, POINTS, 503)
        ending.hurry.set()
        await ending.run()
        os.close(made.records)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_dead_or_hung_worker_is_replaced_and_nobody_is_refused(kill: signal.Signals) -> None:
    async with crew(2) as made:
        old = made.pid(1)
        os.kill(old, kill)
        statuses = await asyncio.gather(*(made.ping() for _ in range(20)))
        assert statuses == [200] * 20
        await until(lambda: made.pid(1) != old and made.workers.slots[1].serving, "a replacement")
        assert made.workers.restarts == 1
        assert old not in [process.pid for process in made.workers.alive()]
        views = made.workers.views()
        assert [view.restarts for view in views] == [0, 1]
        assert {view.state for view in views} == {"serving"}
        await until(lambda: made.workers.slots[1].keeper == -1, "its sockets to be returned")
        assert await made.ping() == 200


@pytest.mark.parametrize("pauses", [(3.0,), (1.4, 1.4, 1.4), (0.45,) * 8], ids=str)
async def test_a_control_process_that_was_held_up_does_not_blame_its_workers(
    pauses: tuple[float, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with crew(2) as made:
        pids = [made.pid(slot) for slot in range(2)]
        for pause in pauses:
            time.sleep(pause)  # the loop under test is this one
            await asyncio.sleep(0)
        beats = [process.beat for process in made.workers.alive()]
        await until(lambda: all(p.beat is not b for p, b in zip(made.workers.alive(), beats, strict=True)), "beats")
        assert [made.pid(slot) for slot in range(2)] == pids
        assert made.workers.restarts == 0
    assert ("the control process itself was held up" in caplog.text) == (max(pauses) > 1.0)


async def test_a_hung_worker_is_found_by_a_control_process_that_is_often_late() -> None:
    async with crew(2) as made:
        old = made.pid(1)
        os.kill(old, signal.SIGSTOP)
        end = time.monotonic() + 20
        while made.pid(1) == old:
            assert time.monotonic() < end, "the hung worker was never replaced"
            time.sleep(0.6)
            await asyncio.sleep(0.01)
        assert made.workers.restarts == 1


async def test_a_keeper_that_dies_passes_everything_on() -> None:
    async with crew(3) as made:
        first, keeper = made.workers.slots[1], made.workers.slots[2]
        os.kill(made.pid(1), signal.SIGKILL)
        await until(lambda: first.keeper == 2, "a keeper")
        os.kill(made.pid(2), signal.SIGKILL)
        await until(lambda: keeper.keeper == 0, "a keeper for both")
        assert await asyncio.gather(*(made.ping() for _ in range(30))) == [200] * 30
        await until(lambda: all(slot.serving for slot in made.workers.slots), "both replacements")


async def test_counts_survive_a_kill() -> None:
    async with crew(2) as made:
        before = made.requests()
        for _ in range(20):
            assert await made.ping() == 200
        await until(lambda: made.requests() - before == 20, "the last one to be counted: its client was answered first")
        os.kill(made.pid(0), signal.SIGKILL)
        await until(lambda: made.workers.restarts == 1, "the worker's end")
        assert made.requests() - before == 20
        assert made.reader.totals().in_flight == 0


@pytest.mark.parametrize("path, lost", [("/dev/full", 20), ("/dev/null", 0)])
async def test_access_log_lines_that_the_disk_did_not_take_are_counted(path: str, lost: int) -> None:
    async with crew(1, access_log=AccessLog(file_path=path, add_internals=True)) as made:
        for _ in range(20):
            assert await made.ping() == 200
        await until(lambda: made.reader.totals().lost_lines >= lost, "the lost lines to be counted")
    assert made.reader.totals().lost_lines == lost


async def test_the_end_answers_what_was_accepted() -> None:
    made = Crew(2)
    made.workers.start()
    async with asyncio.timeout(60):
        await made.workers.complete.wait()
    streams = [await asyncio.open_connection("127.0.0.1", made.port) for _ in range(30)]
    ending = asyncio.ensure_future(Ending(made.workers, made.opened, POINTS, 503).run())
    replies = await asyncio.gather(*(exchange(reader, writer, "/ping") for reader, writer in streams))
    await ending
    assert {reply.status for reply in replies} <= {200, 503}
    assert [slot.process.status for slot in made.workers.slots if slot.process is not None] == [0, 0]
    for _, writer in streams:
        writer.close()
    with pytest.raises(OSError):
        await fetch(made.port, "/ping")


async def test_workers_that_cannot_start_fail_the_router_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers_module, "TRIES_AT_START", 2)
    caplog.set_level(logging.ERROR)
    wrong = os.memfd_create("no records")
    made = Crew(1)
    made.workers._launch = _with_records(made, wrong)
    made.workers.start()
    async with asyncio.timeout(60):
        cause = await made.workers.failed
    assert "exit code 1" in cause
    assert "records" in cause
    assert "worker 0" in caplog.text
    close_all(made.opened)
    os.close(wrong)


def _with_records(made: Crew, fd: int) -> Callable[[Any], Any]:
    """A launcher that hands out a memory that holds no records: the worker finds that out and ends."""
    launcher = made.workers._launch.__self__
    launcher._records_fd = fd
    return launcher.launch
