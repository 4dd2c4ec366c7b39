"""One coarse clock a worker: deadlines of connections, swept a few times a second, without a timer per request.

A connection stands in at most one live bucket. Moving its deadline later costs an assignment: it is looked at when its
old bucket is due and put where it belongs then. A stall of the loop is measured by the same tick.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Final

from mypy_extensions import mypyc_attr

from edgerouter.http.body import BodySink
from edgerouter.http.headers import Field

TICK: Final = 0.1  # seconds; timeouts fire at most this much late


@mypyc_attr(allow_interpreted_subclasses=True)
class Peer(BodySink):
    """Something with a deadline: one side of a connection."""

    deadline: float = 0.0  # on ``time.monotonic``; 0.0 is none
    bucket: int = 0  # the tick whose bucket holds this peer; 0 is none

    def expired(self) -> None:
        """The deadline has passed (it was reset to 0.0 before this call)."""


class Clock:
    """``now`` is ``time.monotonic()`` as of the last tick. ``longest_stall`` is in seconds, reset by ``take_stall``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, list[Peer]] = {}
        self._tick = int(time.monotonic() / TICK)
        self._handle: asyncio.TimerHandle | None = None
        self._expected = 0.0
        self.now = time.monotonic()
        self.longest_stall = 0.0
        self._second = 0  # that ``_date`` names
        self._date = Field("Date", formatdate(0, usegmt=True))

    def start(self) -> None:
        """Begin to tick."""
        self._expected = time.monotonic() + TICK
        self._handle = self._loop.call_later(TICK, self._on_tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def take_stall(self) -> float:
        """Return the longest time that the loop was late, in seconds, and begin anew."""
        stall = self.longest_stall
        self.longest_stall = 0.0
        return stall

    def date(self) -> Field:
        """Now, as a Date field (RFC 9110 section 6.6.1)."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = Field("Date", formatdate(second, usegmt=True))
        return self._date

    def schedule(self, peer: Peer, seconds: float) -> None:
        """Let ``peer.expired`` be called in ``seconds``; 0 or less takes the deadline away."""
        if seconds <= 0.0:
            peer.deadline = 0.0
            return
        peer.deadline = self.now + seconds
        tick = int(peer.deadline / TICK) + 1
        if peer.bucket == 0 or tick < peer.bucket:
            self._enter(peer, tick)

    def _enter(self, peer: Peer, tick: int) -> None:
        peer.bucket = tick
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = [peer]
        else:
            bucket.append(peer)

    def _on_tick(self) -> None:
        now = time.monotonic()
        late = now - self._expected
        if late > self.longest_stall:
            self.longest_stall = late
        self.now = now
        self._expected = now + TICK
        self._handle = self._loop.call_later(TICK, self._on_tick)
        due = int(now / TICK)
        while self._tick < due:
            self._tick += 1
            bucket = self._buckets.pop(self._tick, None)
            if bucket is not None:
                self._sweep(bucket, self._tick)

    def _sweep(self, bucket: list[Peer], tick: int) -> None:
        for peer in bucket:
            if peer.bucket != tick:
                continue
            peer.bucket = 0
            deadline = peer.deadline
            if deadline == 0.0:
                continue
            if deadline > self.now:
                self._enter(peer, max(int(deadline / TICK) + 1, tick + 1))
            else:
                peer.deadline = 0.0
                peer.expired()
