"""Response heads: what is read from good ones, and for each thing refused the cause and the reason."""

from __future__ import annotations

import pytest

from edgerouter.errors import BadResponse
from edgerouter.http.message import Response
from edgerouter.wire.http1 import CHUNKED, LENGTH, NONE, UNTIL_CLOSE, Limits, ResponseParser


def parse(raw: bytes, method: str = "GET") -> tuple[Response, ResponseParser]:
    parser = ResponseParser(Limits())
    response = parser.parse(raw, method)
    assert response is not None, "the head is complete"
    return response, parser


def head(fields: bytes = b"", line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


CODED = b"Transfer-Encoding: chunked\r\n"

REFUSED = [
    ("STATUS_LINE", "RFC 9112 4: not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("STATUS_LINE", "not HTTP, and short", b"+OK\r\n"),
    ("STATUS_LINE", "another version", head(line=b"HTTP/2.0 200 OK")),
    ("STATUS_LINE", "lower case", head(line=b"http/1.1 200 OK")),
    ("STATUS_LINE", "no space", head(line=b"HTTP/1.1200 OK")),
    ("STATUS_LINE", "a control byte in the reason", head(line=b"HTTP/1.1 200 O\x00K")),
    ("STATUS", "RFC 9110 15: three digits", head(line=b"HTTP/1.1 20 OK")),
    ("STATUS", "RFC 9110 15: three digits", head(line=b"HTTP/1.1 2000 OK")),
    ("STATUS", "RFC 9110 15: not below 100", head(line=b"HTTP/1.1 099 OK")),
    ("STATUS", "RFC 9110 15: digits", head(line=b"HTTP/1.1 2x0 OK")),
    ("STATUS", "two spaces", head(line=b"HTTP/1.1  200 OK")),
    ("BARE_LF", "RFC 9112 2.2", b"HTTP/1.1 200 OK\n\n"),
    ("BARE_LF", "RFC 9112 2.2", head(b"A: b\n")),
    ("FOLDED_LINE", "RFC 9112 5.2: discard with 502", head(b"A: b\r\n c\r\n")),
    ("SPACE_BEFORE_COLON", "RFC 9112 5.1", head(b"A : b\r\n")),
    ("HEADER_VALUE", "RFC 9110 5.5", head(b"A: \x00\r\n")),
    ("LENGTH_AND_CODING", "RFC 9112 6.3: response splitting", head(b"Content-Length: 5\r\n" + CODED)),
    ("LENGTH_TWICE", "RFC 9112 6.3", head(b"Content-Length: 5\r\nContent-Length: 6\r\n")),
    ("LENGTH_TWICE", "equal ones too: who says it twice is confused", head(b"Content-Length: 5\r\n" * 2)),
    ("LENGTH", "RFC 9110 8.6", head(b"Content-Length: 5,5\r\n")),
    ("LENGTH", "RFC 9110 8.6", head(b"Content-Length: -1\r\n")),
    ("CODING_IN_1_0", "RFC 9112 6.1", head(CODED, b"HTTP/1.0 200 OK")),
    ("TRANSFER_ENCODING", "nobody asked for gzip", head(b"Transfer-Encoding: gzip, chunked\r\n")),
    ("TRANSFER_ENCODING", "RFC 9112 6.3", head(b"Transfer-Encoding: identity\r\n")),
    ("TRANSFER_ENCODING", "two lines", head(CODED + CODED)),
]


@pytest.mark.parametrize(("why", "reason", "raw"), REFUSED)
def test_refused_with_a_cause(why: str, reason: str, raw: bytes) -> None:
    with pytest.raises(BadResponse) as caught:
        parse(raw)
    assert caught.value.cause == f"BAD_RESPONSE_{why}", reason
    assert caught.value.status == 502


@pytest.mark.parametrize(("why", "reason", "raw"), REFUSED)
def test_refused_also_when_it_drips(why: str, reason: str, raw: bytes) -> None:
    parser = ResponseParser(Limits())
    with pytest.raises(BadResponse):
        for end in range(1, len(raw) + 1):
            assert parser.parse(raw[:end], "GET") is None, reason


@pytest.mark.parametrize(
    ("status", "method", "fields", "framing", "length", "content_length", "keeps"),
    [
        (200, "GET", b"Content-Length: 5\r\n", LENGTH, 5, 5, True),
        (200, "GET", b"Content-Length: 0\r\n", NONE, 0, 0, True),
        (200, "GET", CODED, CHUNKED, -1, -1, True),
        (200, "GET", b"", UNTIL_CLOSE, -1, -1, False),
        (200, "GET", b"Connection: keep-alive\r\n", UNTIL_CLOSE, -1, -1, False),
        (200, "HEAD", b"Content-Length: 5\r\n", NONE, 5, 5, True),
        (200, "HEAD", CODED, NONE, -1, -1, True),
        (200, "HEAD", b"", NONE, -1, -1, True),
        (304, "GET", b"Content-Length: 5\r\n", NONE, 5, 5, True),
        (304, "GET", b"", NONE, -1, -1, True),
        (204, "GET", b"", NONE, 0, -1, True),
        (204, "GET", b"Content-Length: 0\r\n", NONE, 0, 0, True),
        (204, "GET", b"Content-Length: 5\r\n", NONE, 0, 5, False),
        (204, "GET", CODED, NONE, 0, -1, False),
        (100, "POST", b"", NONE, 0, -1, True),
        (103, "GET", b"Link: </a>\r\n", NONE, 0, -1, True),
        (199, "GET", CODED, NONE, 0, -1, False),
        (205, "GET", b"Content-Length: 0\r\n", NONE, 0, 0, True),
        (404, "POST", b"Content-Length: 7\r\nConnection: close\r\n", LENGTH, 7, 7, False),
    ],
)
def test_framing(
    status: int, method: str, fields: bytes, framing: int, length: int, content_length: int, keeps: bool
) -> None:
    response, parser = parse(head(fields, b"HTTP/1.1 %d X" % status), method)
    assert (response.status, parser.framing, parser.length) == (status, framing, length)
    assert response.content_length == content_length
    assert (response.body is None) == (framing == NONE)
    assert parser.keep_alive is keeps


@pytest.mark.parametrize(
    ("line", "status", "reason", "version"),
    [
        (b"HTTP/1.1 200 OK", 200, b"", 11),
        (b"HTTP/1.1 404 Not Found", 404, b"", 11),
        (b"HTTP/1.1 404 Gone Fishing", 404, b"Gone Fishing", 11),
        (b"HTTP/1.1 200 ", 200, b"", 11),
        (b"HTTP/1.1 200", 200, b"", 11),
        (b"HTTP/1.0 200 OK", 200, b"OK", 10),
        (b"HTTP/1.1 299 \xfcber\t!", 299, b"\xfcber\t!", 11),
        (b"HTTP/1.1 999 X", 999, b"X", 11),
    ],
)
def test_status_line(line: bytes, status: int, reason: bytes, version: int) -> None:
    response, _ = parse(head(line=line))
    assert (response.status, response.reason, response.version) == (status, reason, version)


@pytest.mark.parametrize(
    ("line", "connection", "keeps"),
    [
        (b"HTTP/1.1 200 OK", b"", True),
        (b"HTTP/1.1 200 OK", b"Connection: close\r\n", False),
        (b"HTTP/1.0 200 OK", b"", False),
        (b"HTTP/1.0 200 OK", b"Connection: Keep-Alive\r\n", True),
    ],
)
def test_keep_alive(line: bytes, connection: bytes, keeps: bool) -> None:
    assert parse(head(b"Content-Length: 1\r\n" + connection, line))[1].keep_alive is keeps


def test_fields() -> None:
    fields = (
        b"Server: x\r\nConnection: X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nContent-Length: 3\r\n"
        b"Proxy-Authenticate: Basic\r\nTrailer: X-Sum\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nHost: x\r\nUpgrade: h2c\r\n"
    )
    response, _ = parse(head(fields))
    assert [name for name, _ in response.headers.items()] == [
        "Server",
        "Proxy-Authenticate",
        "Trailer",
        "Set-Cookie",
        "Set-Cookie",
    ]
    assert response.headers.get("content-length") == "3"
    assert response.upgrade == ""


def test_switching_protocols() -> None:
    response, parser = parse(head(b"Connection: Upgrade\r\nUpgrade: WebSocket\r\nSec-X: 1\r\n", b"HTTP/1.1 101 Y"))
    assert (response.status, response.upgrade, parser.framing) == (101, "websocket", NONE)
    assert response.headers.items() == [("Sec-X", "1")]


def test_head_too_large() -> None:
    for limits in (Limits(max_head_bytes=30), Limits(max_lines=2)):
        with pytest.raises(BadResponse) as caught:
            ResponseParser(limits).parse(head(b"A: b\r\n" * 3), "GET")
        assert caught.value.cause == "BAD_RESPONSE_HEAD_TOO_LARGE"


def test_one_after_the_other() -> None:
    parser = ResponseParser(Limits())
    data = head(line=b"HTTP/1.1 100 Continue") + head(b"Content-Length: 2\r\nA: b\r\n", b"HTTP/1.1 201 Made") + b"xy"
    first = parser.parse(data, "POST")
    assert first is not None
    assert first.status == 100
    data = data[parser.consumed :]
    second = parser.parse(data, "POST")
    assert second is not None
    assert (second.status, second.reason, second.headers.items()) == (201, b"Made", [("A", "b")])
    assert data[parser.consumed :] == b"xy"
