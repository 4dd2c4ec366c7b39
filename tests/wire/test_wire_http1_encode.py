"""Heads and chunks as they are written: one framing, one Host, nothing that a field smuggles in."""

from __future__ import annotations

import pytest

from edgerouter.errors import MiddlewareFailed
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.wire.http1 import (
    CHUNKED,
    LAST_CHUNK,
    LENGTH,
    NONE,
    UNTIL_CLOSE,
    Limits,
    RequestParser,
    ResponseParser,
    encode_chunk,
    encode_last_chunk,
    encode_request_head,
    encode_response_head,
)


def parsed(raw: bytes) -> Request:
    request = RequestParser(Limits()).parse(raw)
    assert request is not None
    return request


def made(method: str = "GET", path: str = "/p", authority: str = "h") -> Request:
    request = Request(method, b"", authority, Headers())
    request.path = path
    return request


@pytest.mark.parametrize(
    ("raw", "framing", "close", "written"),
    [
        (
            b"GET /a?b HTTP/1.1\r\nHost: x\r\nA: 1\r\nConnection: close\r\nB: 2\r\n\r\n",
            (NONE, 0),
            False,
            b"GET /a?b HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\n\r\n",
        ),
        (
            b"GET //a/%7e HTTP/1.1\r\nA: 1\r\nHost: X:80\r\n\r\n",
            (NONE, 0),
            False,
            b"GET /a/~ HTTP/1.1\r\nHost: X:80\r\nA: 1\r\n\r\n",
        ),
        (b"GET / HTTP/1.0\r\n\r\n", (NONE, 0), False, b"GET / HTTP/1.1\r\nHost: \r\n\r\n"),
        (b"GET /? HTTP/1.1\r\nHost: x\r\n\r\n", (NONE, 0), False, b"GET /? HTTP/1.1\r\nHost: x\r\n\r\n"),
        (
            b"GET http://y/b?c HTTP/1.1\r\nHost: x\r\n\r\n",
            (NONE, 0),
            True,
            b"GET /b?c HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n",
        ),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", (NONE, 0), False, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
            (LENGTH, 3),
            False,
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            (NONE, 0),
            False,
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\nTE: trailers\r\n\r\n",
            (CHUNKED, -1),
            False,
            b"PUT / HTTP/1.1\r\nHost: x\r\nTrailer: T\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: TE\r\nTE: trailers\r\n\r\n",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
            (NONE, 0),
            False,
            b"GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: k\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n",
            (NONE, 0),
            True,
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close, TE\r\nTE: trailers\r\n\r\n",
        ),
    ],
)
def test_request_as_parsed(raw: bytes, framing: tuple[int, int], close: bool, written: bytes) -> None:
    assert encode_request_head(parsed(raw), framing[0], framing[1], close) == written


def test_edits_are_seen() -> None:
    raw = b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\nA: 1\r\n\r\n"
    for name, value, line in (
        ("path", "/z", b"GET /z?b=1 HTTP/1.1\r\nHost: x\r\n"),
        ("query", "q", b"GET /a?q HTTP/1.1\r\nHost: x\r\n"),
        ("has_query", False, b"GET /a HTTP/1.1\r\nHost: x\r\n"),
        ("method", "PURGE", b"PURGE /a?b=1 HTTP/1.1\r\nHost: x\r\n"),
        ("authority", "y:1", b"GET /a?b=1 HTTP/1.1\r\nHost: y:1\r\n"),
    ):
        request = parsed(raw)
        setattr(request, name, value)
        assert encode_request_head(request, NONE, 0) == line + b"A: 1\r\n\r\n", name
    request = parsed(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    request.has_query = True
    assert encode_request_head(request, NONE, 0).startswith(b"GET /a? HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("path", "query", "line"),
    [
        ("/a b", "c d", b"GET /a%20b?c%20d HTTP/1.1"),
        ("/a\r\nX: 1", "", b"GET /a%0D%0AX:%201? HTTP/1.1"),
        ("/a", "b\r\n\r\nGET /evil HTTP/1.1", b"GET /a?b%0D%0A%0D%0AGET%20/evil%20HTTP/1.1 HTTP/1.1"),
        ("/\xfc\u20ac", "\xfc", b"GET /%C3%BC%E2%82%AC?%C3%BC HTTP/1.1"),
        ("/a?\n#", "x", b"GET /a%3F%0A%23?x HTTP/1.1"),
    ],
)
def test_what_would_break_the_line_is_escaped(path: str, query: str, line: bytes) -> None:
    request = made(path=path)
    request.query = query
    request.has_query = True
    assert encode_request_head(request, NONE, 0) == line + b"\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    "request_", [made(method="GET /x HTTP/1.1\r\n"), made(authority="h\r\nX: 1"), made(authority="a b")]
)
def test_method_and_authority_are_not_repaired(request_: Request) -> None:
    with pytest.raises(MiddlewareFailed):
        encode_request_head(request_, NONE, 0)


