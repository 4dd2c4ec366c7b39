"""ClientHellos as OpenSSL writes them, in pieces, over several records, too long, and broken."""

from __future__ import annotations

import contextlib
import ssl

import pytest

from edgerouter.errors import BadHello
from edgerouter.wire.client_hello import MAX_HELLO, read_client_hello


def openssl_hello(name: str | None = "a.test", protocols: tuple[str, ...] = ()) -> bytes:
    """The first flight of the ssl module."""
    context = ssl.create_default_context()
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


def sni(name: bytes, kind: int = 0) -> bytes:
    entry = bytes([kind]) + len(name).to_bytes(2, "big") + name
    return extension(0, len(entry).to_bytes(2, "big") + entry)


def message(extensions: bytes, padding: int = 0) -> bytes:
    """A handshake message with these extensions."""
    if padding:
        extensions += extension(21, bytes(padding))
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(extensions).to_bytes(2, "big") + extensions
    return b"\x01" + len(body).to_bytes(3, "big") + body


def records(data: bytes, size: int = 16384) -> bytes:
    """The message over records of so many bytes."""
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


@pytest.mark.parametrize("name", ["a.test", "A.Test", "xn--bcher-kva.example"])
def test_name_and_protocols_of_a_real_client(name: str) -> None:
    hello = read_client_hello(openssl_hello(name, ("h2", "http/1.1", "acme-tls/1")))
    assert hello is not None
    assert hello.server_name == name.lower()
    assert hello.protocols == ["h2", "http/1.1", "acme-tls/1"]
    assert hello.key_names == []


def test_no_name() -> None:
    hello = read_client_hello(openssl_hello(None))
    assert hello is not None and hello.server_name == "" and hello.protocols == []


def test_trailing_dot_and_case() -> None:
    hello = read_client_hello(records(message(sni(b"WWW.Example.COM."))))
    assert hello is not None and hello.server_name == "www.example.com"


def test_no_extensions_at_all() -> None:
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    hello = read_client_hello(records(b"\x01" + len(body).to_bytes(3, "big") + body))
    assert hello is not None and hello.server_name == ""


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 100])
def test_over_several_records(size: int) -> None:
    data = records(message(sni(b"split.test")), size)
    hello = read_client_hello(data)
    assert hello is not None and hello.server_name == "split.test"


def test_every_prefix_waits_for_more() -> None:
    for data in (openssl_hello(), records(message(sni(b"a.test")), 7)):
        for end in range(len(data)):
            assert read_client_hello(data[:end]) is None
        assert read_client_hello(data) is not None


def test_what_follows_is_left_alone() -> None:
    hello = read_client_hello(openssl_hello() + b"\x17\x03\x03\x00\x05early")
    assert hello is not None and hello.server_name == "a.test"


def test_tickets_of_both_versions() -> None:
    old = extension(35, b"O" * 16 + b"rest of the ticket")
    identities = b"".join(len(i).to_bytes(2, "big") + i + bytes(4) for i in (b"N" * 40, b"short", b"M" * 16))
    binders = b"\x00\x21\x20" + bytes(32)
    new = extension(41, len(identities).to_bytes(2, "big") + identities + binders)
    hello = read_client_hello(records(message(sni(b"a.test") + old + new)))
    assert hello is not None and hello.key_names == [b"O" * 16, b"N" * 16, b"M" * 16]


def test_empty_ticket_is_a_wish_for_one() -> None:
    hello = read_client_hello(records(message(extension(35, b""))))
    assert hello is not None and hello.key_names == []


BROKEN = {
    "plain http": (b"GET / HTTP/1.1\r\n", "not a TLS handshake"),
    "ssl 2": (b"\x80\x2e\x01\x03\x01", "not a TLS handshake"),
    "an alert": (b"\x15\x03\x01\x00\x02\x02\x28", "not a TLS handshake"),
    "wrong major version": (b"\x16\x02\x00\x00\x05hello", "not a TLS record"),
    "an empty record": (b"\x16\x03\x01\x00\x00", "forbidden length"),
    "a huge record": (b"\x16\x03\x01\xff\xff", "forbidden length"),
    "a server's hello": (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "no ClientHello"),
    "a promise of megabytes": (b"\x16\x03\x01\x00\x04\x01\x20\x00\x00", "longer than"),
    "an empty hello": (records(b"\x01\x00\x00\x00"), "ends within"),
    "a hello cut short": (records(b"\x01\x00\x00\x10" + bytes(16)), "ends within"),
    "trailing bytes": (records(b"\x01\x00\x00\x2d" + message(b"")[4:] + b"xx"), "follow"),
    "an extension beyond the end": (records(message(b"\x00\x00\x00\x50ab")), "longer than the message"),
    "a name twice": (records(message(sni(b"a.test") + sni(b"b.test"))), "twice"),
    "two names in one": (
        records(message(extension(0, b"\x00\x0c\x00\x00\x03abc\x00\x00\x03def"))),
        "malformed",
    ),
    "an empty name": (records(message(sni(b""))), "malformed"),
    "a name of another kind": (records(message(sni(b"a.test", 1))), "malformed"),
    "a NUL in the name": (records(message(sni(b"a.test\x00.evil"))), "not a host name"),
    "a space in the name": (records(message(sni(b"a test"))), "not a host name"),
    "eight bits in the name": (records(message(sni("ü.test".encode()))), "not a host name"),
    "another record within": (records(message(sni(b"a.test")), 20)[:25] + b"\x17\x03\x03\x00\x01x", "not a TLS"),
    "protocols beyond their list": (records(message(extension(16, b"\x00\x03\x09h2"))), "longer than the message"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_hello_is_refused(case: str) -> None:
    data, why = BROKEN[case]
    with pytest.raises(BadHello, match=why):
        read_client_hello(data)


def test_large_hellos_up_to_the_limit() -> None:
    assert read_client_hello(records(message(sni(b"a.test"), MAX_HELLO - 200))) is not None
    with pytest.raises(BadHello, match="longer"):
        read_client_hello(records(message(sni(b"a.test"), MAX_HELLO)))


def test_many_tiny_records_cannot_go_beyond_the_limit() -> None:
    data = records(message(b"", 8000), 1)[:MAX_HELLO]
    with pytest.raises(BadHello, match="records"):
        read_client_hello(data)


def test_mutations_never_raise_anything_else() -> None:
    data = openssl_hello("mutant.test", ("h2",))
    for position in range(len(data)):
        for value in (0, 1, 0x7F, 0xFF, data[position] ^ 1):
            mutant = data[:position] + bytes([value]) + data[position + 1 :]
            with contextlib.suppress(BadHello):
                read_client_hello(mutant)
