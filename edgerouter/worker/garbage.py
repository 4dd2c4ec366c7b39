"""How a worker's memory is freed: never much at once, so that no request waits for it (docs/decisions/0008).

The collector looks by itself at young objects only. What a plan is made of is frozen: never walked again. An old plan
holds no cycles, so it is taken apart by reference counts, a slice a loop turn. Older objects are looked at for cycles
in moments without requests.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from sys import getrefcount
from typing import Any, Final

from edgerouter.worker.assemble_slices import SLICE

YOUNG: Final = 1000  # allocations between two looks at the youngest, which take a few hundredths of a millisecond
MIDDLE: Final = 10  # of those between two looks at the middle generation
NEVER: Final = 2**31 - 1
PAUSE: Final = 0.25  # seconds between two looks for a moment without requests
WORTH: Final = 50  # looks at the middle generation after which the old one is worth a look
PATIENCE: Final = 240  # looks in vain for such a moment, a minute of them; then it is done anyway
QUIET: Final = 20  # looks in a row without a request, five seconds of them, before everything is walked
WHOLE_EVERY: Final = 64  # swaps; for cycles in what plugins from elsewhere left behind
REST: Final = 0.002  # seconds between two such turns
_STRIDE: Final = 64  # parts of old plans between two looks at the clock
_ALONE: Final = 2  # references to an object that nobody else has: the variable, and the question's own


class Garbage:
    """``is_idle`` tells whether nobody waits for an answer now."""

    def __init__(self, loop: asyncio.AbstractEventLoop, is_idle: Callable[[], bool]) -> None:
        gc.set_threshold(YOUNG, MIDDLE, NEVER)
        self._loop = loop
        self._is_idle = is_idle
        self._old: list[Any] = []
        self._freeing = False
        self._swaps = 0
        self._idle = 0
        self._busy = 0
        loop.call_later(PAUSE, self._look)

    def swapped(self, *old: Any) -> None:
        """A plan was replaced; ``old`` is what the one before was made of, and the caller lets go of it now."""
        gc.freeze()
        self._swaps += 1
        self._old.extend(old)
        if not self._freeing:
            self._freeing = True
            self._loop.call_soon(self._free)

    def _free(self) -> None:
        until = time.perf_counter() + SLICE
        parts = 0
        for found in dismantled(self._old):
            parts += found + 1
            if parts > _STRIDE:
                parts = 0
                if time.perf_counter() > until:
                    self._loop.call_later(REST, self._free)
                    return
        self._freeing = False

    def _look(self) -> None:
        self._loop.call_later(PAUSE, self._look)
        idle = self._is_idle()
        self._idle = self._idle + 1 if idle else 0
        if self._swaps >= WHOLE_EVERY and self._idle >= QUIET:
            self._swaps = 0
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        elif gc.get_count()[2] < WORTH:
            self._busy = 0
        elif idle or self._busy >= PATIENCE:
            self._busy = 0
            gc.collect()
        else:
            self._busy += 1


def dismantled(old: list[Any]) -> Iterator[int]:
    """Empty the list; an object that nobody else refers to is not freed with all below it, but leaves its parts to
    the list first. Yields the number of parts of each object."""
    while old:
        item = old.pop()
        before = len(old)
        if getrefcount(item) <= _ALONE:
            old += gc.get_referents(item)
        del item
        yield len(old) - before