def test_fields_that_only_the_codec_writes() -> None:
    for edit in (Headers.set, Headers.add):
        request = parsed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: 1\r\n\r\n")
        for name in ("Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Keep-Alive"):
            edit(request.headers, name, "9")
        edit(request.headers, "B", "2")
        written = b"POST / HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\nContent-Length: 3\r\n\r\n"
        assert encode_request_head(request, LENGTH, 3) == written
        request.headers = request.headers.copy()
        assert encode_request_head(request, LENGTH, 3) == written
    response = Response(200, Headers.of([("Transfer-Encoding", "chunked"), ("A", "1")]))
    assert encode_response_head(response, NONE, 0, 11, b"") == b"HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 0\r\n\r\n"
    trailers = Headers.of([("Content-Length", "5"), ("A", "1")])
    assert encode_last_chunk(trailers) == b"0\r\nA: 1\r\n\r\n"


def response(status: int, content_length: int = -1, reason: bytes = b"", upgrade: str = "") -> Response:
    made = Response(status, Headers(b"A: 1\r\n"), None, reason)
    made.content_length = content_length
    made.upgrade = upgrade
    return made


OK = b"HTTP/1.1 200 OK\r\nA: 1\r\n"


@pytest.mark.parametrize(
    ("message", "framing", "length", "version", "connection", "written"),
    [
        (response(200), LENGTH, 5, 11, b"", OK + b"Content-Length: 5\r\n\r\n"),
        (response(200), LENGTH, 5, 11, b"close", OK + b"Content-Length: 5\r\nConnection: close\r\n\r\n"),
        (response(200), LENGTH, 5, 10, b"keep-alive", OK + b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\n"),
        (response(200), CHUNKED, -1, 11, b"", OK + b"Transfer-Encoding: chunked\r\n\r\n"),
        (response(200), CHUNKED, -1, 10, b"keep-alive", OK + b"Connection: close\r\n\r\n"),
        (response(200), UNTIL_CLOSE, -1, 11, b"", OK + b"Connection: close\r\n\r\n"),
        (response(200), NONE, 0, 11, b"", OK + b"Content-Length: 0\r\n\r\n"),
        (response(200), NONE, -1, 11, b"", OK + b"\r\n"),
        (response(200, 7), NONE, 0, 11, b"", OK + b"Content-Length: 7\r\n\r\n"),
        (response(304, 7), NONE, 0, 11, b"", b"HTTP/1.1 304 Not Modified\r\nA: 1\r\nContent-Length: 7\r\n\r\n"),
        (response(304), NONE, 0, 11, b"", b"HTTP/1.1 304 Not Modified\r\nA: 1\r\n\r\n"),
        (response(204, 0), NONE, 0, 11, b"", b"HTTP/1.1 204 No Content\r\nA: 1\r\n\r\n"),
        (response(103), NONE, 0, 11, b"", b"HTTP/1.1 103 Early Hints\r\nA: 1\r\n\r\n"),
        (response(413), NONE, -1, 11, b"", b"HTTP/1.1 413 Content Too Large\r\nA: 1\r\n\r\n"),
        (response(499), NONE, -1, 11, b"", b"HTTP/1.1 499 Client Closed Request\r\nA: 1\r\n\r\n"),
        (response(299), NONE, -1, 11, b"", b"HTTP/1.1 299 \r\nA: 1\r\n\r\n"),
        (response(1234), NONE, -1, 11, b"", b"HTTP/1.1 1234 \r\nA: 1\r\n\r\n"),
        (response(200, -1, b"Fine"), NONE, -1, 11, b"", b"HTTP/1.1 200 Fine\r\nA: 1\r\n\r\n"),
        (response(200, -1, b"a\r\nX: 1"), NONE, -1, 11, b"", b"HTTP/1.1 200 a X: 1\r\nA: 1\r\n\r\n"),
        (
            response(101, -1, b"", "websocket"),
            NONE,
            0,
            11,
            b"close",
            b"HTTP/1.1 101 Switching Protocols\r\nA: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
    ],
)
def test_response(
    message: Response, framing: int, length: int, version: int, connection: bytes, written: bytes
) -> None:
    assert encode_response_head(message, framing, length, version, connection) == written


def test_response_as_parsed() -> None:
    raw = b"HTTP/1.1 404 Nope\r\nServer: x\r\nContent-Length: 3\r\nConnection: close\r\nB: 2\r\n\r\n"
    parser = ResponseParser(Limits())
    message = parser.parse(raw, "GET")
    assert message is not None
    written = encode_response_head(message, parser.framing, parser.length, 11, b"")
    assert written == b"HTTP/1.1 404 Nope\r\nServer: x\r\nContent-Length: 3\r\nB: 2\r\n\r\n"


def test_chunks() -> None:
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert encode_chunk(b"") == b"", "an empty chunk would end the body"
    assert encode_last_chunk(None) == LAST_CHUNK == b"0\r\n\r\n"
    assert encode_last_chunk(Headers.of([("A", "1")])) == b"0\r\nA: 1\r\n\r\n"


@pytest.mark.parametrize("query", [b"", b"q", b"a=1&b=%20", b"a;b", b";", b"long" * 20 + b";", b"long" * 20, b"?x?"])
def test_a_query_is_sent_as_it_came_whether_or_not_it_was_read(query: bytes) -> None:
    for fields in (b"Host: h\r\nX: 1\r\n", b"X: 1\r\nHost: h\r\n"):
        raw = b"GET /p?" + query + b" HTTP/1.1\r\n" + fields + b"\r\n"
        sent = b"GET /p?" + query + b" HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n"
        assert encode_request_head(parsed(raw), NONE, 0) == sent
        request = parsed(raw)
        assert request.has_query and request.has_semicolon() == (b";" in query)
        assert request.query == query.decode() and request.query is request.query
        assert request.has_semicolon() == (b";" in query)
        assert encode_request_head(request, NONE, 0) == sent


@pytest.mark.parametrize("read", [False, True])
def test_a_changed_query_is_sent_changed(read: bool) -> None:
    for given, sent in (("x=2", b"GET /p?x=2 "), ("", b"GET /p? ")):
        request = parsed(b"GET /p?x=1 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert not read or request.query == "x=1"
        request.query = given
        assert request.query == given
        assert encode_request_head(request, NONE, 0).startswith(sent)
    request = parsed(b"GET /p?x=1 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert not read or request.query == "x=1"
    request.has_query = False
    assert encode_request_head(request, NONE, 0).startswith(b"GET /p HTTP")
    request = parsed(b"GET /p?x=1 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert not read or request.query == "x=1"
    request.path = "/other"
    assert encode_request_head(request, NONE, 0).startswith(b"GET /other?x=1 ")
    assert request.target == b"/p?x=1"
