"""What is kept of Host fields between requests, found where they stand. What they mean is ``http1_target``'s.

Hosts repeat: what each was and what was made of it is kept. A table with one place for each hash is looked at before
the dictionary, since that costs neither a slice nor a keyed hash; a host whose place another one took costs those.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i64_le
from mypy_extensions import i64

from edgerouter.http.message import Authority
from edgerouter.wire.http1_target import host_of

_MOST: Final = 16384  # some 8 MB; a router with more hosts than that under load parses them again
_MASK: Final = 16383

_KNOWN: Final[dict[bytes, Authority]] = {}  # emptied when full, so that made-up hosts cost only their parsing
_PLACES: Final[list[Authority | None]] = [None] * _MOST


def authority_at(data: bytes, at: i64, end: i64) -> Authority:
    """What stands there, taken apart. Raises ValueError where it is no authority."""
    place: i64 = -1
    if end - at >= 8:
        place = _place(data, at, end)
        known = _PLACES[place]
        if known is not None and _is_at(known.raw, data, at, end):
            return known
    found = _of(data[at:end])
    if place >= 0:
        _PLACES[place] = found
    return found


def _of(raw: bytes) -> Authority:
    known = _KNOWN.get(raw)
    if known is None:
        known = Authority(raw, host_of(raw))
        if len(_KNOWN) >= _MOST:
            _KNOWN.clear()
            _PLACES[:] = [None] * _MOST
        _KNOWN[raw] = known
    return known


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
