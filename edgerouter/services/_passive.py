"""Passive health checks: failures of real requests, counted over all workers, take a server out for a while. Compiled.

Failures lie in one shared record a service: a word that every change adds to, then places for servers, each with the
times (ms) of its last failures. The ``maxFailedAttempts``-th failure within ``failureWindow`` takes the server out for
``failureWindow``; with an active health check, until that finds it well. A worker looks at one word a request.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

from edgerouter.contracts.plugins import Server
from edgerouter.services._load_balancer_options import PassiveHealthCheck
from edgerouter.services._tracking import Watcher
from edgerouter.telemetry.records import RecordBusy

_PLACES: Final = 64  # servers of one service that have failed lately; of more, the one that failed first is forgotten
_MOST: Final = 100
_FOREVER: Final = 1 << 62
# a place: the address's hash, until when it is out (ms), which time is written next, the times
_UNTIL: Final = 1
_NEXT: Final = 2
_TIMES: Final = 3


def _hash(url: str) -> int:
    return int.from_bytes(blake2b(url.encode(), digest_size=7).digest(), "big") + 1


class FailureRecord:
    """The shared record of one service. ``now`` gives seconds of the machine's monotonic clock."""

    def __init__(self, options: PassiveHealthCheck, service: str, shared: Any, now: Callable[[], float]) -> None:
        self._allowed = int(options.max_failed_attempts)
        self._window = int(float(options.failure_window) * 1000)
        if not 1 <= self._allowed <= _MOST:
            raise ValueError(f"passiveHealthCheck.maxFailedAttempts: expected 1 to {_MOST}, got {self._allowed}")
        if self._window < 1:
            raise ValueError("passiveHealthCheck.failureWindow: expected more than 0")
        self._size = _TIMES + self._allowed
        self._record: Any = shared.record(f"passive/{service}", 1 + _PLACES * self._size, 0)
        self._now = now

    def changes(self) -> int:
        """Return a number that is another after each change."""
        return int(self._record.get(0))

    def until(self, url: str) -> int:
        """Return until when (ms) the server is out; 0 when it is not."""
        at = self._find(_hash(url))
        until = 0 if at == 0 else int(self._record.get(at + _UNTIL))
        return until if until > self.milliseconds() else 0

    def milliseconds(self) -> int:
        """Return the time."""
        return int(self._now() * 1000)

    def fail(self, url: str, for_good: bool) -> None:
        """Count a failure; the one too many takes the server out, ``for_good``: until ``clear``."""
        try:
            with self._record.lock:
                self._count(_hash(url), for_good)
        except RecordBusy:
            return  # a failure not counted is better than a loop that waits

    def clear(self, url: str) -> None:
        """The server is well: forget its failures."""
        record = self._record
        wanted = _hash(url)
        if self._find(wanted) == 0:
            return
        with record.lock:
            at = self._find(wanted)
            if at > 0:
                self._write(at, 0)
                record.set(0, record.get(0) + 1)

    def _count(self, wanted: int, for_good: bool) -> None:
        record, now = self._record, self.milliseconds()
        at = self._find(wanted)
        if at == 0:
            at = self._oldest()
            self._write(at, wanted)
        place = int(record.get(at + _NEXT))
        record.set(at + _TIMES + place, now)
        record.set(at + _NEXT, (place + 1) % self._allowed)
        if self._too_many(at, now):
            record.set(at + _UNTIL, _FOREVER if for_good else now + self._window)
            record.set(0, record.get(0) + 1)

    def _too_many(self, at: int, now: int) -> bool:
        """Do all the times that are kept lie within the window?"""
        times = [int(self._record.get(at + _TIMES + i)) for i in range(self._allowed)]
        return all(time > 0 and now - time <= self._window for time in times)

    def _write(self, at: int, value: int) -> None:
        """Make a place new; its hash is written last, since it is looked for without the lock."""
        self._record.set(at, 0)
        for index in range(1, self._size):
            self._record.set(at + index, 0)
        self._record.set(at, value)

    def _find(self, wanted: int) -> int:
        for place in range(_PLACES):
            at = 1 + place * self._size
            if self._record.get(at) == wanted:
                return at
        return 0

    def _oldest(self) -> int:
        """Return a free place, or that of the server whose last failure is the longest ago."""
        best, least = 1, -1
        for place in range(_PLACES):
            at = 1 + place * self._size
            if self._record.get(at) == 0:
                return at
            last = max([int(self._record.get(at + _TIMES + i)) for i in range(self._allowed)])
            if least < 0 or last < least:
                best, least = at, last
        return best


class PassiveHealth(Watcher):
    """One worker's eye on the record. ``out`` holds the addresses that are out, as of the last ``look``."""

    def __init__(self, record: FailureRecord, checked: bool) -> None:
        self.out: set[str] = set()
        self._record = record
        self._checked = checked  # an active health check brings servers back
        self._seen = -1
        self._next = 0  # when (ms) the next server comes back by itself

    def failed(self, server: Server) -> None:
        """See ``Watcher.failed``."""
        self._record.fail(server.url, self._checked)

    def changed(self) -> bool:
        """True when ``look`` would find something else."""
        if self._record.changes() != self._seen:
            return True
        return self._next > 0 and self._record.milliseconds() >= self._next

    def look(self, servers: list[Server]) -> None:
        """Find out who is out."""
        self._seen = self._record.changes()
        self._next = 0
        self.out = set()
        for server in servers:
            until = self._record.until(server.url)
            if until > 0:
                self.out.add(server.url)
                if until < _FOREVER and (self._next == 0 or until < self._next):
                    self._next = until
