"""Coming again for a shared number whose lock another worker holds: without a lock on the loop, and never for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

from edgerouter.telemetry.records import RecordBusy

T = TypeVar("T")
_PAUSE: Final = 0.002  # seconds between two attempts
# A worker that holds a lock and does not go on is taken for hung and killed after two seconds, and the kernel frees
# what it held; one that somebody stopped with a debugger must not stop the others.
_LONGEST: Final = 5.0  # seconds


async def when_free(attempt: Callable[[], T], otherwise: T) -> T:
    """What ``attempt`` returns once it does not raise RecordBusy; ``otherwise`` when that takes too long."""
    deadline = time.monotonic() + _LONGEST
    while time.monotonic() < deadline:
        await asyncio.sleep(_PAUSE)
        try:
            return attempt()
        except RecordBusy:
            continue
    return otherwise
