"""PROXY protocol headers, both versions and both ways."""

from __future__ import annotations

import pytest

from edgerouter.errors import BadRequest
from edgerouter.wire import proxy_protocol
from edgerouter.wire.proxy_protocol import SIGNATURE, begins_header, encode_v1, encode_v2, parse


def v2(command: int, kind: int, payload: bytes, size: int = -1) -> bytes:
    return SIGNATURE + bytes([command, kind]) + (len(payload) if size < 0 else size).to_bytes(2, "big") + payload


FOUR = bytes([10, 0, 0, 1, 10, 0, 0, 2]) + b"\x30\x39\x00\x50"
SIX = bytes(15) + b"\x01" + bytes(15) + b"\x02" + b"\x30\x39\x00\x50"

GOOD = [
    (b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n", 1, ("10.0.0.1", 12345, "10.0.0.2", 80)),
    (b"PROXY TCP6 ::1 ::2 12345 80\r\n", 1, ("::1", 12345, "::2", 80)),
    (b"PROXY TCP6 2001:DB8:0:0::1 ::2 0 65535\r\n", 1, ("2001:db8::1", 0, "::2", 65535)),
    (b"PROXY UNKNOWN\r\n", 1, None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", 1, None),
    (v2(0x21, 0x11, FOUR), 2, ("10.0.0.1", 12345, "10.0.0.2", 80)),
    (v2(0x21, 0x12, FOUR), 2, ("10.0.0.1", 12345, "10.0.0.2", 80)),
    (v2(0x21, 0x21, SIX), 2, ("::1", 12345, "::2", 80)),
    (v2(0x21, 0x11, FOUR + b"\x01\x00\x02h2" + b"\x20\x00\x00"), 2, ("10.0.0.1", 12345, "10.0.0.2", 80)),
    (v2(0x20, 0x00, b""), 2, None),
    (v2(0x20, 0x11, FOUR), 2, None),
    (v2(0x21, 0x00, b""), 2, None),
    (v2(0x21, 0x31, bytes(216)), 2, None),
]


@pytest.mark.parametrize(
    "raw", [b"GET /", b"POST /", b"PR0XY ", b"PROXY\t", b"\r\nGET", b"\x16\x03\x01", SIGNATURE[:11] + b"x"]
)
def test_what_is_no_header(raw: bytes) -> None:
    assert not begins_header(raw)
    with pytest.raises(BadRequest):
        parse(raw)


@pytest.mark.parametrize(("raw", "version", "addresses"), GOOD)
def test_what_may_be_one(raw: bytes, version: int, addresses: object) -> None:
    assert all(begins_header(raw[:end]) for end in range(len(raw) + 1))


@pytest.mark.parametrize(("raw", "version", "addresses"), GOOD)
def test_read(raw: bytes, version: int, addresses: tuple[str, int, str, int] | None) -> None:
    for end in range(len(raw)):
        assert parse(raw[:end]) is None, end
    header = parse(raw + b"GET / HTTP/1.1\r\n")
    assert header is not None
    assert (header.version, header.consumed, header.local) == (version, len(raw), addresses is None)
    found = (header.source_address, header.source_port, header.destination_address, header.destination_port)
    assert found == (addresses or ("", 0, "", 0))


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"POST / HTTP/1.1\r\n",
        b"PROXY\tTCP4",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 12345\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80 1\r\n",
        b"PROXY TCP4  10.0.0.1 10.0.0.2 12345 80\r\n",
        b"PROXY TCP4 10.0.0.256 10.0.0.2 12345 80\r\n",
        b"PROXY TCP4 010.0.0.1 10.0.0.2 12345 80\r\n",
        b"PROXY TCP4 ::1 ::2 12345 80\r\n",
        b"PROXY TCP6 10.0.0.1 10.0.0.2 12345 80\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::2 12345 80\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 65536 80\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 012 80\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 -1 80\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2  80\r\n",
        b"PROXY UDP4 10.0.0.1 10.0.0.2 1 80\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN " + b"x" * 100,
        SIGNATURE[:11] + b"x",
        v2(0x11, 0x11, FOUR),
        v2(0x22, 0x11, FOUR),
        v2(0x21, 0x41, FOUR),
        v2(0x21, 0x13, FOUR),
        v2(0x21, 0x11, FOUR[:11]),
        v2(0x21, 0x21, FOUR),
        v2(0x21, 0x11, b"", 4097),
        v2(0x21, 0x11, FOUR + b"\x01\x00"),
        v2(0x21, 0x11, FOUR + b"\x01\x00\x05ab"),
    ],
)
def test_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(raw)
    assert caught.value.cause == "BAD_REQUEST_PROXY_PROTOCOL"
    assert caught.value.message


@pytest.mark.parametrize("encode", [encode_v1, encode_v2])
@pytest.mark.parametrize(
    ("source", "destination", "read"),
    [
        ("10.0.0.1", "10.0.0.2", ("10.0.0.1", "10.0.0.2")),
        ("::1", "2001:db8::2", ("::1", "2001:db8::2")),
        ("fe80::1%eth0", "::2", ("fe80::1", "::2")),
        ("10.0.0.1", "::2", ("::ffff:a00:1", "::2")),
        ("", "", ("", "")),
    ],
)
def test_written_and_read_again(encode: object, source: str, destination: str, read: tuple[str, str]) -> None:
    assert callable(encode)
    header = parse(encode(source, 1, destination, 65535))
    assert header is not None
    assert (header.source_address, header.destination_address) == read
    assert (header.source_port, header.destination_port) == ((1, 65535) if source else (0, 0))


def test_datagrams_and_bad_arguments() -> None:
    assert encode_v2("10.0.0.1", 1, "10.0.0.2", 2, datagram=True)[13] == 0x12
    for encode in (encode_v1, encode_v2):
        for arguments in (("x", 1, "10.0.0.2", 2), ("10.0.0.1", 65536, "10.0.0.2", 2)):
            with pytest.raises(ValueError, match=r"."):
                encode(*arguments)
    assert proxy_protocol.MAX_V1 == 107
