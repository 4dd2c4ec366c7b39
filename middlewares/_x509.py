"""The few fields of a client's certificate that servers are told of (RFC 5280 section 4.1), read from its DER form.

The TLS handshake has checked the certificate, or was told not to; nothing is checked here. A worker has no other one:
the package cryptography costs 12 MB, and ``ssl`` decodes only what it verified.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

import msgspec

_NAMES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.5": "SN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC",
}
_ALTERNATIVE: Final = "2.5.29.17"
_DNS, _EMAIL, _IP, _URI = 0x82, 0x81, 0x87, 0x86


class Certificate(msgspec.Struct, frozen=True):
    """Names are (short form, value) in order; times are Unix seconds; ``sans`` DNS names, emails, addresses, URIs."""

    serial: int
    issuer: tuple[tuple[str, str], ...]
    subject: tuple[tuple[str, str], ...]
    not_before: int
    not_after: int
    sans: tuple[str, ...] = ()


def read_certificate(der: bytes) -> Certificate:
    """Raises ValueError for what is no certificate."""
    try:
        parts = [part for part in _parts(_only(_only(der)))]
        if parts[0][0] == 0xA0:  # the version
            parts.pop(0)
        (_, serial), _, (_, issuer), (_, validity), (_, subject), *rest = parts
        begins, ends = (_time(kind, data) for kind, data in _parts(validity))
        extensions = next((data for kind, data in rest if kind == 0xA3), b"")
        return Certificate(
            serial=int.from_bytes(serial, "big", signed=True),
            issuer=tuple(_names(issuer)),
            subject=tuple(_names(subject)),
            not_before=begins,
            not_after=ends,
            sans=_alternatives(extensions),
        )
    except (IndexError, StopIteration, UnicodeDecodeError) as error:
        raise ValueError("no certificate in DER form") from error


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each element."""
    at = 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise ValueError("no certificate in DER form: an element is cut off")
        yield tag, data[at : at + size]
        at += size


def _only(data: bytes) -> bytes:
    return next(_parts(data))[1]


def _identifier(data: bytes) -> str:
    numbers = [data[0] // 40, data[0] % 40]
    value = 0
    for byte in data[1:]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    return ".".join(map(str, numbers))


def _names(data: bytes) -> Iterator[tuple[str, str]]:
    for _, group in _parts(data):
        for _, pair in _parts(group):
            (_, kind), (tag, value) = _parts(pair)
            name = _NAMES.get(_identifier(kind))
            if name is not None:
                yield name, value.decode("utf-16-be" if tag == 0x1E else "utf-8", "replace")


def _time(kind: int, data: bytes) -> int:
    text = data.decode("ascii")
    if kind == 0x17:  # UTCTime: years from 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    found = datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)
    return int(found.timestamp())


def _alternatives(extensions: bytes) -> tuple[str, ...]:
    found: dict[int, list[str]] = {_DNS: [], _EMAIL: [], _IP: [], _URI: []}
    for _, extension in _parts(_only(extensions)) if extensions else ():
        fields = list(_parts(extension))
        if _identifier(fields[0][1]) != _ALTERNATIVE:
            continue
        for tag, value in _parts(_only(fields[-1][1])):
            if tag in found:
                found[tag].append(str(ip_address(value)) if tag == _IP else value.decode("ascii", "replace"))
    return tuple(text for texts in found.values() for text in texts)
