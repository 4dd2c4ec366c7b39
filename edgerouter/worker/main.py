"""A worker process: the second composition root. Sockets in, plan in, engine on; signs of life out.

What lives here: the worker's life and the dispatch of the control process's messages. What a plan becomes is
``assemble``'s, what a connection becomes the engine's. Nothing here may import what only the control process needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edgerouter.contracts import messages
from edgerouter.contracts.messages import ToWorker
from edgerouter.worker.channel import Channel, read_first
from edgerouter.worker.departure import Departure
from edgerouter.worker.loops import loop_factory
from edgerouter.worker.plans import Plans
from edgerouter.worker.report import report_to_stderr
from edgerouter.worker.serving import Serving

_IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)
log = logging.getLogger("edgerouter.worker")


class Worker:
    """One worker's life, from its start message to its exit. ``finished`` is done when the process should end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: messages.Start) -> None:
        self._start = start
        self._serving = Serving(loop, start)
        self._plans = Plans(loop, self._serving, self._applied)
        self._has_plan = False
        self._drained = False
        self._alone = False
        self._points = tuple(entry.name for entry in start.entry_points)
        self._departure = Departure(loop, self._serving.engine.connections, self._points, self._departed)
        self._channel = Channel(ToWorker, self._on_message, self._on_control_gone)
        self.finished: asyncio.Future[int] = loop.create_future()
        self._loop = loop
        self._handlers: dict[type, Callable[[Any], None]] = {
            messages.Delta: self._plans.add,
            messages.ServersHealth: self._plans.judge,
            messages.TakeSockets: lambda message: self._serving.entrances.take(message.slot),
            messages.ReturnSockets: lambda message: self._serving.entrances.give_back(message.slot),
            messages.Terminating: lambda message: self._plans.terminating(),
            messages.StopAccepting: self._stop_accepting,
            messages.Drain: self._drain,
            messages.Retire: lambda message: self._serving.retire(message.places),
            messages.ReopenLogs: lambda message: self._serving.reopen_logs(),
            messages.CertificateRefused: lambda message: self._serving.refused(message.name, message.seconds),
        }

    async def run(self, sock: socket.socket) -> int:
        """Serve until told to end; the process's exit code."""
        await self._channel.open(self._loop, sock)
        self._channel.send(messages.Hello(pid=os.getpid()))
        self._serving.start(self._channel.send)
        try:
            return await self.finished
        finally:
            self._serving.close()

    def _on_message(self, message: Any) -> None:
        handler = self._handlers.get(type(message))
        if handler is None:
            log.error("a worker has no use for a %s", type(message).__name__)
            return
        handler(message)

    def _applied(self, applied: messages.Applied) -> None:
        """The first plan is there: now, and not before, there is something to answer with."""
        self._has_plan = self._has_plan or not applied.error
        if self._has_plan:
            self._serving.begin()
        if self._has_plan and not self._start.waits and not self._departure.begun:
            self._serving.entrances.take(self._start.slot)
        self._channel.send(applied)

    def _stop_accepting(self, message: messages.StopAccepting) -> None:
        self._serving.entrances.stop(message.entry_points or self._points)
        self._channel.send(messages.Stopped(entry_points=message.entry_points))

    def _on_control_gone(self, why: str) -> None:
        """Without a control process nothing renews the plan, and nobody would start what comes after: drain and end."""
        self._alone = True
        if self._drained:
            self._finish()
            return
        log.error("the control process is gone%s: this worker finishes its requests and ends", f" ({why})" * bool(why))
        for entry in self._start.entry_points:
            grace = float(entry.settings.transport.life_cycle.grace_time_out)
            self._drain(messages.Drain(timeout=grace, entry_points=(entry.name,)))
        if not self._points:
            self._departure.leave((), 0.0, 0.0)

    def _finish(self) -> None:
        """The last message is out and nothing is left to do."""
        if self._drained and self._alone and not self.finished.done():
            self.finished.set_result(0)

    def _drain(self, message: messages.Drain) -> None:
        self._serving.entrances.stop(message.entry_points or self._points)
        self._departure.leave(message.entry_points, message.timeout, message.idle)

    def _departed(self, cut: int) -> None:
        self._channel.send(messages.Drained(cut=cut))
        self._drained = True
        self._channel.close()
        self._finish()


def main(channel_fd: int) -> int:
    """Run a worker on the inherited socketpair; the process's exit code. Called by ``control.spawn``'s command line."""
    for number in _IGNORED:  # the control process says what to do; a terminal or service manager signals the group
        signal.signal(number, signal.SIG_IGN)
    sock = socket.socket(fileno=channel_fd)
    try:
        start = read_first(sock, messages.Start)
    except EOFError:
        return 0
    report_to_stderr(start.static.log.level)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"edge-worker-{start.slot}")
    with asyncio.Runner(loop_factory=loop_factory(start.static.experimental.loop)) as runner:
        return runner.run(_live(start, sock))


async def _live(start: messages.Start, sock: socket.socket) -> int:
    worker = Worker(asyncio.get_running_loop(), start)
    gc.collect()
    gc.freeze()
    return await worker.run(sock)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
