"""The counters of one worker, in a memfd: this file is the layout and its only writer; ``reader`` is the other side.

One worker writes, the control process reads, nothing locks. The control process made the memfd and holds it, so the
counts survive a SIGKILL of the worker. All words are native unsigned 64-bit numbers, each written by one store.

Header, 64 words:
    0 magic   1 layout version   2 words in a block   3 blocks in use   4 histogram bounds (n)
    5 exchanges in flight   6 longest loop stall, ns   7 sum of loop stalls, ns   8 series that found no room
    9 access log lines that were lost
    16..63 the n bounds, as IEEE doubles in seconds
Blocks follow, append-only, of ``words in a block`` words each:
    0 what: kind | protocol << 4 | method << 8 | TLS version << 12 | TLS cipher << 16 | status << 24 (10 bits)
    1 entry point's key   2 router's key   3 service's key
    kind 1, traffic:      4 sum of durations, ns   5 bytes in   6 bytes out   7 retries   8.. n + 1 bucket counts
    kind 2, failures:     4 count   5..15 the cause, ASCII, padded with zeros
    kind 3, connections:  4 open now   5 opened ever
The number of requests of a series is the sum of its buckets: one store counts a request, so no reader and no kill
sees a histogram that disagrees with its counter. Word 0 of a block is written last when it is made, "blocks in use"
after that: a reader skips a block whose word 0 is zero. The memory grows by ftruncate and a new mapping.

Compiled. No clock, no names of routers: callers bring numbers.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

MAGIC: Final = 0x65646765726F7574
VERSION: Final = 1
HEADER_WORDS: Final = 64
BOUNDS_AT: Final = 16
MOST_BOUNDS: Final = HEADER_WORDS - BOUNDS_AT
BLOCK_SIZE_AT: Final = 2
USED_AT: Final = 3
BOUNDS_COUNT_AT: Final = 4
IN_FLIGHT_AT: Final = 5
STALL_AT: Final = 6
STALL_SUM_AT: Final = 7
LOST_AT: Final = 8
LOST_LINES_AT: Final = 9

TRAFFIC: Final = 1
FAILURES: Final = 2
CONNECTIONS: Final = 3
BUCKETS_AT: Final = 8
CAUSE_AT: Final = 5
CAUSE_BYTES: Final = 88
MOST_CAUSES: Final = 200  # per entry point; a bug that makes causes up must not fill the memory
FIRST_BLOCKS: Final = 64

DEFAULT_BOUNDS: Final[list[float]] = [0.1, 0.3, 1.2, 5.0]


def block_words(bounds: int) -> int:
    """Words of one block for a number of bounds: whole cache lines."""
    return max(16, (BUCKETS_AT + bounds + 1 + 7) // 8 * 8)


class Block:
    """The writer's own copy of one series: where it lies and what was last stored."""

    def __init__(self, at: int, buckets: int) -> None:
        self.at = at
        self.duration = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.retries = 0
        self.counts: list[int] = [0] * buckets


