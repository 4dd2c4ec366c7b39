"""What nearly every head says, known by words of four bytes, without a slice to compare. Nothing is decided here."""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_le, read_i32_le
from mypy_extensions import i64

OK_SIZE: Final = 17


def is_usual(data: bytes, at: i64, length: i64) -> bool:
    """True where the name of that length is Host, Content-Length or Connection, in any case. It was checked: each
    of its bytes may stand in a name, and of those only the letter's other case becomes the same byte here."""
    word = read_i32_le(data, at) | 0x20202020  # a line has no less, with its colon and CRLF
    if length == 4:
        return word == 0x74736F68
    if length == 14:
        if word != 0x746E6F63 or read_i32_le(data, at + 4) | 0x20202020 != 0x2D746E65:
            return False
        return read_i32_le(data, at + 8) | 0x20202020 == 0x676E656C and read_i16_le(data, at + 12) | 0x2020 == 0x6874
    if length == 10:
        if word != 0x6E6E6F63 or read_i32_le(data, at + 4) | 0x20202020 != 0x69746365:
            return False
        return read_i16_le(data, at + 8) | 0x2020 == 0x6E6F
    return False


def is_keep_alive(data: bytes, start: i64, stop: i64) -> bool:
    """True for exactly ``keep-alive``, which most peers send with every message."""
    if stop - start != 10 or read_i32_le(data, start) != 0x7065656B or read_i32_le(data, start + 4) != 0x696C612D:
        return False
    return read_i16_le(data, start + 8) == 0x6576


def is_ok(data: bytes) -> bool:
    """True for the usual status line, ``HTTP/1.1 200 OK`` and CRLF, by words of four bytes."""
    if len(data) < OK_SIZE or read_i32_le(data, 0) != 0x50545448 or read_i32_le(data, 4) != 0x312E312F:
        return False
    return read_i32_le(data, 8) == 0x30303220 and read_i32_le(data, 12) == 0x0D4B4F20 and data[16] == 10
