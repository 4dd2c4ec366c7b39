"""The order of the end: still accepting, then no new connections, then the last answers, then the exit.

Each entry point goes this way by its own times (``transport.lifeCycle``), all at once: none waits for another, and none
is cut off by another; only where ping is answered, as long as elsewhere is accepted: whoever asks it hears of the end
rather than nothing. Nothing that the kernel accepted is reset: first new connection requests are dropped, then the
queues run empty, only then are sockets closed.
"""

from __future__ import annotations

import asyncio
import logging
import select
import time
from typing import Any, Final

from edgerouter.config.static import EntryPoint
from edgerouter.contracts import messages
from edgerouter.control.sockets import Opened, close_all, refuse_new
from edgerouter.control.worker_process import WorkerProcess
from edgerouter.control.workers import Workers

SETTLE: Final = 0.1  # seconds for handshakes that were under way when new ones were refused
EMPTY_WITHIN: Final = 2.0  # seconds until the queues must be empty
MARGIN: Final = 2.0  # seconds beyond graceTimeOut until a worker is killed
log = logging.getLogger("edgerouter.control")


class Ending:
    """Carries the end out, once. ``hurry`` is set by a second signal; ping answers ``status``, at ``ping_at``."""

    def __init__(
        self,
        workers: Workers,
        opened: list[Opened],
        settings: dict[str, EntryPoint],
        status: int,
        ping_at: str = "",
    ) -> None:
        self._grace = {name: float(point.transport.life_cycle.grace_time_out) for name, point in settings.items()}
        self._accept_on = {
            name: float(point.transport.life_cycle.request_accept_grace_timeout) for name, point in settings.items()
        }
        if ping_at in self._accept_on:
            self._accept_on[ping_at] = max(self._accept_on.values())
        self._workers = workers
        self._opened = opened
        self._status = status
        self._cut = 0
        self._heard_from = asyncio.Event()
        self._stopped: set[tuple[int, str]] = set()
        self.hurry = asyncio.Event()
        workers.listen(self._heard)

    async def run(self) -> None:
        """Returns when no worker is left."""
        self._workers.end()
        self._workers.send_all(messages.Terminating(status=self._status))
        ends = await asyncio.gather(*(self._end(entry) for entry in self._opened))
        last = max(ends, default=time.monotonic())
        if not self._opened:
            self._workers.send_all(messages.Drain(timeout=0.0))
        await self._wait(lambda: not self._workers.alive(), last - time.monotonic() + MARGIN)
        if self.hurry.is_set():
            self._workers.send_all(messages.Drain(timeout=0.0, idle=0.0))
        await self._end_the_rest()
        if self._cut:
            log.warning("%d requests were not over in time (transport.lifeCycle.graceTimeOut) and were cut", self._cut)

    async def _end(self, entry: Opened) -> float:
        """Lead one entry point to its end; when its grace is over, on ``time.monotonic``."""
        accept_on, grace = self._accept_on[entry.name], self._grace[entry.name]
        if accept_on > 0:
            log.info("%s: still accepting for %g s, ping answers %d", entry.name, accept_on, self._status)
            await self._pause(accept_on)
        await self._close(entry)
        log.info("%s: no longer accepting; requests in flight have %g s", entry.name, grace)
        if self.hurry.is_set():
            grace = 0.0
        self._workers.send_all(messages.Drain(timeout=grace, entry_points=(entry.name,)))
        return time.monotonic() + grace

    async def _close(self, entry: Opened) -> None:
        refuse_new([entry])
        await self._pause(SETTLE)
        end = time.monotonic() + EMPTY_WITHIN
        while _queued(entry) and self._workers.alive() and time.monotonic() < end and not self.hurry.is_set():
            await self._pause(0.02)
        self._workers.send_all(messages.StopAccepting(entry_points=(entry.name,)))
        await self._wait(lambda: self._has_stopped(entry.name), EMPTY_WITHIN)
        close_all([entry])

    async def _end_the_rest(self) -> None:
        if self.hurry.is_set():
            await self._wait(lambda: not self._workers.alive(), MARGIN / 4, patient=True)
        for process in self._workers.alive():
            process.kill(
                "it did not end in time" if not self.hurry.is_set() else "a second signal asked to end at once"
            )
        await self._wait(lambda: not self._workers.alive(), MARGIN, patient=True)

    def _has_stopped(self, name: str) -> bool:
        return all((process.pid, name) in self._stopped for process in self._workers.alive())

    def _heard(self, process: WorkerProcess, message: Any) -> None:
        if isinstance(message, messages.Stopped):
            self._stopped.update((process.pid, name) for name in message.entry_points)
        elif isinstance(message, messages.Drained):
            self._cut += message.cut
        elif message is not None:
            return
        self._heard_from.set()
        self._heard_from = asyncio.Event()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.hurry.wait()
        except TimeoutError:
            return

    async def _wait(self, condition: Any, seconds: float, patient: bool = False) -> None:
        """Until the condition holds, the time is up, or (unless ``patient``) somebody is in a hurry."""
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end and (patient or not self.hurry.is_set()):
            waits = {asyncio.ensure_future(self._heard_from.wait())}
            if not patient:
                waits.add(asyncio.ensure_future(self.hurry.wait()))
            _, pending = await asyncio.wait(
                waits, timeout=max(0.0, end - time.monotonic()), return_when=asyncio.FIRST_COMPLETED
            )
            for task in pending:
                task.cancel()


def _queued(entry: Opened) -> bool:
    """Does a connection wait in some listening socket?"""
    poll = select.poll()
    for fd in entry.fds:
        poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
