"""The counters of one worker, in a memfd: this file is the layout and its only writer; ``reader`` is the other side.

One worker writes, the control process reads, nothing locks. The control process made the memfd and holds it, so the
counts survive a SIGKILL of the worker. All words are native unsigned 64-bit numbers, each aligned and written in whole.

Header, 71 words (64 in version 1): words 1 to 8 of a block, all that a request writes, shall share a line of the cache.
    0 magic   1 layout version   2 words in a block   3 blocks in use   4 histogram bounds (n)
    5 exchanges in flight   6 longest loop stall, ns   7 sum of loop stalls, ns   8 series that found no room
    9 access log lines that were lost
    16..63 the n bounds, as IEEE doubles in seconds
Blocks follow, of ``words in a block`` words each:
    0 what: kind | protocol << 4 | method << 8 | TLS version << 12 | TLS cipher << 16 | status << 24 (10 bits)
    1 entry point's key   2 router's key   3 service's key
    kind 1, traffic:      4 sum of durations, ns   5 bytes in   6 bytes out   7 retries   8.. n + 1 bucket counts
    kind 2, failures:     4 count   5..15 the cause, ASCII, padded with zeros
    kind 3, connections:  4 open now   5 opened ever
    kind 4, retired:      as kind 1; the worker writes it no more, and the reader takes its numbers
The number of requests of a series is the sum of its buckets: one store counts a request, so no reader and no kill
sees a histogram that disagrees with its counter. Word 0 of a block is written last when it is made, "blocks in use"
after that: a reader skips a block whose word 0 is zero. The memory grows by ftruncate and a new mapping.

A block whose router or service is no more is given back in two steps, each one store of word 0, so that nothing is
lost or counted twice whoever is killed: the worker makes it kind 4 (``retire``), and it is the reader's; the reader
adds its numbers to those of dead workers and makes word 0 zero, and it is the worker's, for another series.

Compiled. No clock, no names of routers: callers bring numbers.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from typing import Final

from librt.strings import BytesWriter, write_i64_le
from mypy_extensions import i64, mypyc_attr

MAGIC: Final = 0x65646765726F7574
VERSION: Final = 2
HEADER_WORDS: Final = 71
HEADERS: Final = {1: 64, VERSION: HEADER_WORDS}  # workers of before a live upgrade are read until they have left
BOUNDS_AT: Final = 16
MOST_BOUNDS: Final = 48
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
RETIRED: Final = 4
KIND: Final = 15
BUCKETS_AT: Final = 8
CAUSE_AT: Final = 5
CAUSE_BYTES: Final = 88
MOST_CAUSES: Final = 200  # per entry point; a bug that makes causes up must not fill the memory
FIRST_BLOCKS: Final = 64

DEFAULT_BOUNDS: Final[list[float]] = [0.1, 0.3, 1.2, 5.0]


def block_words(bounds: int) -> int:
    """Words of one block for a number of bounds: whole cache lines."""
    return max(16, (BUCKETS_AT + bounds + 1 + 7) // 8 * 8)


_LITTLE: Final = sys.byteorder == "little"
_FIRST_SLOTS: Final = 256
_MOST_SLOTS: Final = 65536


@mypyc_attr(acyclic=True)
class Block:
    """The writer's own copy of one series: what it is, where it lies and what was last stored."""

    def __init__(self, at: int, buckets: int) -> None:
        self.at: i64 = at
        self.what: i64 = 0
        self.entrypoint: i64 = 0
        self.router: i64 = 0
        self.service: i64 = 0
        self.duration: i64 = 0
        self.bytes_in: i64 = 0
        self.bytes_out: i64 = 0
        self.retries: i64 = 0
        self.first: i64 = 0  # count of the first bucket
        self.counts: list[int] = [0] * buckets  # of the others

    def is_of(self, what: i64, entrypoint: i64, router: i64, service: i64) -> bool:
        """True while requests with these numbers are counted here."""
        return self.what == what and self.router == router and self.service == service and self.entrypoint == entrypoint


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
        self._blocks: dict[tuple[int, int, int, int], Block] = {}
        self._recent: list[Block | None] = [None] * _FIRST_SLOTS  # by a cheap hash of the same four numbers
        self._mask: i64 = _FIRST_SLOTS - 1
        self._writer = BytesWriter()
        self._first_bound = self.bounds[0] if self.bounds else 1e18
        self._causes: dict[str, Block] = {}
        self._connections: dict[int, Block] = {}
        self._places: list[Block | None] = []  # the block at each place that traffic may be retired from
        self._retired: list[int] = []
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
        what: i64,
        entrypoint: i64,
        router: i64,
        service: i64,
        bytes_in: i64,
        bytes_out: i64,
        duration: float,
        retries: i64,
    ) -> None:
        """Count one request. ``what`` is word 0 of the layout with kind 1; duration in seconds."""
        block = self.series(what, entrypoint, router, service)
        if block is not None:
            self.count(block, bytes_in, bytes_out, duration, retries)

    def series(self, what: i64, entrypoint: i64, router: i64, service: i64) -> Block | None:
        """The block to ``count`` in, None when there is no room for it. It may be kept while ``is_of`` holds."""
        slot = ((router * 0x9E3779B1 + service * 0x85EBCA77 + what * 0xC2B2AE3D + entrypoint) >> 20) & self._mask
        block = self._recent[slot]
        if block is None or not block.is_of(what, entrypoint, router, service):
            block = self._series(what, entrypoint, router, service)
            if block is not None:
                self._recent[slot] = block
        return block

    def count(self, block: Block, bytes_in: i64, bytes_out: i64, duration: float, retries: i64) -> None:
        """Count one request of a series; duration in seconds."""
        if duration > 0.0:
            block.duration += i64(duration * 1e9)
        block.bytes_in += bytes_in
        block.bytes_out += bytes_out
        block.retries += retries
        if duration <= self._first_bound:
            block.first += 1
        self._store(block)
        if duration > self._first_bound:
            self._count_later(block, duration)

    def _store(self, block: Block) -> None:
        """Words 4 to 8 of a block at once: one copy into the map costs less than five numbers through a memoryview."""
        at = (block.at + 4) * 8
        if not _LITTLE:
            numbers = (block.duration, block.bytes_in, block.bytes_out, block.retries, block.first)
            struct.pack_into("@5Q", self._map, at, *numbers)
            return
        writer = self._writer
        writer.truncate(0)
        write_i64_le(writer, block.duration)
        write_i64_le(writer, block.bytes_in)
        write_i64_le(writer, block.bytes_out)
        write_i64_le(writer, block.retries)
        write_i64_le(writer, block.first)
        self._map[at : at + 40] = writer.getvalue()

    def _count_later(self, block: Block, duration: float) -> None:
        """Count in a bucket besides the first."""
        bucket = 1
        bounds = self.bounds
        while bucket < len(bounds) and duration > bounds[bucket]:
            bucket += 1
        count = block.counts[bucket] + 1
        block.counts[bucket] = count
        self._words[block.at + BUCKETS_AT + bucket] = count

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

    def _series(self, what: int, entrypoint: int, router: int, service: int) -> Block | None:
        """The block of these numbers, made when it is the first time; None when there is no room."""
        key = (what, entrypoint, router, service)
        block = self._blocks.get(key)
        if block is None:
            block = self._new_block(what, entrypoint, router, service)
            if block is not None:
                block.what, block.entrypoint, block.router, block.service = what, entrypoint, router, service
                self._blocks[key] = block
                slots = len(self._recent)
                if len(self._blocks) * 2 > slots and slots < _MOST_SLOTS:
                    self._recent = [None] * (slots * 2)
                    self._mask = slots * 2 - 1
        return block

    def retire(self, places: list[int]) -> None:
        """Give the blocks at these places (0 is the first) to the reader. The next request of such a series makes a new
        one, so nothing is lost if it lives after all."""
        for place in places:
            block = self._places[place] if 0 <= place < len(self._places) else None
            if block is None or not block.what:
                continue
            self._places[place] = None
            del self._blocks[(block.what, block.entrypoint, block.router, block.service)]
            slot = self._slot(block.what, block.entrypoint, block.router, block.service)
            if self._recent[slot] is block:
                self._recent[slot] = None
            self._words[block.at] = block.what & ~KIND | RETIRED
            block.what = 0  # whoever has kept it asks anew
            self._retired.append(block.at)

    def _slot(self, what: i64, entrypoint: i64, router: i64, service: i64) -> i64:
        return ((router * 0x9E3779B1 + service * 0x85EBCA77 + what * 0xC2B2AE3D + entrypoint) >> 20) & self._mask

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
        if self._retired and self._words[self._retired[0]] == 0:
            at = self._retired.pop(0)
            self._map[(at + 1) * 8 : (at + self._block_words) * 8] = bytes((self._block_words - 1) * 8)
            return at
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
        block = Block(at, len(self.bounds) + 1)
        place = (at - HEADER_WORDS) // self._block_words
        if place < self._used:
            self._places[place] = block
            return block
        self._places.append(block)
        self._used += 1
        words[USED_AT] = self._used
        return block

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
