"""The end of a worker: its entry points leave one by one, each with its own time, and with the last one it ends.

When an entry point leaves is the control process's word (``Drain``); how its connections end is ``Connections``'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from edgerouter.proxy.connections import Connections


class Departure:
    """``on_end`` is called once, with the number of exchanges that were cut off, when no entry point is left."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Connections,
        entry_points: Iterable[str],
        on_end: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._staying = set(entry_points)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._on_end = on_end
        self._ended = False
        self._cut = 0

    @property
    def begun(self) -> bool:
        """True once some entry point was told to leave."""
        return bool(self._timers) or self._ended

    def leave(self, entry_points: Iterable[str], seconds: float, idle: float) -> None:
        """Let entry points leave (none named: all); said again, the shorter time counts."""
        for name in list(entry_points) or sorted(self._staying):
            if name not in self._staying:
                continue
            when = self._loop.time() + seconds
            timer = self._timers.get(name)
            if timer is not None:
                when = min(when, timer.when())
                timer.cancel()
            self._timers[name] = self._loop.call_at(when, self._cut_off, name)
            self._connections.leave(name, idle, self._left)
        self._look()

    def _cut_off(self, name: str) -> None:
        """Its time is up."""
        self._cut += self._connections.cut(name)
        self._left(name)

    def _left(self, name: str) -> None:
        self._staying.discard(name)
        timer = self._timers.get(name)
        if timer is not None:
            timer.cancel()
        self._look()

    def _look(self) -> None:
        if not self._staying and not self._ended:
            self._ended = True
            self._loop.call_soon(self._end)  # what was cut off is told by connection_lost before that

    def _end(self) -> None:
        self._on_end(self._cut)
