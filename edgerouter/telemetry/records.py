"""A few numbers shared by all workers: breaker windows, limits, gauges, in one memfd. No policy lives here.

The control process makes the memory (``create_records``) and hands its descriptor to every worker. A record is found
by its name and made on first use. It has *shared* words, changed under the record's lock, and one *part* for each
worker slot, written by that worker alone and read by all: counting takes no lock, and a sum over all parts is exact
whoever was killed.

Locks are POSIX byte-range locks (``fcntl``) on the memory, one byte a record: the kernel frees those of a process that
is gone. They are held for microseconds, never across an await; a holder that was stopped is waited for no longer than
``LONGEST_WAIT``, then ``RecordBusy`` is raised and the caller goes on without.

Layout, in 64-bit words:
    0 magic   1 version   2 words in use   3 records   4 records that found no room   5 worker slots
    8 .. 8 + 2 * SLOTS: the table of names: hash, first word of the record (0: empty; written last)
    then the records:  0 shared words  1 words of a part  2 gauges  3 bytes of the name  4 .. the name, the shared
    words, the parts.
A process that is killed while it makes a record leaks that record's words and breaks nothing.

Limits: ``SLOTS`` * 3/4 records; the memory does not grow, it is sparse: ``DEFAULT_SIZE`` is address space, only pages
in use cost memory. Records are not taken back while the router runs: a name is used again by the same options, so only
changed options add one. When there is no room a record is private to its process: a limit then counts that worker
alone, and word 4 tells.
Without memory (``SharedRecords()``) all records are private: one process, same results.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from hashlib import blake2b
from time import monotonic, sleep
from types import TracebackType
from typing import Final

from edgerouter.contracts.plugins import Record

MAGIC: Final = 0x7264_7365_6467_6572
VERSION: Final = 1
SLOTS = 32768  # not Final, which would be compiled in: tests make it small
DEFAULT_SIZE: Final = 256 << 20  # bytes
LONGEST_WAIT: Final = 0.05  # seconds
SHORT_WAIT: Final = 0.001  # seconds, for those who can come again
MOST_WORKERS: Final = 64

_USED_AT: Final = 2
_COUNT_AT: Final = 3
_LOST_AT: Final = 4
_WORKERS_AT: Final = 5
_TABLE_AT: Final = 8
_FIRST_AT: Final = _TABLE_AT + 2 * SLOTS
_HEAD: Final = 4  # words of a record before its name
_TABLE_LOCK: Final = 0  # the byte that guards the table; records are guarded by the byte of their first word


class RecordBusy(Exception):
    """Another process holds the record's lock and does not go on."""


def create_records(size: int = DEFAULT_SIZE, workers: int = 1) -> int:
    """Make the memory for that many worker slots and return its descriptor (not inherited unless it is passed on).

    ``size`` in bytes. Raises OSError when the kernel has no memfd, ValueError for a size that holds no record.
    """
    if size < 8 * (_FIRST_AT + 64) or not 1 <= workers <= MOST_WORKERS:
        raise ValueError(f"records: {size} bytes for {workers} workers; at least {8 * (_FIRST_AT + 64)} are needed")
    fd = os.memfd_create("edgerouter-records", os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    with mmap.mmap(fd, size) as memory, memoryview(memory) as raw, raw.cast("q") as words:
        words[1] = VERSION
        words[_USED_AT] = _FIRST_AT
        words[_WORKERS_AT] = workers
        words[0] = MAGIC
    return fd


class Lock:
    """``with record.lock:``; not for nesting."""

    def __init__(self, fd: int, byte: int, longest: float = LONGEST_WAIT) -> None:
        self._fd = fd
        self._byte = byte
        self._longest = longest

    def __enter__(self) -> None:
        """Raises RecordBusy after ``longest`` seconds."""
        if self._fd >= 0 and not self._try():
            self._wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, self._byte)

    def _try(self) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._byte)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def _wait(self) -> None:
        deadline = monotonic() + self._longest
        pause = 0.0
        while not self._try():
            if monotonic() > deadline:
                raise RecordBusy(f"byte {self._byte} of the records' memory stays locked")
            sleep(pause)  # 0 first: the holder may only have lost its turn on this core
            pause = min(pause + 0.0001, 0.002)


