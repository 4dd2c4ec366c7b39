"""Work in a thread that keeps the loop from running as little as can be. Nothing about what the work is.

A thread gives the interpreter up every few milliseconds, and not at all while one function in C runs, such as the one
that initialises a large library. What such a function does call, here and there, is the collector of garbage: its
callback is a place to let others run. (From Python 3.12 on it is called between two steps of the interpreter only, and
a library's initialisation is one piece.)
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any, Final

_HAND_OVER: Final = 0.0005  # seconds; Python's own is 0.005
_YOUNG: Final = 100  # allocations between two looks of the collector, about a fifth of a millisecond of such a function
_NEVER: Final = 2**31 - 1
_AWAY: Final = 20e-6  # seconds: longer than the loop's thread takes to wake up


@contextmanager
def giving_way() -> Iterator[None]:
    """For work in a thread: other threads have their turns within, often. What is there now is not collected."""
    mine = get_ident()

    def give(phase: str, info: dict[str, Any]) -> None:
        if phase == "start" and get_ident() == mine:
            time.sleep(_AWAY)

    interval, thresholds, was_on = sys.getswitchinterval(), gc.get_threshold(), gc.isenabled()
    sys.setswitchinterval(_HAND_OVER)
    gc.freeze()  # a look takes as long as there are young objects, and half a configuration may be among them
    gc.callbacks.append(give)
    gc.set_threshold(_YOUNG, _NEVER, _NEVER)
    gc.enable()
    try:
        yield
    finally:
        if not was_on:
            gc.disable()
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(give)
        sys.setswitchinterval(interval)
