"""Rendezvous hashing: the same client meets the same member, and only those of a member that left move. Compiled.

32-bit mixing in 64-bit words, masked after each product, so that compiled and plain Python agree to the bit. Python's
own ``hash`` differs from process to process and would send a client elsewhere in each worker.
"""

from __future__ import annotations

from hashlib import blake2b
from math import log
from typing import Final

from mypy_extensions import i64

_MASK: Final = 0xFFFFFFFF
_MOST: Final = 4096  # texts whose hash is remembered; emptied when full, so that made-up clients cost only their making
_KNOWN: Final[dict[str, int]] = {}


def hashed(text: str) -> int:
    """Return 32 bits of the text, the same in every process and on every machine."""
    known = _KNOWN.get(text)
    if known is None:
        known = int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big")
        if len(_KNOWN) >= _MOST:
            _KNOWN.clear()
        _KNOWN[text] = known
    return known


def mixed(client: int, member: int) -> int:
    """Return 32 bits of a pair of hashes: each bit of either changes half of them."""
    x: i64 = client
    x = (x * 0x9E3779B1 + member) & _MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return int(x ^ (x >> 16))


class Rendezvous:
    """Members by key and weight > 0; each client's best one has, over all clients, its share by weight."""

    def __init__(self, members: list[tuple[str, int]]) -> None:
        self._hashes: list[int] = [hashed(key) for key, _ in members]
        self._weights: list[float] = [float(weight) for _, weight in members]
        self._equal = len(set(self._weights)) < 2

    def best(self, client: str) -> int:
        """Return the index of the client's member, -1 when there is none."""
        who = hashed(client)
        return self._best_of_equals(who) if self._equal else self._best_by_weight(who)

    def _best_of_equals(self, who: int) -> int:
        best, most = -1, -1
        for index, member in enumerate(self._hashes):
            score = mixed(who, member)
            if score > most:
                best, most = index, score
        return best

    def _best_by_weight(self, who: int) -> int:
        """Weighted rendezvous: of exponential variables with these rates the first one wins in proportion to them."""
        best, least = -1, 0.0
        for index, member in enumerate(self._hashes):
            wait = -log((mixed(who, member) + 0.5) / 4294967296.0) / self._weights[index]
            if best < 0 or wait < least:
                best, least = index, wait
        return best