class SharedRecord(Record):
    """One record. Indexes are not checked against its neighbours: they are constants of the middleware's code."""

    def __init__(self, words: memoryview, first: int, fd: int, worker_slot: int, workers: int) -> None:
        self.words = words
        self.lock = Lock(fd, first)
        self._fd = fd
        self._first = first
        self.is_shared = fd >= 0
        self._part_words = int(words[first + 1])
        self._shared_at = first + _HEAD + (int(words[first + 3]) + 7) // 8
        self._parts_at = self._shared_at + int(words[first])
        self._own_at = self._parts_at + worker_slot * self._part_words
        self._workers = workers

    # -- this worker's part: one writer, no lock ------------------------------------------------------------------

    def add(self, index: int, amount: int) -> None:
        """See ``Record.add``."""
        self.words[self._own_at + index] += amount

    def put(self, index: int, value: int) -> None:
        """Set a word of this worker's part."""
        self.words[self._own_at + index] = value

    def own(self, index: int) -> int:
        """Return a word of this worker's part."""
        return int(self.words[self._own_at + index])

    def zero(self, count: int) -> None:
        """Zero the first words of this worker's part."""
        self.words[self._own_at : self._own_at + count] = memoryview(bytes(8 * count)).cast("q")

    # -- all parts ------------------------------------------------------------------------------------------------

    def total(self, index: int) -> int:
        """See ``Record.total``."""
        words = self.words
        at = self._parts_at + index
        amount = 0
        for _ in range(self._workers):
            amount += int(words[at])
            at += self._part_words
        return amount

    def parts(self) -> list[list[int]]:
        """Return every worker's part as it is now; a part that is being written may be half new."""
        return [self.slice(slot, 0, self._part_words) for slot in range(self._workers)]

    def slice(self, slot: int, index: int, count: int) -> list[int]:
        """Some words of one worker's part, as they are now."""
        at = self._parts_at + slot * self._part_words + index
        words: list[int] = self.words[at : at + count].tolist()
        return words

    @property
    def workers(self) -> int:
        """How many parts there are."""
        return self._workers

    # -- the shared words: read at any time, changed under the lock -----------------------------------------------

    def get(self, index: int) -> int:
        """Return a shared word."""
        return int(self.words[self._shared_at + index])

    def set(self, index: int, value: int) -> None:
        """Set a shared word; only inside of ``with record.lock``."""
        self.words[self._shared_at + index] = value

    def take(self, index: int, amount: int, most: int) -> bool:
        """Add to a shared word under the lock unless it would exceed ``most``; raises RecordBusy."""
        with self.lock:
            value = self.get(index) + amount
            if value > most:
                return False
            self.set(index, value)
            return True

    def stripe(self, index: int) -> Lock:
        """A lock of a part of the record: ``index`` is less than its words, and means what the caller likes. Waited for
        no longer than ``SHORT_WAIT``: whoever takes it comes again later."""
        return Lock(self._fd, self._first + 1 + index, SHORT_WAIT)


