"""The clock that the supervisor lives by, so that tests can bring their own. Nothing else."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Protocol


class Handle(Protocol):
    """What ``call_later`` gives."""

    def cancel(self) -> None:
        """Let it not happen."""


class Timing:
    """Real time. ``now`` is monotonic, ``wall`` the time of day, both in seconds."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()

    def random(self) -> float:
        """0 <= x < 1."""
        return random.random()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle:
        """Call it once, later, in the loop."""
        return asyncio.get_running_loop().call_later(seconds, callback)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handle = self.call_later(seconds, lambda: None if done.done() else done.set_result(None))
        try:
            await done
        finally:
            handle.cancel()