class CounterMemory:
    """Maps ``fd``, a memfd of this worker's own, and lays it out.

    It must be empty, since a memory that shrank under its reader would kill the reader (SIGBUS). ``bounds`` are the
    histogram's upper bounds in seconds, ascending, at most 48. Raises ValueError, OSError.
    """

    def __init__(self, fd: int, bounds: list[float] | None = None) -> None:
        self.fd = fd
        self.bounds: list[float] = list(DEFAULT_BOUNDS if bounds is None else bounds)
        if len(self.bounds) > MOST_BOUNDS or sorted(set(self.bounds)) != self.bounds:
            raise ValueError(f"histogram bounds must ascend and be at most {MOST_BOUNDS}: {self.bounds}")
        self._block_words = block_words(len(self.bounds))
        self._room = FIRST_BLOCKS
        self._used = 0
        self._in_flight = 0
        self._stall = 0
        self._stall_sum = 0
        self._lost = 0
        self._blocks: dict[int, dict[int, Block]] = {}
        self._causes: dict[str, Block] = {}
        self._connections: dict[int, Block] = {}
        size = (HEADER_WORDS + self._room * self._block_words) * 8
        if os.fstat(fd).st_size:
            raise ValueError("the memory of a worker's counters is not empty: each worker needs a new one")
        os.ftruncate(fd, size)
        self._map = mmap.mmap(fd, size)
        self._words = memoryview(self._map).cast("Q")
        self._write_header()

    def _write_header(self) -> None:
        words = self._words
        words[1] = VERSION
        words[BLOCK_SIZE_AT] = self._block_words
        words[BOUNDS_COUNT_AT] = len(self.bounds)
        at = BOUNDS_AT
        for bound in self.bounds:
            struct.pack_into("@d", self._map, at * 8, bound)
            at += 1
        words[0] = MAGIC

    # -- what a worker counts ---------------------------------------------------------------------------------------

    def add(
        self,
        what: int,
        entrypoint: int,
        router: int,
        service: int,
        bytes_in: int,
        bytes_out: int,
        duration: float,
        retries: int,
    ) -> None:
        """Count one request. ``what`` is word 0 of the layout with kind 1; duration in seconds."""
        series = self._blocks.get(router << 31 | service)
        block = None if series is None else series.get(what << 20 | entrypoint)
        if block is None:
            block = self._traffic_block(what, entrypoint, router, service)
            if block is None:
                return
        words = self._words
        at = block.at
        if duration > 0.0:
            block.duration += int(duration * 1e9)
            words[at + 4] = block.duration
        if bytes_in:
            block.bytes_in += bytes_in
            words[at + 5] = block.bytes_in
        if bytes_out:
            block.bytes_out += bytes_out
            words[at + 6] = block.bytes_out
        if retries:
            block.retries += retries
            words[at + 7] = block.retries
        bucket = 0
        for bound in self.bounds:
            if duration <= bound:
                break
            bucket += 1
        count = block.counts[bucket] + 1
        block.counts[bucket] = count
        words[at + BUCKETS_AT + bucket] = count

    def fail(self, entrypoint: int, cause: str) -> None:
        """Count one failed exchange by its cause."""
        key = f"{entrypoint} {cause}"
        block = self._causes.get(key)
        if block is None:
            if len(self._causes) >= MOST_CAUSES and cause != "OTHER":
                self.fail(entrypoint, "OTHER")
                return
            block = self._cause_block(entrypoint, cause)
            if block is None:
                return
            self._causes[key] = block
        block.counts[0] += 1
        self._words[block.at + 4] = block.counts[0]

    def connections(self, entrypoint: int, change: int) -> None:
        """Client connections of an entry point: one more (1) or one less (-1)."""
        block = self._connections.get(entrypoint)
        if block is None:
            block = self._new_block(CONNECTIONS, entrypoint, 0, 0)
            if block is None:
                return
            self._connections[entrypoint] = block
        block.counts[0] = max(0, block.counts[0] + change)
        self._words[block.at + 4] = block.counts[0]
        if change > 0:
            block.duration += change
            self._words[block.at + 5] = block.duration

    def in_flight(self, change: int) -> None:
        """Exchanges in flight: one more (1) or one less (-1); ``show_in_flight`` lets readers see it."""
        self._in_flight += change

    def show_in_flight(self) -> None:
        """Called a few times a second: two stores a request are saved, and a gauge may be that much late."""
        self._words[IN_FLIGHT_AT] = max(0, self._in_flight)

    def stalled(self, seconds: float) -> None:
        """The loop came late by so much: keeps the longest and the sum."""
        stall = int(seconds * 1e9)
        if stall <= 0:
            return
        self._stall_sum += stall
        self._words[STALL_SUM_AT] = self._stall_sum
        if stall > self._stall:
            self._stall = stall
            self._words[STALL_AT] = stall

    def lines_lost(self, count: int) -> None:
        """Set the number of access log lines that could not be written."""
        self._words[LOST_LINES_AT] = count

    # -- making blocks ----------------------------------------------------------------------------------------------

    def _traffic_block(self, what: int, entrypoint: int, router: int, service: int) -> Block | None:
        block = self._new_block(what, entrypoint, router, service)
        if block is not None:
            where = router << 31 | service
            series = self._blocks.get(where)
            if series is None:
                series = {}
                self._blocks[where] = series
            series[what << 20 | entrypoint] = block
        return block

    def _cause_block(self, entrypoint: int, cause: str) -> Block | None:
        at = self._reserve()
        if at < 0:
            return None
        text = cause.encode("ascii", "replace")[:CAUSE_BYTES]
        start = (at + CAUSE_AT) * 8
        self._map[start : start + len(text)] = text
        return self._publish(at, FAILURES, entrypoint, 0, 0)

    def _new_block(self, what: int, entrypoint: int, router: int, service: int) -> Block | None:
        at = self._reserve()
        return None if at < 0 else self._publish(at, what, entrypoint, router, service)

    def _reserve(self) -> int:
        """Find the place of the next block, or -1 when the machine gives no more memory (counted, never raised)."""
        if self._used == self._room and not self._grow():
            self._lost += 1
            self._words[LOST_AT] = self._lost
            return -1
        return HEADER_WORDS + self._used * self._block_words

    def _publish(self, at: int, what: int, entrypoint: int, router: int, service: int) -> Block:
        words = self._words
        words[at + 1] = entrypoint
        words[at + 2] = router
        words[at + 3] = service
        words[at] = what
        self._used += 1
        words[USED_AT] = self._used
        return Block(at, len(self.bounds) + 1)

    def _grow(self) -> bool:
        room = self._room * 2
        size = (HEADER_WORDS + room * self._block_words) * 8
        try:
            os.ftruncate(self.fd, size)
            grown = mmap.mmap(self.fd, size)
        except (OSError, ValueError):
            return False
        self._words.release()
        self._map.close()
        self._map = grown
        self._words = memoryview(grown).cast("Q")
        self._room = room
        return True

    def close(self) -> None:
        """Unmap; the memfd and its counts stay."""
        self._words.release()
        self._map.close()
