"""Nonces of ``digestAuth`` that every worker can check and none has to remember, each of their counts good for once.

A nonce is a time and a signature; the key is the workers' own. Which counts of a nonce were used is kept in the shared
cells, as the highest and a window of 31 below it: the connections of one browser may overtake each other.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from edgerouter.telemetry.keyed import Cells
from edgerouter.telemetry.records import SharedRecords

LIFETIME: Final = 300  # seconds
_WINDOW: Final = 31  # counts below the highest that may still come
_HIGHEST: Final = 2**31 - 1  # count of a nonce, so that it fits a cell beside the window
_SECOND: Final = 1_000_000_000


class Nonces:
    """``now`` is the clock that all workers share, in seconds."""

    def __init__(self, shared: SharedRecords, realm: str, now: Callable[[], float]) -> None:
        self._shared = shared
        self._realm = realm
        self._now = now
        self._cells: Cells | None = None
        self._key = b""

    def make(self) -> str:
        """A new nonce. Raises RecordBusy."""
        body = f"{int(self._now()):x}.{os.urandom(8).hex()}"
        return f"{body}.{self._sign(body)}"

    def opaque(self) -> str:
        """The same for all challenges of the realm."""
        return self._sign("opaque")

    def use(self, nonce: str, count: int) -> bool:
        """True when the nonce is ours, not too old, and the count was not used. Raises RecordBusy."""
        body, _, sign = nonce.rpartition(".")
        if not body or not hmac.compare_digest(sign.encode("latin-1", "replace"), self._sign(body).encode()):
            return False
        ends = int(body.partition(".")[0], 16) + LIFETIME
        if self._now() >= ends or not 0 < count <= _HIGHEST:
            return False
        cells = self._table()
        number = cells.number(f"nonce\n{nonce}".encode())
        with cells.lock(number):
            at = cells.place(number)
            used = count_used(cells.value(at), count)
            if used < 0:
                return False
            cells.put(at, ends * _SECOND, used)
        return True

    def _table(self) -> Cells:
        if self._cells is None:
            self._cells = Cells(self._shared)
            self._key = self._cells.secret(b"digest " + self._realm.encode())
        return self._cells

    def _sign(self, text: str) -> str:
        self._table()
        return blake2b(text.encode("latin-1", "replace"), digest_size=12, key=self._key).hexdigest()


def count_used(value: int, count: int) -> int:
    """The cell's value once ``count`` is used: the highest count above 31 bits for those below it; -1: used before."""
    highest, seen = value >> _WINDOW, value & ((1 << _WINDOW) - 1)
    if count > highest:
        shift = count - highest
        seen = ((seen << 1 | 1) << shift - 1) & ((1 << _WINDOW) - 1) if shift <= _WINDOW else 0
        return count << _WINDOW | seen
    below = highest - count
    if below == 0 or below > _WINDOW or seen >> below - 1 & 1:
        return -1
    return value | 1 << below - 1
