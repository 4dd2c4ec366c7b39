"""Long work in short slices: a loop turn gives a quarter of a millisecond to it. Nothing about what the work is."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

SLICE: Final = 0.00025  # seconds of one loop turn; a request waits for two or three of them


@contextmanager
def without_collector() -> Iterator[None]:
    """No automatic collection inside: walking all that is being made would stop the loop for tens of milliseconds.
    It is frozen instead (docs/decisions/0008)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()  # first of all: the next allocation would make the collector walk everything new
            gc.enable()


async def sliced(steps: Iterable[object], seconds: float = SLICE) -> None:
    """Run an iterator to its end; after each slice all other work of the loop has its turn."""
    until = time.perf_counter() + seconds
    for _ in steps:
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + seconds
