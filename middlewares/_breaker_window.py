"""The last ten seconds of a breaker's responses, over all workers: counting and summing. States are elsewhere.

Each worker counts in its own part of the record, in ten buckets of one second. A bucket's stamp says which second and
which generation it belongs to: a new generation (the breaker tripped) forgets all, without anybody clearing anything.
"""

from __future__ import annotations

from typing import Final

from edgerouter.middlewares._breaker_expression import LATENCY_BINS, Expression, Sums, latency_bin
from edgerouter.telemetry.records import SharedRecord, SharedRecords

SECONDS: Final = 10
GENERATION: Final = 0  # of the shared words; the others belong to the states
_STAMP, _REQUESTS, _NETWORK_ERRORS, _RANGES = 0, 1, 2, 3
_NETWORK: Final = frozenset((502, 504))


class Window:
    """``part_words`` are needed of a record (see ``telemetry.records``); ``attach`` gives it."""

    def __init__(self, expression: Expression) -> None:
        self._ranges = expression.ranges
        self._latency_at = _RANGES + len(self._ranges)
        self._uses_latency = expression.uses_latency
        self._size = self._latency_at + (LATENCY_BINS if expression.uses_latency else 0)
        self.part_words = SECONDS * self._size
        self._record = SharedRecords().record("", 1, 0)
        self._by_status: dict[int, list[int]] = {}

    def attach(self, record: SharedRecord) -> None:
        """Use this record."""
        self._record = record

    def _stamp(self, second: int) -> int:
        return (int(self._record.get(GENERATION)) << 36) + second

    def count(self, now: float, status: int, seconds: float) -> None:
        """Count one response; ``now`` is the clock, ``seconds`` its latency."""
        record = self._record
        second = int(now)
        at = second % SECONDS * self._size
        stamp = self._stamp(second)
        if record.own(at) != stamp:
            self._renew(at, stamp)
        record.add(at + _REQUESTS, 1)
        offsets = self._by_status.get(status)
        for offset in self._offsets(status) if offsets is None else offsets:
            record.add(at + offset, 1)
        if self._uses_latency:
            record.add(at + self._latency_at + latency_bin(round(seconds * 1000)), 1)

    def _renew(self, at: int, stamp: int) -> None:
        record = self._record
        for offset in range(self._size):
            record.put(at + offset, 0)
        record.put(at + _STAMP, stamp)

    def _offsets(self, status: int) -> list[int]:
        offsets = [_NETWORK_ERRORS] if status in _NETWORK else []
        offsets += [_RANGES + i for i, (low, high) in enumerate(self._ranges) if low <= status < high]
        self._by_status[status] = offsets
        return offsets

    def sums(self, now: float) -> Sums:
        """Sum up all workers' buckets of the last ten seconds."""
        second = int(now)
        fresh = {self._stamp(second - age) for age in range(SECONDS)}
        total = [0] * self._size
        record, size = self._record, self._size
        for slot in range(record.workers):
            for at in range(0, self.part_words, size):
                if record.slice(slot, at, 1)[0] in fresh:
                    _add(total, record.slice(slot, at, size))
        return Sums(
            total[_REQUESTS],
            total[_NETWORK_ERRORS],
            total[_RANGES : self._latency_at],
            total[self._latency_at :],
        )


def _add(total: list[int], bucket: list[int]) -> None:
    for index in range(len(bucket)):
        if bucket[index]:
            total[index] += bucket[index]
