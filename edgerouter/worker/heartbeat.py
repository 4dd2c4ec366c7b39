"""Signs of life: twice a second the worker tells the control process how its loop fares. Nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Heartbeat:
    """Calls ``beat`` at once and then every ``interval`` seconds, on the loop: a loop that hangs is silent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float, beat: Callable[[], None]) -> None:
        self._loop = loop
        self._interval = interval
        self._beat = beat
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin."""
        self._tick()

    def stop(self) -> None:
        """End."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = self._loop.call_later(self._interval, self._tick)
        self._beat()
