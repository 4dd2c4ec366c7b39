"""Which worker has which plan: sends each one what changed, one generation at a time, and counts acknowledgements.

What a delta is, ``publish_delta`` knows; what a plan means, the worker. A worker that has not acknowledged yet is not
sent the next generation: it gets the newest one, and only that, when it has.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from edgerouter.contracts.messages import Applied, Delta, Message
from edgerouter.contracts.plan import Plan

log = logging.getLogger("edgerouter.control")
EMPTY = Plan({}, {})


class Subscriber(Protocol):
    """Who is sent plans: a worker."""

    slot: int

    def send(self, message: Message) -> None:
        """Take a message."""


class _Progress(msgspec.Struct):
    sent: Plan = EMPTY
    generation: int = 0
    acknowledged: int = 0
    sent_at: float = 0.0


class Publisher:
    """``generation`` is the number of the newest plan, at first of the one before;
    ``deltas(generation, old, new)`` says what to send.
    ``expected``: nothing counts as served before so many workers have joined."""

    def __init__(
        self, deltas: Callable[[int, Plan, Plan], Iterable[Delta]], expected: int = 0, generation: int = 0
    ) -> None:
        self._expected = expected
        self._deltas = deltas
        self._progress: dict[Subscriber, _Progress] = {}
        self._plan: Plan | None = None
        self._changed = asyncio.Event()
        self.generation = generation

    def publish(self, plan: Plan) -> int:
        """Send every worker what changed; the plan's generation."""
        self.generation += 1
        self._plan = plan
        for worker in self._progress:
            self._advance(worker)
        return self.generation

    def join(self, worker: Subscriber) -> None:
        """A worker is ready for its first plan."""
        self._progress[worker] = _Progress()
        self._expected -= 1
        self._advance(worker)

    def leave(self, worker: Subscriber) -> None:
        """A worker is gone: nobody waits for it."""
        if self._progress.pop(worker, None) is not None:
            self._wake()

    def acknowledge(self, worker: Subscriber, applied: Applied) -> None:
        """The worker serves a generation."""
        progress = self._progress.get(worker)
        if progress is None:
            return
        progress.acknowledged = applied.generation
        seconds = time.monotonic() - progress.sent_at
        if applied.error:
            text = "worker %d cannot use configuration %d and goes on with the one before: %s"
            log.error(text, worker.slot, applied.generation, applied.error)
        log.debug("worker %d serves configuration %d after %.0f ms", worker.slot, applied.generation, seconds * 1000)
        self._wake()
        self._advance(worker)

    async def served(self, generation: int, seconds: float) -> bool:
        """Wait until every worker serves this generation or a later one; False after that many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while not self._is_served(generation):
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _is_served(self, generation: int) -> bool:
        return (
            self._expected <= 0
            and bool(self._progress)
            and all(p.acknowledged >= generation for p in self._progress.values())
        )

    def _advance(self, worker: Subscriber) -> None:
        progress = self._progress[worker]
        if self._plan is None or progress.acknowledged < progress.generation or progress.generation == self.generation:
            return
        old, progress.sent = progress.sent, self._plan
        progress.generation = self.generation
        progress.sent_at = time.monotonic()
        for delta in self._deltas(self.generation, old, self._plan):
            worker.send(delta)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