class SharedRecords:
    """The records as one process sees them: the worker in slot ``worker_slot``, or the control process.

    ``fd`` -1: no memory, everything is private. ``worker_slot`` is also where ``services`` read who they are. ``part``
    is the worker's own part of each record, by default that of its slot: no two workers that live have the same.
    Raises ValueError when the memory was not made by ``create_records`` of this version.
    """

    def __init__(self, fd: int = -1, worker_slot: int = 0, part: int = -1) -> None:
        self.fd = fd
        self.worker_slot = worker_slot
        self.part = part if part >= 0 else worker_slot
        self.workers = 1
        self._known: dict[str, SharedRecord] = {}
        self._words = memoryview(b"").cast("q")
        if fd >= 0:
            self._map(fd, self.part)
        self._table_lock = Lock(fd, _TABLE_LOCK)

    def _map(self, fd: int, part: int) -> None:
        size = os.fstat(fd).st_size
        words = memoryview(mmap.mmap(fd, size)).cast("q") if size >= 8 * _FIRST_AT else self._words
        if len(words) == 0 or words[0] != MAGIC or words[1] != VERSION:
            raise ValueError(f"records: descriptor {fd} is no records' memory of version {VERSION}")
        self._words = words
        self.workers = int(words[_WORKERS_AT])
        if not 0 <= part < self.workers:
            raise ValueError(f"records: worker slot {part} of {self.workers}")

    def record(self, name: str, shared_words: int, part_words: int, gauges: int = 0) -> SharedRecord:
        """Find the record of that name and shape, or make it; the same object each time.

        The first ``gauges`` words of a part are zeroed when its worker begins or dies. Raises RecordBusy.
        """
        key = f"{name}#{shared_words}.{part_words}.{gauges}"
        known = self._known.get(key)
        if known is not None:
            return known
        first = 0
        if self.fd >= 0:
            with self._table_lock:
                first = self._find_or_make(key.encode(), shared_words, part_words, gauges)
        if first:
            made = SharedRecord(self._words, first, self.fd, self.part, self.workers)
            made.zero(gauges)
        else:
            made = self._private_record(shared_words, part_words)
        self._known[key] = made
        return made

    def used(self) -> tuple[int, int]:
        """How many records there are, and how many there may be."""
        return (int(self._words[_COUNT_AT]) if self.fd >= 0 else 0), SLOTS * 3 // 4

    def lost(self) -> int:
        """Return how many records found no room, and are therefore private to each worker."""
        return int(self._words[_LOST_AT]) if self.fd >= 0 else 0

    def zero_gauges(self, part: int) -> None:
        """A worker died: what it had in flight is no more. For the control process; raises RecordBusy."""
        words = self._words
        with self._table_lock:
            firsts = [words[_TABLE_AT + 2 * slot + 1] for slot in range(SLOTS)] if self.fd >= 0 else []
        for first in firsts:
            if first and words[first + 2]:
                record = SharedRecord(words, first, self.fd, part, self.workers)
                record.zero(int(words[first + 2]))

    def _find_or_make(self, key: bytes, shared_words: int, part_words: int, gauges: int) -> int:
        words = self._words
        wanted = int.from_bytes(blake2b(key, digest_size=8).digest(), "little", signed=True)
        slot = wanted % SLOTS
        while words[_TABLE_AT + 2 * slot + 1]:
            first = int(words[_TABLE_AT + 2 * slot + 1])
            if words[_TABLE_AT + 2 * slot] == wanted and self._name_at(first) == key:
                return first
            slot = (slot + 1) % SLOTS
        name_words = (len(key) + 7) // 8
        first = int(words[_USED_AT])
        end = first + _HEAD + name_words + shared_words + part_words * self.workers
        if end > len(words) or words[_COUNT_AT] >= SLOTS * 3 // 4:
            words[_LOST_AT] += 1
            return 0
        words[_USED_AT] = end
        words[_COUNT_AT] += 1
        for index, value in enumerate((shared_words, part_words, gauges, len(key))):
            words[first + index] = value
        words.cast("B")[8 * (first + _HEAD) : 8 * (first + _HEAD) + len(key)] = key
        words[_TABLE_AT + 2 * slot] = wanted
        words[_TABLE_AT + 2 * slot + 1] = first
        return first

    def _name_at(self, first: int) -> bytes:
        at = 8 * (first + _HEAD)
        return bytes(self._words.cast("B")[at : at + self._words[first + 3]])

    @staticmethod
    def _private_record(shared_words: int, part_words: int) -> SharedRecord:
        words = memoryview(bytearray(8 * (_HEAD + shared_words + part_words))).cast("q")
        words[0], words[1] = shared_words, part_words
        return SharedRecord(words, 0, -1, 0, 1)
