"""The control process's side of the counters: sums over all workers, living and dead. ``memory`` is the layout.

Nothing here knows names of routers, and nothing here writes to a worker's memory.
"""

from __future__ import annotations

import mmap
import operator
import os
import struct
import threading
from collections.abc import Set
from typing import Final

import msgspec

from edgerouter.telemetry import memory as layout

Series = tuple[int, ...]  # what, entry point's key, router's key, service's key
Worker = int | str  # what a memory is known by: the worker's slot, or a name for one that is leaving

_WORD: Final = 8


def new_memory(worker: int) -> int:
    """A memfd for one worker's counters, to be inherited by it and kept open here; raises OSError."""
    return os.memfd_create(f"edgerouter-counters-{worker}", os.MFD_CLOEXEC)


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What workers that are gone have counted, as plain data: it outlives this process (live upgrade)."""

    bounds: list[float]
    traffic: list[tuple[Series, tuple[int, int, int, int], list[int]]] = []
    failures: list[tuple[int, str, int]] = []
    opened: dict[int, int] = {}
    stalled: float = 0.0
    lost_series: int = 0
    lost_lines: int = 0


class Traffic:
    """One series: durations in ns, sizes in body bytes, buckets not cumulative, the last one without a bound."""

    __slots__ = ("buckets", "bytes_in", "bytes_out", "duration", "retries")

    def __init__(self, duration: int, bytes_in: int, bytes_out: int, retries: int, buckets: list[int]) -> None:
        self.duration = duration
        self.bytes_in = bytes_in
        self.bytes_out = bytes_out
        self.retries = retries
        self.buckets = buckets

    def copy(self) -> Traffic:
        """One that may be changed."""
        return Traffic(self.duration, self.bytes_in, self.bytes_out, self.retries, list(self.buckets))

    def take(self, other: Traffic) -> None:
        """Add to this one."""
        self.duration += other.duration
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.retries += other.retries
        self.buckets = list(map(operator.add, self.buckets, other.buckets))

    def requests(self) -> int:
        """Requests in all."""
        return sum(self.buckets)


class Totals:
    """Sums over workers. Gauges (``open``, ``in_flight``) are of living workers only; stalls are in seconds."""

    def __init__(self) -> None:
        self.traffic: dict[Series, Traffic] = {}
        self.failures: dict[tuple[int, str], int] = {}
        self.open: dict[int, int] = {}
        self.opened: dict[int, int] = {}
        self.in_flight = 0
        self.longest_stall: dict[Worker, float] = {}
        self.stalled = 0.0
        self.lost_series = 0
        self.lost_lines = 0

    def take(self, other: Totals) -> None:
        """Add what a dead worker left: its counters, none of its gauges."""
        for series, traffic in other.traffic.items():
            self.add(series, traffic.copy())
        for failure, count in other.failures.items():
            self.failures[failure] = self.failures.get(failure, 0) + count
        for entrypoint, count in other.opened.items():
            self.opened[entrypoint] = self.opened.get(entrypoint, 0) + count
        self.stalled += other.stalled
        self.lost_series += other.lost_series
        self.lost_lines += other.lost_lines

    def add(self, series: Series, traffic: Traffic) -> None:
        """Add to a series; ``traffic`` becomes the sum's own."""
        known = self.traffic.get(series)
        if known is None:
            self.traffic[series] = traffic
        else:
            known.take(traffic)


