"""Request heads: what is read from good ones, and for each thing refused the cause and the reason."""

from __future__ import annotations

import time

import pytest
from librt.strings import BytesWriter

from edgerouter.errors import BadRequest, EdgeError, HeadTooLarge, NotImplementedMethod, UnsupportedVersion
from edgerouter.http.message import Request
from edgerouter.wire.http1 import CHUNKED, LENGTH, NONE, Limits, RequestParser

HOST = b"Host: a.example\r\n"


def parse(raw: bytes, limits: Limits | None = None, scheme: str = "http") -> tuple[Request, RequestParser]:
    parser = RequestParser(limits or Limits(), scheme)
    request = parser.parse(raw)
    assert request is not None, "the head is complete"
    return request, parser


def get(target: bytes, fields: bytes = HOST, version: bytes = b"1.1", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/" + version + b"\r\n" + fields + b"\r\n"


REFUSED = [
    # (cause, why it is refused, the bytes)
    ("REQUEST_LINE", "RFC 9112 3: method SP target SP version", b"GET\r\n\r\n"),
    ("REQUEST_LINE", "RFC 9112 3: one space behind the method, or two parsers disagree on the target", get(b" /")),
    ("REQUEST_LINE", "RFC 9112 3: nothing between version and CRLF", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    ("REQUEST_LINE", "RFC 9112 2.3: the name of the protocol is HTTP, in capitals", b"GET / http/1.1\r\n\r\n"),
    ("REQUEST_LINE", "RFC 9112 3: two spaces before the version", b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("REQUEST_LINE", "RFC 9112 3: no white space inside of a target", b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("REQUEST_LINE", "RFC 9112 2.3: two digits and a dot", b"GET / HTTP/1.10\r\n" + HOST + b"\r\n"),
    ("METHOD", "RFC 9110 9.1: a method is a token", b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("METHOD", "RFC 9110 9.1: a method is a token", b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("METHOD", "RFC 9112 2.2: white space before the request line", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("METHOD", "RFC 9110 9.1: a method has at least one letter", b"\x00GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("TLS", "somebody speaks TLS to a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\r\n\r\n"),
    ("VERSION", "HTTP/0.9 has no fields, so no Host", b"GET /\r\n\r\n"),
    ("EMPTY_LINES", "RFC 9112 2.2 wants one skipped, not any number", b"\r\n" * 9 + get(b"/")),
    ("BARE_LF", "RFC 9112 2.2: a lone LF ends lines for some and not for others", b"\nGET / HTTP/1.1\r\n\r\n"),
    ("BARE_LF", "RFC 9112 2.2", b"GET\n / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("BARE_LF", "RFC 9112 2.2", b"GET /\n HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("BARE_LF", "RFC 9112 2.2", b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    ("BARE_CR", "RFC 9112 2.2", b"\rGET / HTTP/1.1\r\n\r\n"),
    ("BARE_CR", "RFC 9112 2.2: a CR without LF is no line end", get(b"/", b"Host: a\rX: b\r\n")),
    ("BARE_CR", "RFC 9112 2.2", get(b"/", HOST + b"\rX: 1\r\n")),
    ("BARE_CR", "RFC 9112 2.2", get(b"/", HOST + b"X: 1\r\r\n")),
    ("BARE_LF", "RFC 9112 2.2: LF without CR behind a value", get(b"/", b"Host: a\nX: b\r\n")),
    ("BARE_LF", "RFC 9112 2.2: LF instead of the empty line", b"GET / HTTP/1.1\r\n" + HOST + b"\n"),
    ("HEADER_VALUE", "RFC 9110 5.5: NUL", get(b"/", HOST + b"X: a\x00b\r\n")),
    ("HEADER_VALUE", "RFC 9110 5.5: control characters", get(b"/", HOST + b"X: a\x08b\r\n")),
    ("HEADER_VALUE", "RFC 9110 5.5: DEL", get(b"/", HOST + b"X: a\x7fb\r\n")),
    ("HEADER_VALUE", "vertical tab is no white space", get(b"/", HOST + b"Transfer-Encoding:\x0bchunked\r\n")),
    ("HEADER_NAME", "RFC 9110 5.1: a name is a token", get(b"/", HOST + b"X(: 1\r\n")),
    ("HEADER_NAME", "RFC 9110 5.1: a name is a token", get(b"/", HOST + b"X\x80: 1\r\n")),
    ("HEADER_NAME", "RFC 9110 5.1: a name is not empty", get(b"/", HOST + b": 1\r\n")),
    ("HEADER_NAME", "RFC 9112 5: a line has a colon", get(b"/", HOST + b"nonsense\r\n")),
    ("HEADER_NAME", "RFC 9110 5.1: NUL", get(b"/", HOST + b"X\x00: 1\r\n")),
    ("SPACE_BEFORE_COLON", "RFC 9112 5.1: must be refused", get(b"/", HOST + b"Content-Length : 5\r\n")),
    ("SPACE_BEFORE_COLON", "RFC 9112 5.1", get(b"/", HOST + b"Transfer-Encoding\t: chunked\r\n")),
    ("SPACE_BEFORE_COLON", "RFC 9110 5.1: a name is a token", get(b"/", HOST + b"X Y: 1\r\n")),
    ("FOLDED_LINE", "RFC 9112 5.2: obsolete folding", get(b"/", HOST + b"X: 1\r\n 2\r\n")),
    ("FOLDED_LINE", "RFC 9112 5.2", get(b"/", HOST + b"X: 1\r\n\tContent-Length: 5\r\n")),
    ("FOLDED_LINE", "RFC 9112 2.2: white space before the first field", get(b"/", b" Host: a\r\n")),
    # targets
    ("FRAGMENT", "RFC 9112 3.2: a fragment is never sent; caches and filters see two paths", get(b"/a#b")),
    ("FRAGMENT", "RFC 9112 3.2", get(b"/a?b#c")),
    ("TARGET", "RFC 9112 3.2: visible ASCII only", get(b"/\xc3\xbc")),
    ("TARGET", "RFC 9112 3.2", get(b"/a\x00")),
    ("TARGET", "RFC 9112 3.2", get(b"/a?\xff")),
    ("TARGET", "RFC 9112 3.2", get(b"/a\tb")),
    ("TARGET", "RFC 9112 3.2: neither of the four forms", get(b"a/b")),
    ("TARGET", "RFC 9112 3.2.2: not a scheme of HTTP", get(b"ftp://a/b")),
    ("TARGET", "RFC 9110 4.2.4: user information is refused", get(b"http://u:p@a.example/")),
    ("TARGET", "RFC 9110 4.2.1: an http URI has a host", get(b"http:///x")),
    ("TARGET", "RFC 9112 3.2.3: authority form is for CONNECT", get(b"a.example:80")),
    ("ASTERISK", "RFC 9112 3.2.4: only OPTIONS", get(b"*")),
    ("ESCAPE", "RFC 3986 2.1: % and two hexadecimal digits", get(b"/a%")),
    ("ESCAPE", "RFC 3986 2.1", get(b"/a%2")),
    ("ESCAPE", "RFC 3986 2.1", get(b"/a%zz")),
    ("ESCAPE", "RFC 3986 2.1: int() would take it", get(b"/a%+1")),
    # Host
    ("NO_HOST", "RFC 9112 3.2: must be 400", get(b"/", b"")),
    ("NO_HOST", "RFC 9112 3.2: also beside an absolute target", get(b"http://a.example/", b"")),
    ("HOST_TWICE", "RFC 9112 3.2: must be 400", get(b"/", HOST + b"Host: b.example\r\n")),
    ("HOST_TWICE", "RFC 9112 3.2: also when they are equal", get(b"/", HOST + b"hOST: a.example\r\n")),
    ("HOST", "RFC 3986 3.2.2", get(b"/", b"Host: a b\r\n")),
    ("HOST", "RFC 3986 3.2.2: a path is not part of it", get(b"/", b"Host: a/b\r\n")),
    ("HOST", "RFC 3986 3.2.2: user information is not part of it", get(b"/", b"Host: u@a\r\n")),
    ("HOST", "several Host lines that a hop has joined", get(b"/", b"Host: a,b\r\n")),
    ("HOST", "RFC 3986 3.2.2: no raw UTF-8", get(b"/", b"Host: \xc3\xbc.example\r\n")),
    ("HOST", "escapes in a host name have no common reading", get(b"/", b"Host: a%2eb\r\n")),
    ("HOST", "RFC 3986 3.2.3: a port is a number", get(b"/", b"Host: a:b\r\n")),
    ("HOST", "a port is at most 65535", get(b"/", b"Host: a:65536\r\n")),
    ("HOST", "two ports", get(b"/", b"Host: a:1:2\r\n")),
    ("HOST", "a port without host", get(b"/", b"Host: :80\r\n")),
    ("HOST", "a dot is no host", get(b"/", b"Host: .\r\n")),
    ("HOST", "no end of the bracket", get(b"/", b"Host: [::1\r\n")),
    ("HOST", "no end of the bracket, nothing in it", get(b"/", b"Host: [\r\n")),
    ("HOST", "nothing in the brackets", get(b"/", b"Host: []\r\n")),
    ("HOST", "not an IPv6 address", get(b"/", b"Host: [a.example]\r\n")),
    ("HOST", "RFC 3986 3.2.2: something behind the bracket", get(b"/", b"Host: [::1]x\r\n")),
    ("HOST", "a bad Host beside an absolute target", get(b"http://a.example/", b"Host: a b\r\n")),
    ("HOST", "a bad host in an absolute target", get(b"http://a|b/")),
    # framing
    (
        "LENGTH_AND_CODING",
        "RFC 9112 6.3: smuggling",
        get(b"/", HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    ),
    (
        "LENGTH_AND_CODING",
        "order does not matter",
        get(b"/", HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
    ),
    ("LENGTH_TWICE", "RFC 9112 6.3: they differ", get(b"/", HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n")),
    (
        "LENGTH_TWICE",
        "RFC 9110 8.6 allows to merge equal ones, no client needs it",
        get(b"/", HOST + b"Content-Length: 5\r\n" * 2),
    ),
    ("LENGTH", "RFC 9110 8.6: a list", get(b"/", HOST + b"Content-Length: 5, 5\r\n")),
    ("LENGTH", "RFC 9110 8.6: digits only", get(b"/", HOST + b"Content-Length: +5\r\n")),
    ("LENGTH", "RFC 9110 8.6", get(b"/", HOST + b"Content-Length: -5\r\n")),
    ("LENGTH", "RFC 9110 8.6", get(b"/", HOST + b"Content-Length: 0x5\r\n")),
    ("LENGTH", "RFC 9110 8.6", get(b"/", HOST + b"Content-Length: 5 5\r\n")),
    ("LENGTH", "RFC 9110 8.6", get(b"/", HOST + b"Content-Length: 1_0\r\n")),
    ("LENGTH", "RFC 9110 8.6: other scripts' digits", get(b"/", HOST + b"Content-Length: \xb2\r\n")),
    ("LENGTH", "RFC 9110 8.6: at least one digit", get(b"/", HOST + b"Content-Length:\r\n")),
    ("LENGTH", "beyond 64 bits", get(b"/", HOST + b"Content-Length: 18446744073709551621\r\n")),
    ("CODING_IN_1_0", "RFC 9112 6.1: faulty framing", get(b"/", HOST + b"Transfer-Encoding: chunked\r\n", b"1.0")),
    (
        "TRANSFER_ENCODING",
        "RFC 9112 6.3: chunked must be last",
        get(b"/", HOST + b"Transfer-Encoding: chunked, gzip\r\n"),
    ),
    ("TRANSFER_ENCODING", "RFC 9112 6.3: no chunked", get(b"/", HOST + b"Transfer-Encoding: gzip\r\n")),
    ("TRANSFER_ENCODING", "no such coding any more", get(b"/", HOST + b"Transfer-Encoding: identity\r\n")),
    ("TRANSFER_ENCODING", "no such coding, but it ends like one", get(b"/", HOST + b"Transfer-Encoding: xchunked\r\n")),
    ("TRANSFER_ENCODING", "RFC 9112 6.1: chunked once", get(b"/", HOST + b"Transfer-Encoding: chunked, chunked\r\n")),
    ("TRANSFER_ENCODING", "two lines", get(b"/", HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n")),
    ("TRANSFER_ENCODING", "chunked takes no parameters", get(b"/", HOST + b"Transfer-Encoding: chunked;q=1\r\n")),
    ("TRANSFER_ENCODING", "empty", get(b"/", HOST + b"Transfer-Encoding:\r\n")),
    ("TRANSFER_ENCODING", "a quoted one", get(b"/", HOST + b'Transfer-Encoding: "chunked"\r\n')),
]


@pytest.mark.parametrize(("why", "reason", "raw"), REFUSED)
def test_refused_with_a_cause(why: str, reason: str, raw: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(raw)
    assert caught.value.cause == f"BAD_REQUEST_{why}", reason
    assert caught.value.status == 400
    assert caught.value.message


@pytest.mark.parametrize(("why", "reason", "raw"), REFUSED)
def test_refused_also_when_it_drips(why: str, reason: str, raw: bytes) -> None:
    parser = RequestParser(Limits())
    with pytest.raises(EdgeError) as caught:
        for end in range(1, len(raw) + 1):
            assert parser.parse(raw[:end]) is None
    assert caught.value.status == 400, reason


@pytest.mark.parametrize(
    ("line", "status", "cause"),
    [
        (b"GET / HTTP/2.0\r\n\r\n", 505, "BAD_REQUEST_VERSION"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "BAD_REQUEST_VERSION"),
        (b"GET / HTTP/1.2\r\n\r\n", 505, "BAD_REQUEST_VERSION"),
        (b"GET / HTTP/0.9\r\n\r\n", 505, "BAD_REQUEST_VERSION"),
        (b"GET / HTTP/3\r\n\r\n", 505, "BAD_REQUEST_VERSION"),
    ],
)
def test_other_versions(line: bytes, status: int, cause: str) -> None:
    with pytest.raises(UnsupportedVersion) as caught:
        parse(line)
    assert (caught.value.status, caught.value.cause) == (status, cause)


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"CONNECT a.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", "NOT_IMPLEMENTED_CONNECT"),
        (get(b"/", HOST + b"Transfer-Encoding: gzip, chunked\r\n"), "NOT_IMPLEMENTED_CODING"),
        (get(b"/", HOST + b"Expect: 200-maybe\r\n"), "NOT_IMPLEMENTED_EXPECTATION"),
    ],
)
def test_not_implemented(raw: bytes, cause: str) -> None:
    with pytest.raises(NotImplementedMethod) as caught:
        parse(raw)
    assert (caught.value.status, caught.value.cause) == (501, cause)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", None),
        (b"/a/b.js", "/a/b.js", None),
        (b"/a?b=c", "/a", "b=c"),
        (b"/a?", "/a", ""),
        (b"/a?b?c//d/../%zz", "/a", "b?c//d/../%zz"),
        (b"/%41%7e%2D", "/A~-", None),
        (b"/%2f%3a", "/%2F%3A", None),
        (b"/a%00b", "/a%00b", None),
        (b"/%2e%2E/x", "/x", None),
        (b"//a///b//", "/a/b/", None),
        (b"/a/./b", "/a/b", None),
        (b"/a/../b", "/b", None),
        (b"/../../b", "/b", None),
        (b"/a/..", "/", None),
        (b"/a/b/..", "/a/", None),
        (b"/a/.", "/a/", None),
        (b"/..", "/", None),
        (b"/.well-known/x", "/.well-known/x", None),
        (b"/a/...", "/a/...", None),
        (b"/a..b/..c", "/a..b/..c", None),
        (b"/a\\b|c{}", "/a%5Cb%7Cc%7B%7D", None),
        (b'/a"<>^`', "/a%22%3C%3E%5E%60", None),
        (b"/a?x=\\|{}", "/a", "x=\\|{}"),
        (b"/;a=1,b@c:d!$&'()*+", "/;a=1,b@c:d!$&'()*+", None),
        (b"http://B.example:81/x/../y?z", "/y", "z"),
        (b"HTTPS://b.example", "/", None),
        (b"http://b.example?q", "/", "q"),
    ],
)
def test_path_and_query(target: bytes, path: str, query: str | None) -> None:
    request, _ = parse(get(target))
    assert request.path == path
    assert (request.query if request.has_query else None) == query
    assert request.target == target


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"//a/../b/./c", "//a/../b/./c"), (b"/%2e%2e/%41", "/../A"), (b"/a%2fb", "/a%2Fb")],
)
def test_path_without_sanitising(target: bytes, path: str) -> None:
    request, _ = parse(get(target), Limits(sanitize_path=False))
    assert request.path == path


def test_options_asterisk_and_its_absolute_form() -> None:
    assert parse(get(b"*", method=b"OPTIONS"))[0].path == "*"
    assert parse(get(b"http://a.example", method=b"OPTIONS"))[0].path == "*"
    assert parse(get(b"http://a.example/", method=b"OPTIONS"))[0].path == "/"
    assert parse(get(b"http://a.example/a.example", method=b"OPTIONS"))[0].path == "/a.example"


@pytest.mark.parametrize(
    ("value", "host"),
    [
        (b"a.example", "a.example"),
        (b"A.Example:8080", "a.example"),
        (b"a.example.", "a.example"),
        (b"a.example.:80", "a.example"),
        (b"a.example:", "a.example"),
        (b"10.0.0.1:80", "10.0.0.1"),
        (b"[::1]", "::1"),
        (b"[2001:DB8::1]:443", "2001:db8::1"),
        (b"a_b-c~d", "a_b-c~d"),
        (b"", ""),
    ],
)
def test_host(value: bytes, host: str) -> None:
    request, _ = parse(get(b"/", b"Host: " + value + b" \t\r\n"))
    assert request.authority == value.decode()
    assert request.host == host
    assert request.headers.get("host") == value.decode()


def test_absolute_target_replaces_host() -> None:
    request, _ = parse(get(b"http://B.example:81/x"))
    assert (request.authority, request.host) == ("B.example:81", "b.example")
    assert request.headers.get("Host") is None, "the Host line was not heeded, so it is not shown"


def test_version_1_0_needs_no_host() -> None:
    request, parser = parse(get(b"/", b"", b"1.0"))
    assert (request.version, request.authority, parser.keep_alive) == (10, "", False)


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        (b"1.1", None, True),
        (b"1.1", b"close", False),
        (b"1.1", b"Close", False),
        (b"1.1", b"keep-alive", True),
        (b"1.1", b"keep-alive, close", False),
        (b"1.1", b"x, \tCLOSE ,y", False),
        (b"1.1", b"closed", True),
        (b"1.0", None, False),
        (b"1.0", b"keep-alive", True),
        (b"1.0", b"Keep-Alive", True),
        (b"1.0", b"close, keep-alive", False),
    ],
)
def test_keep_alive(version: bytes, connection: bytes | None, keeps: bool) -> None:
    fields = HOST if connection is None else HOST + b"Connection: " + connection + b"\r\n"
    assert parse(get(b"/", fields, version))[1].keep_alive is keeps


def test_connection_lines_are_joined() -> None:
    request, parser = parse(get(b"/", HOST + b"Connection: x-a\r\nX-A: 1\r\nConnection: close\r\nX-B: 2\r\n"))
    assert not parser.keep_alive
    assert request.headers.items() == [("X-B", "2")]


@pytest.mark.parametrize(
    ("fields", "framing", "length"),
    [
        (b"", NONE, 0),
        (b"Content-Length: 0\r\n", NONE, 0),
        (b"Content-Length: 5\r\n", LENGTH, 5),
        (b"content-length:\t 007 \t\r\n", LENGTH, 7),
        (b"Content-Length: 999999999999999999\r\n", LENGTH, 999999999999999999),
        (b"Transfer-Encoding: chunked\r\n", CHUNKED, -1),
        (b"transfer-encoding: CHUNKED\r\n", CHUNKED, -1),
    ],
)
def test_framing(fields: bytes, framing: int, length: int) -> None:
    request, parser = parse(get(b"/", HOST + fields, method=b"POST"))
    assert (parser.framing, parser.length) == (framing, length)
    assert (request.body is None) == (framing == NONE)
    if request.body is not None:
        assert request.body.length == length
    assert request.headers.items() == []


def test_content_length_can_be_read_but_is_not_written() -> None:
    request, _ = parse(get(b"/", b"X: 1\r\nContent-Length: 5\r\n" + HOST))
    out = BytesWriter()
    request.headers.write_to(out)
    assert out.getvalue() == b"X: 1\r\n"
    assert request.headers.get("content-length") == "5"
    request.headers.remove("X")
    assert request.headers.items() == []
    assert request.headers.get_all("Host") == ["a.example"]


HOPS = [
    (b"Keep-Alive: timeout=5\r\n", []),
    (b"Proxy-Connection: keep-alive\r\n", []),
    (b"Proxy-Authorization: Basic eA==\r\n", []),
    (b"TE: trailers\r\n", []),
    (b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", []),
    (b"Trailer: X-Sum\r\n", [("Trailer", "X-Sum")]),
    (b"Connection: X-Gone, , x-also\r\nX-GONE: 1\r\nX-Also: 2\r\nX-Stays: 3\r\n", [("X-Stays", "3")]),
    (b"Connection: cookie\r\nCookie: a\r\nCookie: b\r\n", []),
    (
        b"Connection: X-Forwarded-For, X_Real_IP\r\nX-Forwarded-For: 1\r\nX_Real_IP: 2\r\n",
        [("X-Forwarded-For", "1"), ("X_Real_IP", "2")],
    ),
    (b"Connection: Host, Content-Length\r\nContent-Length: 3\r\nA: b\r\n", [("A", "b")]),
    (b"Expect: 100-continue\r\n", []),
]


@pytest.mark.parametrize(("fields", "left"), HOPS)
def test_hop_by_hop_fields_are_taken_out(fields: bytes, left: list[tuple[str, str]]) -> None:
    for raw in (HOST + fields, fields + HOST):
        request, parser = parse(get(b"/", raw))
        assert request.headers.items() == left
        assert request.host == "a.example"
        assert parser.length == (3 if b"Length: 3" in fields else 0)


@pytest.mark.parametrize(
    ("fields", "version", "upgrade"),
    [
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"1.1", "websocket"),
        (b"Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n", b"1.1", "websocket"),
        (b"Upgrade: websocket\r\n", b"1.1", ""),
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", b"1.1", ""),
        (b"Connection: Upgrade\r\n", b"1.1", ""),
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"1.0", ""),
        (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n", b"1.1", ""),
        (b"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n", b"1.1", "websocket"),
        (b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n", b"1.1", ""),
        (b"Connection: Upgrade\r\nUpgrade: foo/2\r\n", b"1.1", "foo/2"),
        (b"Connection: Upgrade\r\nUpgrade: a b\r\n", b"1.1", ""),
    ],
)
def test_upgrade(fields: bytes, version: bytes, upgrade: str) -> None:
    request, _ = parse(get(b"/", HOST + fields, version))
    assert request.upgrade == upgrade
    assert request.headers.items() == []


def test_expect_and_te() -> None:
    assert parse(get(b"/", HOST + b"Expect: 100-Continue\r\n"))[0].expect_continue
    assert not parse(get(b"/", HOST + b"Expect: 100-continue\r\n", b"1.0"))[0].expect_continue
    assert parse(get(b"/", HOST + b"TE: gzip;q=0, Trailers\r\n"))[0].te_trailers
    assert not parse(get(b"/", HOST + b"TE: gzip\r\n"))[0].te_trailers


@pytest.mark.parametrize(
    ("name", "managed"),
    [
        (b"X-Forwarded-For", True),
        (b"x_forwarded_proto", True),
        (b"X-Forwarded_Host", True),
        (b"X-Real-IP", True),
        (b"X_REAL_IP", True),
        (b"X-Scheme", True),
        (b"X-Forwarded-Tls-Client-Cert-Info", True),
        (b"X-Forwarded-For-A-Name-Of-More-Than-31-Letters", True),
        (b"X-Request-Id", False),
        (b"Forwarded", False),
    ],
)
def test_managed(name: bytes, managed: bool) -> None:
    request, _ = parse(get(b"/", HOST + name + b": 1\r\n"))
    assert request.managed is managed
    assert request.headers.get(name.decode()) == "1"


def test_nothing_is_carried_over_to_the_next_head() -> None:
    parser = RequestParser(Limits(), "https")
    first = get(
        b"/a//b?c", HOST + b"X-Real-Ip: 1\r\nContent-Length: 3\r\nConnection: close\r\nTE: trailers\r\n", method=b"PUT"
    )
    second = b"\r\n" + get(b"/d", b"Host: b\r\n")
    assert parser.parse(first + b"abc") is not None
    assert parser.consumed == len(first)
    request = parser.parse(second + first)
    assert request is not None
    assert parser.consumed == len(second)
    assert (request.method, request.path, request.host, request.scheme) == ("GET", "/d", "b", "https")
    assert (request.managed, request.has_query, request.te_trailers, request.body) == (False, False, False, None)
    assert (parser.framing, parser.length, parser.keep_alive) == (NONE, 0, True)


def test_limits() -> None:
    head = get(b"/", HOST + b"X: " + b"a" * 100 + b"\r\n")
    parse(head, Limits(max_head_bytes=len(head)))
    with pytest.raises(HeadTooLarge) as caught:
        parse(head, Limits(max_head_bytes=len(head) - 1))
    assert caught.value.status == 431
    with pytest.raises(HeadTooLarge):
        RequestParser(Limits(max_head_bytes=50)).parse(head[:51])
    assert RequestParser(Limits(max_head_bytes=50)).parse(head[:50]) is None
    parse(get(b"/", HOST + b"X: 1\r\n" * 9), Limits(max_lines=10))
    with pytest.raises(HeadTooLarge):
        parse(get(b"/", HOST + b"X: 1\r\n" * 10), Limits(max_lines=10))


def test_what_follows_the_head_does_not_count_as_head() -> None:
    head = get(b"/", HOST)
    request, parser = parse(head + b"x" * 10000, Limits(max_head_bytes=len(head)))
    assert request.path == "/"
    assert parser.consumed == len(head)


@pytest.mark.parametrize(("strategy", "left"), [("keep", ["A_B", "C"]), ("delete", ["C"])])
def test_underscores(strategy: str, left: list[str]) -> None:
    request, _ = parse(get(b"/", HOST + b"A_B: 1\r\nC: d_e\r\n"), Limits(underscores=strategy))
    assert [name for name, _ in request.headers.items()] == left


def test_underscores_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        parse(get(b"/", HOST + b"A_B: 1\r\n"), Limits(underscores="reject"))
    assert caught.value.cause == "BAD_REQUEST_UNDERSCORE"
    assert parse(get(b"/", HOST + b"C: d_e\r\n"), Limits(underscores="reject"))[0].host == "a.example"


def test_values_keep_every_byte() -> None:
    request, _ = parse(get(b"/", HOST + b"X:\t a\tb \xff\xfe \t\r\nEmpty:\r\n"))
    assert request.headers.items() == [("X", "a\tb \xff\xfe"), ("Empty", "")]


def test_a_dripping_head_costs_no_rescan() -> None:
    """200 KB in one line in 2,000 pieces: rescanning would cost 1,000 times the scan, remembering about nothing."""
    head = get(b"/", HOST + b"X: " + b"a" * 200_000 + b"\r\n")
    pieces = [head[:end] for end in range(100, len(head), 100)]
    start = time.process_time()
    parse(head)
    at_once = time.process_time() - start
    parser = RequestParser(Limits())
    start = time.process_time()
    assert all(parser.parse(piece) is None for piece in pieces)
    request = parser.parse(head)
    dripping = time.process_time() - start
    assert request is not None
    assert request.headers.get("X") == "a" * 200_000
    assert dripping < 100 * at_once + 0.05
