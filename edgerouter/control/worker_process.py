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
from edgerouter.control.handover import WorkerLeft
from edgerouter.control.spawn import Spawned, adopt_worker, spawn_worker
from edgerouter.control.stderr import StderrReader
from edgerouter.worker.channel import Channel

STARTING: Final = "starting"  # it has not said hello
LOADING: Final = "loading"  # it waits for its first plan
SERVING: Final = "serving"
GONE: Final = "gone"


class WorkerProcess:
    """``silence`` is in seconds, counted by ``workers`` while it listens; ``applied`` the generation that it serves.

    ``on_message`` and ``on_exit`` are called with this object; the latter once, when the process was reaped. ``label``
    names its counters, ``part`` its part of the shared records (-1: none yet).
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
        self.label: int | str = slot
        self.part = -1
        self.heard = False  # its channel is open
        self._on_message = on_message
        self._on_exit = on_exit
        self._channel = Channel(ToControl, self._received, self._channel_closed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stderr: StderrReader | None = None
        self._pidfd = -1
        self._spawned: Spawned | None = None

    async def start(self, start: messages.Start, fds: tuple[int, ...]) -> None:
        """Spawn it and send its start message. Raises OSError."""
        self._watch(spawn_worker(self.slot, fds))
        await self.hear()
        self._channel.send(start)

    def adopt(self, left: WorkerLeft) -> None:
        """Go on with a worker that the program before this one has started. ``hear`` is called when it may be talked
        to. Raises OSError."""
        self.state, self.started, self.applied = SERVING, left.started, left.applied
        self.label, self.part, self.draining = left.label, left.part, left.leaving
        self._channel.go_on(left.received)
        self._watch(adopt_worker(left.pid, left.channel, left.stderr))

    def leave(self, counters: int) -> WorkerLeft:
        """What the program after this one needs to know."""
        assert self._spawned is not None and self._stderr is not None
        return WorkerLeft(
            slot=self.slot,
            pid=self.pid,
            channel=self._spawned.channel.fileno(),
            stderr=self._stderr.fd,
            counters=counters,
            label=self.label if isinstance(self.label, str) else f"{self.slot}-{self.pid}",
            part=self.part,
            started=self.started,
            applied=self.applied,
            received=self._channel.begun(),
            leaving=self.draining,
        )

    async def hear(self) -> None:
        """Open the channel."""
        assert self._loop is not None and self._spawned is not None
        self.heard = True
        await self._channel.open(self._loop, self._spawned.channel)

    def unsent(self) -> int:
        """Bytes that it has not taken yet."""
        return self._channel.unsent()

    def _watch(self, spawned: Spawned) -> None:
        loop = asyncio.get_running_loop()
        self._loop, self._spawned, self.pid = loop, spawned, spawned.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._stderr = StderrReader(loop, spawned.stderr, self.slot)
        loop.add_reader(self._pidfd, self._exited)

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
        if self.status == -signal.SIGKILL:
            return f"{how}, not by the router: by hand, or by the kernel for want of memory (see dmesg)"
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
        self.status = self._spawned.wait()
        self.state = GONE
        self._stderr.close()
        self._channel.close()
        self._on_exit(self)