class CounterReader:
    """Adds up the memories of all workers. ``bounds`` must be those that the workers were given.

    Thread-safe: pages are made in threads while workers come and go.
    """

    def __init__(self, bounds: list[float] | None = None) -> None:
        self.bounds = list(layout.DEFAULT_BOUNDS if bounds is None else bounds)
        self._memories: dict[Worker, int] = {}
        self._base = Totals()
        self._takes = True
        self._lock = threading.Lock()

    def attach(self, worker: Worker, fd: int) -> None:
        """Read this memfd too, from now on; ``fd`` stays the caller's until ``detach``. One already there is folded."""
        self.detach(worker)
        with self._lock:
            self._memories[worker] = os.dup(fd)

    def memory(self, worker: Worker) -> int:
        """The descriptor of a worker's memory, -1 for none; it stays the reader's."""
        return self._memories.get(worker, -1)

    def counted(self) -> Counted:
        """What is kept of workers that are gone. Until ``go_on`` nothing is taken from workers that live: whoever is
        given this reads their memories too."""
        with self._lock:
            self._takes = False
            base = self._base
            return Counted(
                bounds=self.bounds,
                traffic=[
                    (series, (t.duration, t.bytes_in, t.bytes_out, t.retries), t.buckets)
                    for series, t in base.traffic.items()
                ],
                failures=[(key, cause, count) for (key, cause), count in base.failures.items()],
                opened=base.opened,
                stalled=base.stalled,
                lost_series=base.lost_series,
                lost_lines=base.lost_lines,
            )

    def go_on(self) -> None:
        """Nobody was given what is kept, after all."""
        with self._lock:
            self._takes = True

    def restore(self, counted: Counted) -> None:
        """Go on from there. With other bounds than before, traffic begins at nothing: buckets cannot be converted."""
        left = Totals()
        for series, numbers, buckets in counted.traffic if counted.bounds == self.bounds else ():
            left.add(series, Traffic(*numbers, buckets))
        left.failures = {(key, cause): count for key, cause, count in counted.failures}
        left.opened = dict(counted.opened)
        left.stalled, left.lost_series, left.lost_lines = counted.stalled, counted.lost_series, counted.lost_lines
        with self._lock:
            self._base.take(left)

    def detach(self, worker: Worker) -> None:
        """The worker is dead: keep what it counted, forget its gauges. Unknown workers are ignored."""
        with self._lock:
            fd = self._memories.pop(worker, -1)
            if fd < 0:
                return
            left = Totals()
            try:
                self._read(worker, fd, left)
            finally:
                os.close(fd)
            self._base.take(left)

    def totals(self) -> Totals:
        """The sums now."""
        totals = Totals()
        with self._lock:
            for worker, fd in self._memories.items():
                self._read(worker, fd, totals)
            totals.take(self._base)
        return totals

    def unknown(self, routers: Set[int], services: Set[int]) -> dict[Worker, list[int]]:
        """The places of blocks (``CounterMemory.retire``) whose router or service is none of these, by worker. What was
        retired before is taken on the way."""
        found: dict[Worker, list[int]] = {}
        known_routers, known_services = {0, *routers}, {0, *services}
        with self._lock:
            for worker, fd in self._memories.items():
                at: list[tuple[int, Series]] = []
                self._read(worker, fd, Totals(), at)
                places = [place for place, s in at if s[2] not in known_routers or s[3] not in known_services]
                if places:
                    found[worker] = places
        return found

    def forget(self, routers: Set[int], services: Set[int]) -> None:
        """Fold what dead workers and retired blocks left for routers and services that are not listed into their entry
        points."""
        with self._lock:
            self._base.traffic = _folded(self._base.traffic, routers, services)

    # -- one memory -------------------------------------------------------------------------------------------------

    def _read(self, worker: Worker, fd: int, totals: Totals, at: list[tuple[int, Series]] | None = None) -> None:
        """``at`` is told where each series of traffic lies."""
        size = os.fstat(fd).st_size
        if size < layout.HEADER_WORDS * _WORD:
            return  # its worker did not come so far
        mapped = mmap.mmap(fd, size)  # to be written too: retired blocks are given back
        with mapped, memoryview(mapped) as view, view.cast("Q") as words:
            header = layout.HEADERS.get(words[1], 0) if words[0] == layout.MAGIC else 0
            if header:
                self._read_header(worker, words, totals)
                self._read_blocks(words, header, totals, at)

    def _read_header(self, worker: Worker, words: memoryview, totals: Totals) -> None:
        totals.in_flight += words[layout.IN_FLIGHT_AT]
        totals.longest_stall[worker] = words[layout.STALL_AT] / 1e9
        totals.stalled += words[layout.STALL_SUM_AT] / 1e9
        totals.lost_series += words[layout.LOST_AT]
        totals.lost_lines += words[layout.LOST_LINES_AT]

    def _read_blocks(self, words: memoryview, header: int, totals: Totals, at: list[tuple[int, Series]] | None) -> None:
        size = words[layout.BLOCK_SIZE_AT]
        buckets = words[layout.BOUNDS_COUNT_AT] + 1
        if size != layout.block_words(buckets - 1) or buckets != len(self.bounds) + 1:
            return  # another version's bounds: numbers of another meaning
        room = (len(words) - header) // size
        used = min(words[layout.USED_AT], room)
        blocks = words[header : header + used * size].tobytes()
        end = layout.BUCKETS_AT + buckets
        add = totals.add
        for place, block in enumerate(struct.iter_unpack(f"@{size}Q", blocks)):
            if block[0] & layout.KIND == layout.TRAFFIC:
                series = block[:4]
                add(series, _traffic(block, end))
                if at is not None:
                    at.append((place, series))
            elif block[0] & layout.KIND == layout.RETIRED:
                self._take(words, header + place * size, end, totals)
            else:
                self._read_other(block, totals)

    def _take(self, words: memoryview, at: int, end: int, totals: Totals) -> None:
        """Numbers of a retired block. They are read again: the copy may be from before the last one was written."""
        block = tuple(words[at : at + end].tolist())
        series = (block[0] & ~layout.KIND | layout.TRAFFIC, *block[1:4])
        if self._takes:
            self._base.add(series, _traffic(block, end))
            words[at] = 0
        else:
            totals.add(series, _traffic(block, end))

    def _read_other(self, block: tuple[int, ...], totals: Totals) -> None:
        kind, entrypoint = block[0] & layout.KIND, block[1]
        if kind == layout.FAILURES:
            key = (entrypoint, _cause(block))
            totals.failures[key] = totals.failures.get(key, 0) + block[4]
        elif kind == layout.CONNECTIONS:
            totals.open[entrypoint] = totals.open.get(entrypoint, 0) + block[4]
            totals.opened[entrypoint] = totals.opened.get(entrypoint, 0) + block[5]


def _traffic(block: tuple[int, ...], end: int) -> Traffic:
    return Traffic(block[4], block[5], block[6], block[7], list(block[layout.BUCKETS_AT : end]))


def _folded(traffic: dict[Series, Traffic], routers: Set[int], services: Set[int]) -> dict[Series, Traffic]:
    kept = Totals()
    for (what, entrypoint, router, service), numbers in traffic.items():
        series = (what, entrypoint, router if router in routers else 0, service if service in services else 0)
        kept.add(series, numbers)
    return kept.traffic


def _cause(block: tuple[int, ...]) -> str:
    words = block[layout.CAUSE_AT : layout.CAUSE_AT + layout.CAUSE_BYTES // _WORD]
    return struct.pack(f"@{len(words)}Q", *words).rstrip(b"\0").decode("ascii", "replace")
