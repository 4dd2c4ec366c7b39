"""The codec against llhttp (httptools): what both accept they read alike; what one refuses alone has a row with reason.

Requests come from a corpus, and from that corpus spoiled by a seeded generator, so that every run tests the same bytes.
"""

from __future__ import annotations

import random
import re

import httptools
import pytest

from edgerouter.errors import EdgeError
from edgerouter.http.body import Body
from edgerouter.wire.http1 import CHUNKED, LENGTH, NONE, BodyReader, Limits, RequestParser, ResponseParser

HOST = b" HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
CODED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# What is refused here and accepted by llhttp: cause, why, an example.
STRICTER = [
    ("BAD_REQUEST_ASTERISK", "llhttp does not judge targets; RFC 9112 3.2.4", b"GET *" + HOST + b"\r\n"),
    ("BAD_REQUEST_ESCAPE", "llhttp does not look into targets; RFC 3986 2.1", b"GET /%zz" + HOST + b"\r\n"),
    ("BAD_REQUEST_FRAGMENT", "llhttp accepts #; RFC 9112 3.2", b"GET /a#b" + HOST + b"\r\n"),
    ("BAD_REQUEST_TARGET", "llhttp accepts other schemes and user information", b"GET http://u@h/" + HOST + b"\r\n"),
    ("BAD_REQUEST_REQUEST_LINE", "llhttp skips spaces; RFC 9112 3 has one", b"GET  /" + HOST + b"\r\n"),
    ("BAD_REQUEST_VERSION", "llhttp reads HTTP/0.9 and 2.0", b"GET /\r\n\r\n"),
    ("BAD_REQUEST_EMPTY_LINES", "llhttp skips any number of empty lines", b"\r\n" * 9 + b"GET /" + HOST + b"\r\n"),
    ("BAD_REQUEST_BARE_LF", "llhttp skips a lone LF before a request line", b"\nGET /" + HOST + b"\r\n"),
    ("BAD_REQUEST_BARE_CR", "llhttp skips a lone CR before a request line", b"\rGET /" + HOST + b"\r\n"),
    ("BAD_REQUEST_HOST", "llhttp does not look into values; RFC 9112 3.2", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("BAD_REQUEST_HOST_TWICE", "llhttp does not know Host; RFC 9112 3.2", b"GET /" + HOST + b"Host: a\r\n\r\n"),
    ("BAD_REQUEST_NO_HOST", "llhttp does not know Host; RFC 9112 3.2", b"GET / HTTP/1.1\r\n\r\n"),
    (
        "BAD_REQUEST_CODING_IN_1_0",
        "llhttp reads chunked in 1.0; RFC 9112 6.1",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "BAD_REQUEST_TRANSFER_ENCODING",
        "llhttp ignores codings of upgrade requests",
        b"GET /" + HOST + b"Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: identity\r\n\r\n",
    ),
    (
        "NOT_IMPLEMENTED_CODING",
        "llhttp leaves gzip to its caller; a proxy that takes chunked off would have to as well",
        b"POST /" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    ),
    ("NOT_IMPLEMENTED_CONNECT", "a reverse proxy has no use for it", b"CONNECT a:1" + HOST + b"\r\n"),
    ("NOT_IMPLEMENTED_EXPECTATION", "RFC 9110 10.1.1", b"GET /" + HOST + b"Expect: x\r\n\r\n"),
    ("BAD_REQUEST_CHUNK_SIZE", "llhttp reads any number of zeros", POST + b"0" * 17 + b"5\r\nhello\r\n"),
    ("BAD_REQUEST_CHUNK_EXTENSION", "llhttp allows a name without value behind =", POST + b"5;a=\r\nhello\r\n"),
    ("BAD_REQUEST_TRAILER", "llhttp has no limits", POST + b"0\r\n" + b"X: 1\r\n" * 201 + b"\r\n"),
    ("BAD_RESPONSE_STATUS_LINE", "llhttp reads HTTP/2.0, and any byte in a reason", b"HTTP/2.0 200 OK\r\n\r\n"),
    ("BAD_RESPONSE_STATUS", "llhttp reads statuses below 100", b"HTTP/1.1 099 OK\r\n\r\n"),
    (
        "BAD_RESPONSE_CODING_IN_1_0",
        "as for requests",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "BAD_RESPONSE_TRANSFER_ENCODING",
        "llhttp takes a body until close for a coding that it does not know",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
    ),
    ("BAD_RESPONSE_CHUNK_EXTENSION", "as for requests", CODED + b"5;a=\r\nhello\r\n"),
    (
        "BAD_RESPONSE_TRAILER",
        "llhttp refuses Transfer-Encoding in trailers of requests only",
        CODED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
]
STRICTER_CAUSES = {cause for cause, _, _ in STRICTER}

# What llhttp refuses and is accepted here, by the words of its error, and why.
LOOSER = {
    "Invalid method encountered": "llhttp knows a list of methods; RFC 9110 9.1 lets any token be one",
    "Expected space after method": "the same, where a known method is the beginning of another token",
}

HOPS = {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "transfer-encoding", "upgrade",
        "http2-settings", "host", "content-length", "expect", "content_length", "transfer_encoding"}  # fmt: skip


PROTOCOL = re.compile(r"[\w!#$%&'*+.^`|~/-]+", re.ASCII)


class Message:
    """What one parser read."""

    def __init__(self) -> None:
        self.first: tuple[object, ...] = ()
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.complete = False
        self.keep_alive = False
        self.upgrade = False
        self.framed = False


def end_to_end(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What a proxy forwards of these, said independently of the codec."""
    gone = set(HOPS)
    for name, value in fields:
        if name.lower() == "connection":
            gone |= {token.strip(" \t").lower() for token in value.split(",")}
    kept = []
    for name, value in fields:
        plain = name.lower().replace("_", "-")
        managed = plain.startswith("x-forwarded-") or plain in ("x-real-ip", "x-scheme")
        if managed or name.lower() not in gone:
            kept.append((name, value))
    return kept


class Oracle:
    """Callbacks of httptools; only the first message counts."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.url = b""
        self.parser: object = None
        self.head_done = False

    def on_message_begin(self) -> None:
        self.messages.append(Message())
        self.url = b""
        self.head_done = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_done:
            self.messages[-1].fields.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.head_done = True
        parser = self.parser
        message = self.messages[-1]
        if isinstance(parser, httptools.HttpRequestParser):
            message.first = (parser.get_method(), self.url, parser.get_http_version())
            message.upgrade = parser.should_upgrade()
        else:
            assert isinstance(parser, httptools.HttpResponseParser)
            message.first = (parser.get_status_code(), parser.get_http_version())
        message.keep_alive = parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.messages[-1].body += body

    def on_message_complete(self) -> None:
        self.messages[-1].complete = True


def theirs(raw: bytes, response: bool = False) -> tuple[Message | None, str]:
    """The first message as llhttp reads it, and what it says where it refuses that message."""
    oracle = Oracle()
    parser = httptools.HttpResponseParser(oracle) if response else httptools.HttpRequestParser(oracle)
    oracle.parser = parser
    error = ""
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as caught:
        error = str(caught) or type(caught).__name__
    message = oracle.messages[0] if oracle.messages else None
    if message is not None and message.complete:
        error = ""
    return message, error


def read_body(framing: int, length: int, response: bool, raw: bytes, at: int, message: Message) -> None:
    reader = BodyReader(framing, length, response, Limits())
    body = Body(length)
    reader.feed(raw, at, body)
    message.body = body.take()
    message.complete = reader.done


def ours(raw: bytes) -> tuple[Message | None, str]:
    """The first request as this codec reads it, or the cause."""
    parser = RequestParser(Limits(max_lines=100000))
    try:
        request = parser.parse(raw)
        if request is None:
            return None, ""
        message = Message()
        version = "1.1" if request.version == 11 else "1.0"
        message.first = (request.method.encode("latin-1"), request.target, version)
        message.fields = request.headers.items()
        message.keep_alive = parser.keep_alive
        message.upgrade = bool(request.upgrade)
        message.framed = parser.framing != NONE
        read_body(parser.framing, parser.length, False, raw, parser.consumed, message)
        return message, ""
    except EdgeError as error:
        return None, error.cause


def our_response(raw: bytes) -> tuple[Message | None, str]:
    """The same for a response to GET."""
    parser = ResponseParser(Limits(max_lines=100000))
    try:
        response = parser.parse(raw, "GET")
        if response is None:
            return None, ""
        message = Message()
        message.first = (response.status, "1.1" if response.version == 11 else "1.0")
        message.fields = response.headers.items()
        message.keep_alive = parser.keep_alive
        read_body(parser.framing, parser.length, True, raw, parser.consumed, message)
        return message, ""
    except EdgeError as error:
        return None, error.cause


def compare(raw: bytes, mine: Message | None, cause: str, other: Message | None, error: str) -> str:
    """Which of the rows explains a difference; "" where there is none. Fails where none does."""
    if cause:
        if error:
            return ""
        if other is None or not other.first:
            return ""  # llhttp still waits: nothing was accepted
        assert cause in STRICTER_CAUSES, (cause, raw)
        return cause
    if error:
        if mine is None or (other is not None and other.first and not mine.complete):
            return ""  # refused there, not yet read here
        for words in LOOSER:
            if words in error:
                return words
        raise AssertionError(f"accepted here, refused by llhttp ({error}): {raw!r}")
    if mine is None or other is None or not other.first:
        assert mine is None or other is None or not other.first
        return ""
    assert mine.first == other.first, raw
    assert mine.fields == end_to_end(other.fields), raw
    if other.upgrade and not mine.upgrade:
        # llhttp leaves all that follows to the new protocol, a body too; here an upgrade with a body is not offered.
        offered = ",".join(value for name, value in other.fields if name.lower() == "upgrade")
        plain = PROTOCOL.fullmatch(offered) and not offered.startswith("h2c")
        assert mine.framed or other.first[2] == "1.0" or not plain, raw
        return ""
    assert mine.upgrade == other.upgrade, raw
    assert (mine.body, mine.complete) == (other.body, other.complete), raw
    return ""


@pytest.mark.parametrize(("cause", "why", "raw"), STRICTER)
def test_stricter_than_llhttp(cause: str, why: str, raw: bytes) -> None:
    response = cause.startswith("BAD_RESPONSE")
    _, error = theirs(raw, response)
    assert error == "", f"llhttp refuses it too, so the row is out of date: {why}"
    assert (our_response(raw) if response else ours(raw))[1] == cause


@pytest.mark.parametrize("raw", [b"BREW /" + HOST + b"\r\n", b"GETTY /" + HOST + b"\r\n"])
def test_looser_than_llhttp(raw: bytes) -> None:
    mine, cause = ours(raw)
    other, error = theirs(raw)
    assert mine is not None
    assert compare(raw, mine, cause, other, error) in LOOSER


REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a/b?c=d&e HTTP/1.1\r\nHost: a.example:80\r\nUser-Agent: x y/1 (z)\r\nAccept: */*\r\n\r\n",
    b"HEAD /x HTTP/1.0\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nhello",
    b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PUT /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: S\r\n\r\n1;x=y\r\na\r\n0\r\nS: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-H\r\nX-H: 1\r\nX-Forwarded-For: 1\r\nX_Real_Ip: 2\r\n\r\n",
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://b.example/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
    b"\r\nDELETE /%7e/../b%2f HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
    b"PATCH /a HTTP/1.1\r\nHost:a\r\nCookie: \t a=b; c=d \t\r\nEmpty:\r\nX: \xff\r\nContent-Length:0\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVia: a\r\n\r\n5\r\nhello\r\n0\r\nS: 1\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nConnection: close, X-A\r\nX-A: 1\r\nKeep-Alive: 5\r\n\r\n",
    b"HTTP/1.1 301 \r\nLocation: /\xc3\xbc\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 1\r\n\r\nx",
]
SCRAPS = [
    *(bytes([c]) for c in b"\r\n \t:\x00\x0b\x7f\x80,;#?%/05f+@[]"),
    *(b"..", b"-1", b"\r\n\r\n", b" HTTP/1.1", b"HTTP/1.0", b"GET ", b"chunked", b"close", b"\r\n x", b"0\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 05\r\n", b"Content-Length: 5, 5\r\n", b';a="b"'),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n"),
    *(b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding:\tchunked\r\n"),
    *(b"Host: b\r\n", b"Connection: close\r\n", b"Connection: content-length, host\r\n"),
    *(b"Upgrade: h2c\r\n", b"X-Y: z\r\n", b"Expect: 100-continue\r\n"),
]


@pytest.mark.parametrize("raw", REQUESTS)
def test_good_requests_are_read_alike(raw: bytes) -> None:
    mine, cause = ours(raw)
    other, error = theirs(raw)
    assert (cause, error) == ("", "")
    assert mine is not None
    assert other is not None
    assert compare(raw, mine, cause, other, error) == ""
    assert mine.keep_alive == other.keep_alive
    assert mine.complete


@pytest.mark.parametrize("raw", RESPONSES)
def test_good_responses_are_read_alike(raw: bytes) -> None:
    mine, cause = our_response(raw)
    other, error = theirs(raw, True)
    assert (cause, error) == ("", "")
    assert mine is not None
    assert other is not None
    assert compare(raw, mine, cause, other, error) == ""
    assert mine.keep_alive == other.keep_alive


def spoil(rng: random.Random, raw: bytes) -> bytes:
    """One to three small faults."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(raw) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            raw = raw[:at] + rng.choice(SCRAPS) + raw[at:]
        elif kind == 1:
            raw = raw[:at] + raw[at + rng.randint(1, 4) :]
        elif kind == 2:
            raw = raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
        elif kind == 3:
            starts = [0] + [i + 2 for i in range(len(raw)) if raw[i : i + 2] == b"\r\n"]
            line = rng.choice(starts)
            raw = raw[:line] + rng.choice(SCRAPS) + raw[line:]
        else:
            end = at + rng.randint(1, 30)
            raw = raw[:at] + raw[at:end] * 2 + raw[end:]
    return raw


def test_spoiled_requests() -> None:
    rng = random.Random(20261121)
    seen: dict[str, int] = {}
    accepted = 0
    for _ in range(5000):
        raw = spoil(rng, rng.choice(REQUESTS))
        mine, cause = ours(raw)
        other, error = theirs(raw)
        row = compare(raw, mine, cause, other, error)
        seen[row] = seen.get(row, 0) + 1
        accepted += mine is not None and not error
    assert accepted > 300, "the generator spoils too much to compare anything"
    assert seen.get("", 0) > 2500


def test_spoiled_responses() -> None:
    rng = random.Random(21112026)
    accepted = 0
    for _ in range(5000):
        raw = spoil(rng, rng.choice(RESPONSES))
        mine, cause = our_response(raw)
        other, error = theirs(raw, True)
        compare(raw, mine, cause, other, error)
        accepted += mine is not None and not error
    assert accepted > 300


@pytest.mark.parametrize(("framing", "raw"), [(LENGTH, b"hello"), (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"), (NONE, b"")])
def test_the_body_reader_and_llhttp_end_at_the_same_byte(framing: int, raw: bytes) -> None:
    heads = {LENGTH: b"Content-Length: 5\r\n", CHUNKED: b"Transfer-Encoding: chunked\r\n", NONE: b""}
    two = (b"POST /%d HTTP/1.1\r\nHost: a\r\n" + heads[framing] + b"\r\n") % 1 + raw
    two += b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
    oracle = Oracle()
    oracle.parser = httptools.HttpRequestParser(oracle)
    oracle.parser.feed_data(two)
    parser = RequestParser(Limits())
    first = parser.parse(two)
    assert first is not None
    at = parser.consumed
    at = BodyReader(parser.framing, parser.length, False, Limits()).feed(two, at, Body())
    second = parser.parse(two[at:])
    assert second is not None
    assert [message.first[1] for message in oracle.messages] == [first.target, second.target]
