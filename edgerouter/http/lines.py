"""Header lines as bytes: where one ends, which name it bears, how one is written. Nothing here knows of messages.

A set of names is one word with a bit for each name, the same bit for several: a name whose bit is not set is not there,
and that is known without looking at a line. Most fields that middlewares ask for or set are not there.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i32_le, read_i64_le
from mypy_extensions import i64

FOLD: Final = bytes(range(65)) + bytes(range(97, 123)) + bytes(range(91, 256))  # ASCII lower case, byte for byte
ALL: Final = -1  # the set of names that may hold any

CODEC_FIELDS: Final = frozenset(
    [
        "connection",
        "content-length",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ]
)  # framing and routing of one connection: written by codecs from the attributes of messages, never from a field

_TOKEN: Final = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class FieldName:
    """A name as look-ups need it. Raises ValueError for letters that no name can hold.

    ``codec``: one of ``CODEC_FIELDS``. ``apart``: its line may stand where a message shows it and does not write it.
    ``prefix``: how its line begins, b"" where the name is no token.
    """

    def __init__(self, name: str) -> None:
        spelt = name.encode("latin-1")
        self.folded = spelt.translate(FOLD)
        self.codec = name.lower() in CODEC_FIELDS
        self.apart = self.folded == b"host" or self.folded == b"content-length"
        self.prefix = spelt + b": " if name and not name.strip(_TOKEN) else b""
        self.bit: i64 = name_bit(self.folded, 0, len(spelt)) if self.prefix else 0  # what is no token stands nowhere


_NAMES: Final[dict[str, FieldName]] = {}
_MOST_NAMES: Final = 4096  # names that clients make up must not fill the memory


def field_name(name: str) -> FieldName:
    """The name taken apart, kept for the next time."""
    known = _NAMES.get(name)
    if known is None:
        known = FieldName(name)
        if len(_NAMES) >= _MOST_NAMES:
            _NAMES.clear()
        _NAMES[name] = known
    return known


def name_bit(block: bytes, at: i64, colon: i64) -> i64:
    """The bit of the name that stands there, whatever the case of its letters; ``at`` is less than ``colon``.

    Its length, first and last eight bytes say it (four, where it is shorter). The factor was searched for: few of the
    names that middlewares ask for have the bit of one that browsers and servers always send.
    """
    length: i64 = colon - at
    factor: i64 = 2097655010301709403
    spaces: i64 = 0x20202020
    word: i64 = 0
    if length >= 8:
        spaces |= spaces << 32
        word = (read_i64_le(block, at) | spaces) * 3 + (read_i64_le(block, colon - 8) | spaces)
    elif length >= 4:
        word = (i64(read_i32_le(block, at)) | spaces) * factor + (i64(read_i32_le(block, colon - 4)) | spaces)
    else:
        while at < colon:
            word = word << 8 | block[at] | 32
            at += 1
    bit: i64 = 1  # changed below: a constant would be shifted in C's int, of 32 bits
    bit <<= ((word + length) * factor >> 58) & 63
    return bit


def first_flag(flags: i64) -> i64:
    """Which byte of a word (0 to 7) is the first with its high bit set; ``flags`` has some such bit and no others."""
    ones: i64 = 0x01010101
    ones |= ones << 32
    return (((flags - 1) & ~flags & (ones - 1)) * ones >> 56) & 7  # a one for each byte before it, added up


def names_in(block: bytes) -> i64:
    """The set of names of whole lines."""
    names: i64 = 0
    at: i64 = 0
    size: i64 = len(block)
    colon: i64 = 0
    while at < size:
        colon = block.find(b":", at)
        if colon <= at:
            return ALL
        names |= name_bit(block, at, colon)
        at = line_end(block, at)
    return names


def line_end(block: bytes, at: i64) -> i64:
    """Behind the next LF, or the block's size. Eight bytes are looked at in one: ``flags`` has the high bit of the
    first byte that is LF, and perhaps of later ones."""
    size: i64 = len(block)
    words: i64 = size - 8
    flags: i64 = 0
    word: i64 = 0
    ones: i64 = 0x01010101
    ones |= ones << 32
    high: i64 = ones << 7
    feeds: i64 = ones * 10
    while at <= words:
        word = read_i64_le(block, at) ^ feeds
        flags = (word - ones) & ~word & high
        if flags != 0:
            return at + first_flag(flags) + 1
        at += 8
    while at < size:
        if block[at] == 10:
            return at + 1
        at += 1
    return size


def find_line(block: bytes, name: bytes, at: i64) -> i64:
    """Where the first line begins, from the one at ``at`` on, that bears the name (in lower case); -1 for none."""
    length: i64 = len(name)
    size: i64 = len(block)
    i: i64 = 0
    while at + length < size:
        if block[at + length] == 58:
            i = 0
            while i < length and FOLD[block[at + i]] == name[i]:
                i += 1
            if i == length:
                return at
        at = line_end(block, at)
    return -1


def value_span(block: bytes, start: i64, end: i64) -> tuple[i64, i64]:
    """The value of the line whose colon is before ``start``, without the white space around it and the CRLF."""
    end -= 2
    while start < end and (block[start] == 32 or block[start] == 9):
        start += 1
    while end > start and (block[end - 1] == 32 or block[end - 1] == 9):
        end -= 1
    return start, end


def field_line(field: FieldName, name: str, value: str) -> bytes:
    """The line of a field. Raises ValueError for CR, LF, NUL or a name that is none."""
    data = value.encode("latin-1") if value.isascii() else value.encode("latin-1", "replace")
    size: i64 = len(data)
    i: i64 = 0
    byte: i64 = 0
    while i < size:
        byte = data[i]
        if byte < 14 and (byte == 13 or byte == 10 or byte == 0):
            break
        i += 1
    if i < size or not field.prefix:
        raise ValueError(f"not a header field: {name!r}: {value!r}")
    return field.prefix + data + b"\r\n"
