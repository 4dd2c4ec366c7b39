"""One worker process, seen from the control process: started, heard, killed, gone. ``workers`` decides what to do."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Final

from edgerouter.contracts import messages
from edgerouter.contracts.messages import ToControl
from edgerouter.control.spawn import Spawned, spawn_worker
from edgerouter.control.stderr import StderrReader
from edgerouter.worker.channel import Channel

STARTING: Final = "starting"  # it has not said hello
LOADING: Final = "loading"  # it waits for its first plan
SERVING: Final = "serving"
GONE: Final = "gone"


class WorkerProcess:
    """``silence`` is in seconds, counted by ``workers`` while it listens; ``applied`` the generation that it serves.

    ``on_message`` and ``on_exit`` are called with this object; the latter once, when the process was reaped.
    """

    def __init__(
        self,
        slot: int,
        on_message: Callable[[WorkerProcess, Any], None],
        on_exit: Callable[[WorkerProcess], None],
    ) -> None:
        self.slot = slot
        self.state = STARTING
        self.started = time.monotonic()
        self.silence = 0.0
        self.applied = 0
        self.beat = messages.Heartbeat()
        self.longest_stall = 0.0
        self.killed_for = ""
        self.pid = 0
        self.status = 0
        self.draining = False
        self._on_message = on_message
        self._on_exit = on_exit
        self._channel = Channel(ToControl, self._received, self._channel_closed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stderr: StderrReader | None = None
        self._pidfd = -1
        self._spawned: Spawned | None = None

    async def start(self, start: messages.Start, fds: tuple[int, ...]) -> None:
        """Spawn it and send its start message. Raises OSError."""
        loop = asyncio.get_running_loop()
        spawned = spawn_worker(self.slot, fds)
        self._loop, self._spawned, self.pid = loop, spawned, spawned.process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._stderr = StderrReader(loop, spawned.stderr, self.slot)
        loop.add_reader(self._pidfd, self._exited)
        await self._channel.open(loop, spawned.channel)
        self._channel.send(start)

    def send(self, message: messages.Message) -> None:
        """Queue a message; one to a dead worker is dropped."""
        self._channel.send(message)

    def kill(self, why: str) -> None:
        """SIGKILL; ``why`` is for the log."""
        if self.state != GONE and not self.killed_for:
            self.killed_for = why
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def ending(self) -> str:
        """How it ended, for people: exit code or signal, and what it wrote last."""
        how = f"exit code {self.status}"
        if self.status < 0:
            how = f"killed by {signal.Signals(-self.status).name}"
        if self.killed_for:
            return f"{how}: {self.killed_for}"
        cause = self._stderr.cause() if self._stderr is not None and self.status > 0 else ""
        return f"{how}: {cause}" if cause else how

    def _received(self, message: Any) -> None:
        self.silence = 0.0
        if isinstance(message, messages.Heartbeat):
            self.beat = message
            self.longest_stall = max(self.longest_stall, message.stall)
        self._on_message(self, message)

    def _channel_closed(self, why: str) -> None:
        """A worker that cannot be talked to cannot be told what to serve; one that ends closes its channel itself."""
        if why and not self.draining:
            self.kill(f"its channel broke: {why}")

    def _exited(self) -> None:
        assert self._loop is not None and self._spawned is not None and self._stderr is not None
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.status = self._spawned.process.wait()
        self.state = GONE
        self._stderr.close()
        self._channel.close()
        self._on_exit(self)
