"""Request targets and authorities: what they may hold, and the one form in which paths are routed and forwarded.

RFC 3986, RFC 9110 section 4.2, RFC 9112 section 3.2. A path is brought to one spelling before any rule sees it, so that
no spelling slips past a rule: escapes of unreserved characters are decoded, other escapes get upper-case digits, dot
segments and empty segments are removed. Faults are ``ValueError`` with a sentence; the callers make errors of them.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i64_le
from mypy_extensions import i64

from edgerouter.wire.http1_base import LOWER

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_CHARS: Final = _UNRESERVED | frozenset(b"!$&'()*+,;=:@/%[]")

PLAIN: Final = 1  # stands in a path as it is
SLASH: Final = 2  # plain, unless the next byte is "/" or "."
SPECIAL: Final = 3  # "%", or must be escaped in a path
QUESTION: Final = 4

# RFC 9112 section 3.2: visible ASCII. "#" never stands in a target; what RFC 3986 forbids and browsers send all the
# same ("|", "{", "\\" ...) is escaped in a path and left alone in a query.


def _target_class(c: int) -> int:
    if c <= 32 or c >= 127 or c == ord("#"):
        return 0
    if c == ord("/"):
        return SLASH
    if c == ord("?"):
        return QUESTION
    return PLAIN if c in _PATH_CHARS and c != ord("%") else SPECIAL


TARGET: Final = bytes(_target_class(c) for c in range(256))

# A comma is legal in a reg-name, but a Host with one is two Host lines joined by some hop before.
_HOST_CHARS: Final = _UNRESERVED | frozenset(b"!$&'()*+;=")
_HOST: Final = bytes(1 if c in _HOST_CHARS else 0 for c in range(256))
_PLAIN_HOST: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-."
_ADDRESS: Final = bytes(1 if c in b"0123456789abcdefABCDEF:." else 0 for c in range(256))

_HEX: Final[dict[bytes, int]] = {
    b"%c%c" % (high, low): int(chr(high) + chr(low), 16)
    for high in b"0123456789abcdefABCDEF"
    for low in b"0123456789abcdefABCDEF"
}


_PLAIN: Final = bytes(_PATH_CHARS)


def _pieces() -> list[bytes]:
    """For each byte value: how it stands in a path."""
    return [bytes([c]) if c in _PATH_CHARS else b"%%%02X" % c for c in range(256)]


_PIECES: Final = _pieces()
_ESCAPED: Final = [bytes([c]) if c in _UNRESERVED else b"%%%02X" % c for c in range(256)]


def normalize_path(raw: bytes, sanitize: bool) -> str:
    """The one spelling of a path that begins with ``/``; raises ValueError for an invalid escape."""
    path = _normalize_escapes(raw)
    if sanitize and (b"//" in path or b"/." in path):
        path = _remove_dots(path)
    return path.decode("latin-1")


def _normalize_escapes(raw: bytes) -> bytes:
    out: list[bytes] = []
    parts = raw.split(b"%")
    out.append(_escape(parts[0]))
    for part in parts[1:]:
        value = _HEX.get(part[:2])
        if value is None:
            raise ValueError("an escape in the path is not % and two hexadecimal digits")
        out.append(_ESCAPED[value])
        out.append(_escape(part[2:]))
    return b"".join(out)


def _escape(part: bytes) -> bytes:
    """Escape what may not stand in a path."""
    if not part.translate(None, _PLAIN):
        return part
    return b"".join([_PIECES[c] for c in part])


def _remove_dots(path: bytes) -> bytes:
    """RFC 3986 section 5.2.4, with empty segments dropped; what is above the root is the root."""
    kept: list[bytes] = []
    segments = path.split(b"/")
    last = segments[-1]
    for segment in segments:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment and segment != b".":
            kept.append(segment)
    directory = last == b"" or last == b"." or last == b".."
    return b"/" + b"/".join(kept) + (b"/" if directory and kept else b"")


def safe_target(target: str) -> bytes:
    """Escape whatever would end the target or the line; for targets that a middleware has put together."""
    raw = target.encode("utf-8", "replace")
    return b"".join([b"%%%02X" % c if TARGET[c] == 0 else bytes([c]) for c in raw])


def is_plain_host(authority: bytes) -> bool:
    """True only where ``host_of`` gives the very same text: lower case, no port, no brackets, no trailing dot.

    Words of eight bytes are looked at in one, the last of them may overlap: in a sum, the high bit of each byte says
    whether it reached the value that was added to make it 128. No byte carries into the next, since none is above 127.
    """
    size: i64 = len(authority)
    last: i64 = size - 8
    if last < 0:
        return size > 0 and not authority.translate(None, _PLAIN_HOST) and authority[size - 1] != 46
    ones: i64 = 0x01010101
    ones |= ones << 32
    high: i64 = ones << 7
    at: i64 = 0
    word: i64 = 0
    fits: i64 = 0
    while True:
        word = read_i64_le(authority, at)
        if word & high != 0:
            return False
        fits = (
            (word + ones * (128 - 45)) & ~(word + ones * (127 - 57)) & ((word ^ ones * 47) + ones * 127)
        )  # - . 0 to 9
        fits |= (word + ones * (128 - 97)) & ~(word + ones * (127 - 122))  # a to z
        if fits & high != high:
            return False
        if at == last:
            return authority[size - 1] != 46
        at += 8
        if at > last:
            at = last


def host_of(authority: bytes) -> str:
    """The host of ``host[:port]``: lower case, no brackets, port or trailing dot; raises ValueError.

    Empty for an empty authority (RFC 9112 section 3.2: a target without authority has an empty Host field).
    """
    if authority[:1] == b"[":
        end = authority.find(b"]")
        if end < 0:
            raise ValueError("an IPv6 address without its closing bracket")
        host, port = authority[1:end], authority[end + 1 :]
        if host.count(b":") < 2 or not all(_ADDRESS[c] for c in host):
            raise ValueError("not an IPv6 address in brackets")
    else:
        colon = authority.find(b":")
        host, port = (authority, b"") if colon < 0 else (authority[:colon], authority[colon:])
        for c in host:
            if not _HOST[c]:
                raise ValueError(f"byte 0x{c:02x} in the host")
    _check_port(port)
    if host[-1:] == b".":
        host = host[:-1]
    if not host and authority:
        raise ValueError("no host before the port")
    return host.translate(LOWER).decode("latin-1")


def _check_port(port: bytes) -> None:
    """``port`` is empty, or begins with a colon; the digits may be missing (RFC 3986 section 3.2.3)."""
    if port and port[:1] != b":":
        raise ValueError("something other than a port behind the host")
    digits = port[1:]
    if digits and (not digits.isdigit() or len(digits) > 5 or int(digits) > 65535):
        raise ValueError("the port is no number from 0 to 65535")


def split_absolute(target: bytes) -> tuple[bytes, bytes]:
    """``http://authority/path?query`` -> (authority, ``/path?query``); raises ValueError (RFC 9112 section 3.2.2)."""
    scheme = target[:8].translate(LOWER)
    if scheme[:7] == b"http://":
        start = 7
    elif scheme == b"https://":
        start = 8
    else:
        raise ValueError("the target is neither a path nor an http or https URI")
    ends = [end for end in (target.find(b"/", start), target.find(b"?", start)) if end >= 0]
    end = min(ends) if ends else len(target)
    authority = target[start:end]
    if b"@" in authority:
        raise ValueError("user information in the target")
    if not authority:
        raise ValueError("a URI without a host")
    rest = target[end:]
    return authority, rest if rest[:1] == b"/" else b"/" + rest
