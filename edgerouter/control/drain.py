"""The order of the end: still accepting, then no new connections, then the last answers, then the exit.

Nothing that the kernel accepted is reset: first new connection requests are dropped, then the queues run empty, only
then are sockets closed.
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
    """Carries the end out, once. ``hurry`` is set by a second signal."""

    def __init__(self, workers: Workers, opened: list[Opened], settings: dict[str, EntryPoint], status: int) -> None:
        cycles = [entry.transport.life_cycle for entry in settings.values()]
        self._accept_on = max((float(cycle.request_accept_grace_timeout) for cycle in cycles), default=0.0)
        self._grace = max((float(cycle.grace_time_out) for cycle in cycles), default=0.0)
        self._workers = workers
        self._opened = opened
        self._status = status
        self._cut = 0
        self._gone = asyncio.Event()
        self._stopped: set[int] = set()
        self.hurry = asyncio.Event()
        workers.listen(self._heard)

    async def run(self) -> None:
        """Returns when no worker is left."""
        self._workers.end()
        self._workers.send_all(messages.Terminating(status=self._status))
        if self._accept_on > 0:
            log.info("still accepting for %g s, ping answers %d", self._accept_on, self._status)
            await self._pause(self._accept_on)
        await self._close_entrances()
        await self._drain()
        if self._cut:
            log.warning("%d requests were not over after %g s and were cut", self._cut, self._grace)

    async def _close_entrances(self) -> None:
        refuse_new(self._opened)
        await self._pause(SETTLE)
        end = time.monotonic() + EMPTY_WITHIN
        while self._queued() and self._workers.alive() and time.monotonic() < end and not self.hurry.is_set():
            await self._pause(0.02)
        self._workers.send_all(messages.StopAccepting())
        await self._wait(lambda: {p.pid for p in self._workers.alive()} <= self._stopped, EMPTY_WITHIN)
        close_all(self._opened)
        log.info("no longer accepting; requests in flight have %g s", self._grace)

    async def _drain(self) -> None:
        grace = 0.0 if self.hurry.is_set() else self._grace
        self._workers.send_all(messages.Drain(timeout=grace))
        await self._wait(lambda: not self._workers.alive(), grace + MARGIN)
        for process in self._workers.alive():
            process.kill(
                "it did not end in time" if not self.hurry.is_set() else "a second signal asked to end at once"
            )
        await self._wait(lambda: not self._workers.alive(), MARGIN, patient=True)

    def _heard(self, process: WorkerProcess, message: Any) -> None:
        if isinstance(message, messages.Stopped):
            self._stopped.add(process.pid)
        elif isinstance(message, messages.Drained):
            self._cut += message.cut
        elif message is not None:
            return
        self._gone.set()

    def _queued(self) -> bool:
        """Does a connection wait in some listening socket?"""
        poll = select.poll()
        for entry in self._opened:
            for fd in entry.fds:
                poll.register(fd, select.POLLIN)
        return bool(poll.poll(0))

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
            self._gone.clear()
            waits = {asyncio.ensure_future(self._gone.wait())}
            if not patient:
                waits.add(asyncio.ensure_future(self.hurry.wait()))
            _, pending = await asyncio.wait(
                waits, timeout=max(0.0, end - time.monotonic()), return_when=asyncio.FIRST_COMPLETED
            )
            for task in pending:
                task.cancel()
