"""Requests that wait for a server during a deployment (``deploy.hold``): how many, and who wakes them. Bounded, so
that a service that does not come back costs little."""

from __future__ import annotations

import asyncio
from typing import Final

MOST_HELD: Final = 100  # requests a service and worker
LOOK_AGAIN: Final = 0.25  # seconds after which a held request tries again, even if nothing was told


class Holding:
    """One a worker. ``enter`` before a wait, ``leave`` after it; ``wake`` when the configuration changed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: dict[str, int] = {}
        self._waiters: list[asyncio.Future[None]] = []

    def enter(self, service: str) -> bool:
        """False when as many wait for the service as may."""
        held = self._held.get(service, 0)
        if held >= MOST_HELD:
            return False
        self._held[service] = held + 1
        return True

    def leave(self, service: str) -> None:
        """One waits no more."""
        held = self._held.get(service, 0)
        if held > 1:
            self._held[service] = held - 1
        else:
            self._held.pop(service, None)

    def held(self, service: str) -> int:
        """How many wait."""
        return self._held.get(service, 0)

    def wake(self) -> None:
        """Let all look again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Until ``wake``, at most that long."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        handle = self._loop.call_later(seconds, self._expire, waiter)
        try:
            await waiter
        finally:
            handle.cancel()

    def _expire(self, waiter: asyncio.Future[None]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not waiter.done():
            waiter.set_result(None)
