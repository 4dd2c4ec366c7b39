"""When a worker collects garbage: after a swap of plans, in a moment without requests, and then it freezes the rest.

What a plan is made of lives long: frozen, the collector never walks it again, so its pauses stay short.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

PAUSE: Final = 0.05  # seconds between two looks for an idle moment
PATIENCE: Final = 40  # looks; after them it is done anyway
WHOLE_EVERY: Final = 64  # every so many swaps frozen objects are looked at too: old plans may hold cycles


class Garbage:
    """``is_idle`` tells whether nobody waits for an answer now."""

    def __init__(self, loop: asyncio.AbstractEventLoop, is_idle: Callable[[], bool]) -> None:
        self._loop = loop
        self._is_idle = is_idle
        self._waits = False
        self._looks = 0
        self._swaps = 0

    def swapped(self) -> None:
        """A plan was replaced: collect soon."""
        self._swaps += 1
        self._looks = 0
        if not self._waits:
            self._waits = True
            self._loop.call_later(PAUSE, self._look)

    def _look(self) -> None:
        self._looks += 1
        if not self._is_idle() and self._looks < PATIENCE:
            self._loop.call_later(PAUSE, self._look)
            return
        self._waits = False
        if self._swaps % WHOLE_EVERY == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
