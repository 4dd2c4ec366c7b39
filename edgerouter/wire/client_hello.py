"""The first message of a TLS client, read before the handshake: name, protocols, tickets (RFC 8446 section 4.1.2).

Bytes in, facts out; no I/O, no cryptography. What is read here only chooses the door: the handshake itself is
OpenSSL's, and a connection is bound to the options that it was made with, whatever name its requests bear.
"""

from __future__ import annotations

from typing import Final

from edgerouter.errors import BadHello

MAX_HELLO: Final = 16384  # bytes of all records that a hello may take
KEY_NAME: Final = 16  # bytes in front of a ticket that say which key it was sealed with (RFC 5077 section 4)
HANDSHAKE: Final = 0x16  # the first byte of a TLS connection

_MOST_RECORDS: Final = 128  # real clients send one or two; reading anew at every byte of thousands would cost
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0  # RFC 6066 section 3
_ALPN: Final = 16  # RFC 7301
_TICKET: Final = 35  # RFC 5077: TLS 1.2
_PRE_SHARED_KEY: Final = 41  # RFC 8446 section 4.2.11: TLS 1.3


class ClientHello:
    """``server_name`` is in lower case without a trailing dot, "" when none was sent. ``protocols`` are those of ALPN
    in the client's order. ``key_names`` are the first bytes of each ticket that is offered. ``size`` is in bytes."""

    def __init__(self) -> None:
        self.server_name = ""
        self.protocols: list[str] = []
        self.key_names: list[bytes] = []
        self.size = 0


class _Cursor:
    """Reads big-endian vectors; raises BadHello past the end."""

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data = data
        self.position = position
        self.end = end

    def left(self) -> int:
        return self.end - self.position

    def number(self, size: int) -> int:
        start = self.position
        stop = start + size
        if stop > self.end:
            raise BadHello("it ends within a field")
        self.position = stop
        value = 0
        for i in range(start, stop):
            value = value << 8 | self.data[i]
        return value

    def vector(self, size: int) -> _Cursor:
        """The vector whose length stands in ``size`` bytes."""
        length = self.number(size)
        start = self.position
        if start + length > self.end:
            raise BadHello("a field is longer than the message")
        self.position = start + length
        return _Cursor(self.data, start, start + length)

    def rest(self) -> bytes:
        return self.data[self.position : self.end]


def read_client_hello(data: bytes) -> ClientHello | None:
    """Read the hello at the start of a connection; None while more bytes are needed. Raises BadHello for what is no
    hello, cannot be one any more, or is longer than ``MAX_HELLO``."""
    message = _message(data)
    if message is None:
        return None
    hello = ClientHello()
    hello.size = len(message) + 4
    cursor = _Cursor(message, 0, len(message))
    cursor.number(2)  # legacy_version
    if cursor.left() < 32:
        raise BadHello("it ends within a field")
    cursor.position += 32  # random
    cursor.vector(1)  # legacy_session_id
    cursor.vector(2)  # cipher_suites
    cursor.vector(1)  # legacy_compression_methods
    if cursor.left() > 0:
        _read_extensions(cursor.vector(2), hello)
    if cursor.left() > 0:
        raise BadHello("bytes follow its extensions")
    return hello


def _message(data: bytes) -> bytes | None:
    """The body of the handshake message, put together from its records; None while some of it is missing."""
    position = 0
    count = 0
    taken = b""
    wanted = -1  # bytes of header and body, once the header is there
    while wanted < 0 or len(taken) < wanted:
        left = len(data) - position
        if left >= 1 and data[position] != HANDSHAKE:
            raise BadHello("it is not a TLS handshake")
        if left >= 2 and data[position + 1] != 3:
            raise BadHello("it is not a TLS record")
        if left < 5:
            _check_size(data)
            return None
        length = data[position + 3] << 8 | data[position + 4]
        count += 1
        if count > _MOST_RECORDS:
            raise BadHello(f"it is spread over more than {_MOST_RECORDS} records")
        if length == 0 or length > 16384:
            raise BadHello("a record has a forbidden length")
        body = data[position + 5 : position + 5 + length]
        taken += body
        position += 5 + length
        if wanted < 0 and len(taken) >= 4:
            wanted = _wanted(taken)
        if len(body) < length and (wanted < 0 or len(taken) < wanted):
            _check_size(data)
            return None
    return taken[4:wanted]


def _check_size(data: bytes) -> None:
    if len(data) >= MAX_HELLO:
        raise BadHello(f"it is longer than {MAX_HELLO} bytes")


def _wanted(header: bytes) -> int:
    if header[0] != _CLIENT_HELLO:
        raise BadHello("the first message is no ClientHello")
    size = 4 + (header[1] << 16 | header[2] << 8 | header[3])
    if size > MAX_HELLO:
        raise BadHello(f"it is longer than {MAX_HELLO} bytes")
    return size


def _read_extensions(extensions: _Cursor, hello: ClientHello) -> None:
    seen: set[int] = set()
    while extensions.left() > 0:
        kind = extensions.number(2)
        body = extensions.vector(2)
        if kind in seen:
            raise BadHello("an extension is given twice")
        seen.add(kind)
        if kind == _SERVER_NAME:
            hello.server_name = _server_name(body)
        elif kind == _ALPN:
            _read_protocols(body, hello)
        elif kind == _TICKET:
            _note_ticket(body, hello)
        elif kind == _PRE_SHARED_KEY:
            _read_identities(body, hello)


def _server_name(body: _Cursor) -> str:
    if body.left() == 0:
        return ""
    names = body.vector(2)
    if names.left() == 0 or body.left() > 0:
        raise BadHello("its server name is malformed")
    kind = names.number(1)
    name = names.vector(2).rest()
    if kind != 0 or not name or names.left() > 0:
        raise BadHello("its server name is malformed")
    for byte in name:
        if byte <= 32 or byte >= 127:
            raise BadHello("its server name is not a host name")
    return name.decode("ascii").lower().removesuffix(".")


def _read_protocols(body: _Cursor, hello: ClientHello) -> None:
    names = body.vector(2)
    while names.left() > 0:
        hello.protocols.append(names.vector(1).rest().decode("latin-1"))


def _note_ticket(body: _Cursor, hello: ClientHello) -> None:
    if body.left() >= KEY_NAME:
        hello.key_names.append(body.data[body.position : body.position + KEY_NAME])


def _read_identities(body: _Cursor, hello: ClientHello) -> None:
    identities = body.vector(2)
    while identities.left() > 0:
        _note_ticket(identities.vector(2), hello)
        identities.number(4)  # obfuscated_ticket_age
