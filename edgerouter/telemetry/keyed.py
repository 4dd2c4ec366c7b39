"""Numbers by key that all workers share: one table for many limiters and their clients. No policy lives here.

Records (``telemetry.records``) are few and stay; clients are many and pass. So one record is a table of sets of eight
entries: a key's hash chooses its set, the set's lock is one byte of the record, and when all eight are taken the one
that says least is forgotten. The hash is keyed by a number that the first worker drew, so that nobody outside can
choose keys that meet in one set.

``Cells`` are changed by any worker under the set's lock. ``Holds`` count what is held now: each worker counts in its
own part, which is zeroed when that worker dies.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Final

from edgerouter.telemetry.records import Lock, SharedRecord, SharedRecords

WAYS: Final = 8
CELL_SETS: Final = 65536  # 12.6 MB of address space; only pages in use cost memory
HOLD_SETS: Final = 4096
PRIVATE_SETS = 512  # without shared memory; not Final, which would be compiled in: tests make it small
_SEED: Final = 0  # the first shared word
_MOST_NUMBERS: Final = 1024  # that are remembered, to save their hashing
_CELL_WORDS: Final = 3  # key, until, value


def _sets(shared: SharedRecords, many: int) -> int:
    return many if shared.fd >= 0 else PRIVATE_SETS


class _Table:
    def __init__(self, record: SharedRecord, sets: int) -> None:
        self.record = record
        self._sets = sets
        self._key = self._seed().to_bytes(8, "little", signed=True)
        self._numbers: dict[str, int] = {}

    def _seed(self) -> int:
        record = self.record
        with record.lock:
            seed = record.get(_SEED)
            if not seed:
                seed = int.from_bytes(os.urandom(8), "little", signed=True) | 1
                record.set(_SEED, seed)
        return seed

    def number(self, key: bytes) -> int:
        """The number that stands for a key; never 0."""
        return int.from_bytes(blake2b(key, digest_size=8, key=self._key).digest(), "little", signed=True) or 1

    def number_of(self, owner: str, source: str) -> int:
        """The number of a client, remembered for a while. One table object serves one owner."""
        known = self._numbers.get(source)
        if known is None:
            known = self.number((owner + source).encode("utf-8", "surrogateescape"))
            if len(self._numbers) >= _MOST_NUMBERS:
                self._numbers.clear()
            self._numbers[source] = known
        return known

    def secret(self, purpose: bytes) -> bytes:
        """32 bytes that all workers of this machine agree on, and nobody else knows."""
        return blake2b(purpose, digest_size=32, key=self._key + b"secret").digest()

    def lock(self, number: int) -> Lock:
        """The lock of the number's set; entering it raises RecordBusy."""
        return self.record.stripe(number % self._sets)


class Cells(_Table):
    """One value and one time for each key. An entry whose ``until`` is past says nothing and may be forgotten."""

    def __init__(self, shared: SharedRecords) -> None:
        """Raises RecordBusy."""
        sets = _sets(shared, CELL_SETS)
        super().__init__(shared.record("cells", 1 + sets * WAYS * _CELL_WORDS, 0), sets)

    def place(self, number: int) -> int:
        """Where the number's entry is, emptied if it is new; only inside of ``with lock(number)``."""
        record = self.record
        first = 1 + number % self._sets * WAYS * _CELL_WORDS
        oldest, least = first, record.get(first + 1)
        for at in range(first, first + WAYS * _CELL_WORDS, _CELL_WORDS):
            if record.get(at) == number:
                return at
            until = record.get(at + 1)
            if until < least:
                oldest, least = at, until
        record.set(oldest, number)
        record.set(oldest + 1, 0)
        record.set(oldest + 2, 0)
        return oldest

    def look(self, number: int) -> int:
        """The number's value without a lock, 0 where it has none: for who can bear to be an instant late."""
        record = self.record
        first = 1 + number % self._sets * WAYS * _CELL_WORDS
        for at in range(first, first + WAYS * _CELL_WORDS, _CELL_WORDS):
            if record.get(at) == number:
                return record.get(at + 2)
        return 0

    def until(self, at: int) -> int:
        """The entry's time; 0 when it is new."""
        return self.record.get(at + 1)

    def value(self, at: int) -> int:
        """The entry's value; 0 when it is new."""
        return self.record.get(at + 2)

    def put(self, at: int, until: int, value: int = 0) -> None:
        """Change the entry."""
        self.record.set(at + 1, until)
        self.record.set(at + 2, value)


class Holds(_Table):
    """How much is held under each key, by all workers together."""

    def __init__(self, shared: SharedRecords) -> None:
        """Raises RecordBusy."""
        sets = _sets(shared, HOLD_SETS)
        entries = sets * WAYS
        super().__init__(shared.record("holds", 1 + entries, entries, gauges=entries), sets)

    def take(self, number: int, most: int) -> int:
        """Hold one more under the number: the entry to ``give`` back, -1 when ``most`` are held already.

        When eight other keys of the set are held, the number's own is not counted: the entry is then -2, and there is
        nothing to give back. Raises RecordBusy.
        """
        record = self.record
        first = number % self._sets * WAYS
        free = -2
        with self.lock(number):
            for at in range(first, first + WAYS):
                known = record.get(1 + at) == number
                if known or (free < 0 and record.total(at) == 0):
                    free = at
                    if known:
                        break
            if free == -2:
                return -2
            if record.get(1 + free) != number:
                record.set(1 + free, number)
            if record.total(free) >= most:
                return -1
            record.add(free, 1)
        return free

    def give(self, entry: int) -> None:
        """The opposite of ``take``."""
        self.record.add(entry, -1)
