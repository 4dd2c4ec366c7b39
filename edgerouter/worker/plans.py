"""From deltas to the table in use: one generation after the other, in slices, swapped by one assignment.

What entries become is ``assemble``'s; when it happens, and what is told of it, is decided here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable

from edgerouter.contracts.messages import Applied, Delta, ServersHealth
from edgerouter.services.ping import Ping
from edgerouter.worker.assemble import Assembler
from edgerouter.worker.garbage import Garbage
from edgerouter.worker.serving import Serving

log = logging.getLogger("edgerouter.worker")


class Plans:
    """``on_applied`` is called for each generation once it is in use."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, serving: Serving, on_applied: Callable[[Applied], None]
    ) -> None:
        self._loop = loop
        self._serving = serving
        self._on_applied = on_applied
        self._garbage = Garbage(loop, lambda: serving.engine.in_flight == 0)
        self._assembler = Assembler(loop, serving)
        self._deltas: list[Delta] = []
        self._task: asyncio.Task[None] | None = None
        self._terminating = False

    def add(self, delta: Delta) -> None:
        """A part of the next generation."""
        self._deltas.append(delta)
        if self._task is None:
            self._task = self._loop.create_task(self._work())

    def judge(self, health: ServersHealth) -> None:
        """What health checks found, of servers in this plan or a later one."""
        self._assembler.judge(health)

    def terminating(self) -> None:
        """From now on ping answers that the end is near, in later plans too."""
        self._terminating = True
        self._tell_ping()

    async def _work(self) -> None:
        try:
            while self._deltas:
                delta = self._deltas.pop(0)
                await self._apply(delta)
        finally:
            self._task = None

    async def _apply(self, delta: Delta) -> None:
        began = time.monotonic()
        error = ""
        gc.disable()  # the collector would walk the half-made table again and again
        try:
            await self._assembler.take(delta)
            if not delta.last:
                return
            self._serving.engine.table = await self._assembler.table()
            self._assembler.renew_connections()
            self._serving.engine.holding.wake()
        except Exception as fault:  # a fault of ours or of a plugin: what serves now goes on serving
            log.exception("configuration %d cannot be used", delta.generation)
            error = f"{type(fault).__name__}: {fault}"
        finally:
            gc.freeze()  # first of all: the next allocation would make the collector walk everything new
            gc.enable()
        self._tell_ping()
        self._garbage.swapped(*self._assembler.retired())
        self._on_applied(Applied(generation=delta.generation, seconds=time.monotonic() - began, error=error))

    def _tell_ping(self) -> None:
        ping = self._serving.engine.table.service("ping@internal") if self._terminating else None
        if isinstance(ping, Ping):
            ping.terminating = True
