"""What is kept of Host fields between requests, found where they stand. What they mean is ``http1_target``'s.

Hosts repeat: what some of them were and what was made of it is kept. Only few: of ten thousand hosts that are all asked
for, what was kept of each would have left the processor's cache, and to read it again costs more than to make it anew.
"""

from __future__ import annotations

from sys import intern
from typing import Final

from librt.strings import read_i64_le
from mypy_extensions import i64

from edgerouter.http.message import Authority
from edgerouter.wire.http1_target import host_of, is_plain_host

_MASK: Final = 511
_TURNS: Final = 8  # one in so many that are not found gets a place: hosts without end pass by those that repeat


class _Kept:
    """One place for each hash; an ``Authority`` is some 300 bytes with what belongs to it."""

    def __init__(self) -> None:
        self.places: list[Authority | None] = [None] * (_MASK + 1)
        self.missed: i64 = 0


_KEPT: Final = _Kept()


def authority_at(data: bytes, at: i64, end: i64) -> Authority:
    """What stands there, taken apart. Raises ValueError where it is no authority."""
    if end - at < 8:
        return _made(data[at:end], False)
    kept = _KEPT
    place = _place(data, at, end)
    known = kept.places[place]
    if known is not None and _is_at(known.raw, data, at, end):
        return known
    kept.missed += 1
    if kept.missed % _TURNS != 0:
        return _made(data[at:end], False)
    found = _made(data[at:end], True)
    kept.places[place] = found
    return found


def _made(raw: bytes, keep: bool) -> Authority:
    """``keep``: the host becomes a rule's text for it, found by identity."""
    text = raw.decode("latin-1")
    if not is_plain_host(raw):
        return Authority(raw, text, host_of(raw))
    if keep:
        text = intern(text)
    return Authority(raw, text, text)


def _place(data: bytes, at: i64, end: i64) -> i64:
    """Words of eight bytes, the last one perhaps read in part twice, multiplied into each other."""
    last: i64 = end - 8
    mixed: i64 = end - at
    while at < last:
        mixed = (mixed ^ read_i64_le(data, at)) * 0x1E3779B97F4A7C15
        mixed ^= mixed >> 32
        at += 8
    mixed = (mixed ^ read_i64_le(data, last)) * 0x1E3779B97F4A7C15
    return mixed >> 50 & _MASK


def _is_at(raw: bytes, data: bytes, at: i64, end: i64) -> bool:
    """True where these bytes, eight or more, stand there."""
    size: i64 = len(raw)
    last: i64 = size - 8
    i: i64 = 0
    if size != end - at:
        return False
    while i < last:
        if read_i64_le(raw, i) != read_i64_le(data, at + i):
            return False
        i += 8
    return read_i64_le(raw, last) == read_i64_le(data, at + last)
