"""Which event loop a process runs on: uvloop, or asyncio where it is asked for or uvloop is missing. Nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def loop_factory(kind: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """``kind`` is ``uvloop`` or ``asyncio`` (experimental.loop)."""
    if kind == "uvloop":
        try:
            import uvloop
        except ImportError:
            return asyncio.new_event_loop
        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return factory
    return asyncio.new_event_loop
