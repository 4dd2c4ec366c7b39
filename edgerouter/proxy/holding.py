"""Requests that wait for a server during a deployment (``deploy.hold``): how many, and who wakes them. Bounded, so
that a service that does not come back costs little."""

from __future__ import annotations

import asyncio
from typing import Final

from edgerouter.telemetry.records import RecordBusy, SharedRecord, SharedRecords

MOST_HELD: Final = 100  # requests a service
LOOK_AGAIN: Final = 0.25  # seconds after which a held request tries again, even if nothing was told


class Holding:
    """One a worker. ``enter`` before a wait, ``leave`` after it; ``wake`` when the configuration changed.

    Counted in the records that all workers share: each writes its own word, and what a worker held that died is zeroed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, records: SharedRecords) -> None:
        self._loop = loop
        self._records = records
        self._counts: dict[str, SharedRecord] = {}
        self._waiters: list[asyncio.Future[None]] = []

    def enter(self, service: str) -> bool:
        """False when as many wait for the service as may."""
        count = self._count(service)
        count.add(0, 1)
        if count.total(0) <= MOST_HELD:
            return True
        count.add(0, -1)
        return False

    def leave(self, service: str) -> None:
        """One waits no more."""
        self._count(service).add(0, -1)

    def held(self, service: str) -> int:
        """How many wait, at all workers."""
        return self._count(service).total(0)

    def _count(self, service: str) -> SharedRecord:
        known = self._counts.get(service)
        if known is None:
            try:
                known = self._records.record(f"held/{service}", 0, 1, 1)
            except RecordBusy:  # for a second: who waits is then counted here alone
                known = SharedRecords().record("held", 0, 1, 1)
            self._counts[service] = known
        return known

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
