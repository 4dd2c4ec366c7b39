"""Texts of a rule in the form that requests carry them, so that comparing them costs nothing more at run time.

Header values and query parameters are bytes; here they are text with one character a byte (latin-1). Paths are
percent-encoded and normalised.
"""

from __future__ import annotations

from typing import Final

from edgerouter.rules.error import ArgumentError

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_RESERVED: Final = frozenset(b":/?#[]@!$&'()*+,;=")
_KEPT: Final = _RESERVED | frozenset(b"%")
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def as_carried(text: str) -> str:
    """One character a byte of the UTF-8 form."""
    return text if text.isascii() else text.encode().decode("latin-1")


def from_carried(text: str) -> str:
    """The opposite of ``as_carried``; bytes that are not UTF-8 become U+FFFD."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "replace")


def normal_path(path: str) -> str:
    """A rule's path as a request's path would stand: what may not stand in a path is percent-encoded.

    ``/a b`` and ``/a%20b`` are the same; an encoded reserved character stays different from the character itself.
    Raises ArgumentError.
    """
    if not path.startswith("/"):
        raise ArgumentError(f"a path begins with /, so write /{path}")
    parts: list[str] = []
    position = 0
    data = path.encode().decode("latin-1")
    while position < len(data):
        char = data[position]
        digits = data[position + 1 : position + 3]
        if char == "%" and len(digits) == 2 and _HEX.issuperset(digits):
            parts.append(_byte(int(digits, 16), _UNRESERVED))
            position += 3
        else:
            parts.append(_byte(ord(char), _UNRESERVED | _RESERVED))
            position += 1
    return "".join(parts)


def _byte(value: int, plain: frozenset[int]) -> str:
    return chr(value) if value in plain else f"%{value:02X}"


def readable_path(path: str) -> str:
    """A request's path as rules with patterns see it: escapes decoded, but those of reserved characters (one
    character a byte)."""
    if "%" not in path:
        return path
    pieces = path.split("%")
    parts = [pieces[0]]
    for piece in pieces[1:]:
        digits = piece[:2]
        if len(digits) == 2 and _HEX.issuperset(digits) and int(digits, 16) not in _KEPT:
            parts.append(chr(int(digits, 16)) + piece[2:])
        else:
            parts.append("%" + piece)
    return "".join(parts)


def plain_prefix(text: str) -> str:
    """The beginning of a readable path's text that stands so in the path itself as well."""
    size = 0
    while size < len(text) and ord(text[size]) in _UNRESERVED | _RESERVED:
        size += 1
    return text[:size]


_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def field_name(name: str) -> str:
    """A header field's name (RFC 9110 section 5.1); raises ArgumentError."""
    if not _TOKEN.issuperset(name):
        raise ArgumentError(f"{name!r} is not the name of a header field")
    return name
