"""Hostile bytes and what may become of them: one row each, for requests and for responses. ``test_hostile`` runs them.

A request row either says with which cause it is refused (then nothing of it reaches a server, and nothing behind it is
read), or exactly which requests a server gets: method, target, Host, body. Sources: RFC 9110, RFC 9112 (sections by
the rows of ``tests/wire``), RFC 3986, and what was published on smuggling (CL.TE, TE.CL, TE.TE, h2c, hop-by-hop).
"""

from __future__ import annotations

from typing import NamedTuple

HOST = b"Host: a.test\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Refused(NamedTuple):
    """Answered ``status`` with ``cause``; the connection closes; no server hears of it."""

    cause: str
    raw: bytes
    status: int = 400


class Forwarded(NamedTuple):
    """A server gets exactly ``seen``, with the fields ``has`` and without those of ``lacks``."""

    raw: bytes
    seen: list[tuple[str, str, str, bytes]]
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


class Broken(NamedTuple):
    """The fault comes after the head went to the server: it sees no whole request, the client 400 with the cause."""

    cause: str
    first: bytes
    then: bytes


def get(target: bytes = b"/a", fields: bytes = HOST, version: bytes = b"1.1") -> bytes:
    return b"GET " + target + b" HTTP/" + version + b"\r\n" + fields + b"\r\n"


def post(fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST /a HTTP/" + version + b"\r\n" + HOST + fields + b"\r\n" + body


def coding(line: bytes) -> bytes:
    """TE.CL and TE.TE: whoever overlooks the line reads 5 bytes, whoever believes it reads chunks."""
    return post(line + b"\r\n", b"5c\r\n" + NEXT + b"0\r\n\r\n")


def one(
    target: str = "/a", host: str = "a.test", method: str = "GET", body: bytes = b""
) -> list[tuple[str, str, str, bytes]]:
    return [(method, target, host, body)]


_CODING = "BAD_REQUEST_TRANSFER_ENCODING"

REFUSED: dict[str, Refused] = {
    # -- two framings
    "CL.TE": Refused("BAD_REQUEST_LENGTH_AND_CODING", post(b"Content-Length: 6\r\n" + CHUNKED, b"0\r\n\r\nG" + NEXT)),
    "TE.CL": Refused("BAD_REQUEST_LENGTH_AND_CODING", post(CHUNKED + b"Content-Length: 4\r\n", b"5c\r\n" + NEXT)),
    "CL.0 with a coding": Refused(
        "BAD_REQUEST_LENGTH_AND_CODING", post(b"Content-Length: 0\r\n" + CHUNKED, b"0\r\n\r\n" + NEXT)
    ),
    "CL.TE, the length in other capitals": Refused(
        "BAD_REQUEST_LENGTH_AND_CODING", post(b"cOnTeNt-LeNgTh: 6\r\ntRANSFER-eNCODING: chunked\r\n", b"0\r\n\r\nG")
    ),
    "two lengths that differ": Refused(
        "BAD_REQUEST_LENGTH_TWICE", post(b"Content-Length: 5\r\nContent-Length: 0\r\n", b"hello" + NEXT)
    ),
    "two lengths that agree": Refused(
        "BAD_REQUEST_LENGTH_TWICE", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello")
    ),
    "a list of lengths": Refused("BAD_REQUEST_LENGTH", post(b"Content-Length: 5, 5\r\n", b"hello")),
    "a length with a plus": Refused("BAD_REQUEST_LENGTH", post(b"Content-Length: +5\r\n", b"hello")),
    "a length with a minus": Refused("BAD_REQUEST_LENGTH", post(b"Content-Length: -5\r\n", b"hello")),
    "a hexadecimal length": Refused("BAD_REQUEST_LENGTH", post(b"Content-Length: 0x5\r\n", b"hello")),
    "an octal-looking length with text": Refused("BAD_REQUEST_LENGTH", post(b"Content-Length: 5 bytes\r\n", b"hello")),
    "a length beyond 64 bits": Refused(
        "BAD_REQUEST_LENGTH", post(b"Content-Length: 18446744073709551621\r\n", b"hello")
    ),
    "an empty length": Refused("BAD_REQUEST_LENGTH", post(b"Content-Length: \r\n", b"hello")),
    # -- codings that some believe and others do not
    "TE.TE: xchunked": Refused(_CODING, coding(b"Transfer-Encoding: xchunked")),
    "TE.TE: quoted": Refused(_CODING, coding(b'Transfer-Encoding: "chunked"')),
    "TE.TE: with a parameter": Refused(_CODING, coding(b"Transfer-Encoding: chunked;q=1")),
    "TE.TE: identity": Refused(_CODING, coding(b"Transfer-Encoding: identity")),
    "TE.TE: chunked, identity": Refused(_CODING, coding(b"Transfer-Encoding: chunked, identity")),
    "TE.TE: identity, chunked": Refused(_CODING, coding(b"Transfer-Encoding: identity, chunked")),
    "TE.TE: chunked twice": Refused(_CODING, coding(b"Transfer-Encoding: chunked, chunked")),
    "TE.TE: two lines": Refused(_CODING, coding(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow")),
    "TE.TE: two lines, the bad one first": Refused(
        _CODING, coding(b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked")
    ),
    "TE.TE: empty": Refused(_CODING, coding(b"Transfer-Encoding:")),
    "TE.TE: a comma": Refused(_CODING, coding(b"Transfer-Encoding: ,chunked")),
    "TE.TE: vertical tab": Refused("BAD_REQUEST_HEADER_VALUE", coding(b"Transfer-Encoding:\x0bchunked")),
    "TE.TE: form feed behind": Refused("BAD_REQUEST_HEADER_VALUE", coding(b"Transfer-Encoding: chunked\x0c")),
    "TE.TE: NUL behind": Refused("BAD_REQUEST_HEADER_VALUE", coding(b"Transfer-Encoding: chunked\x00")),
    "TE.TE: next line character": Refused(_CODING, coding(b"Transfer-Encoding: \x85chunked")),
    "TE.TE: space before the colon": Refused("BAD_REQUEST_SPACE_BEFORE_COLON", coding(b"Transfer-Encoding : chunked")),
    "TE.TE: tab before the colon": Refused("BAD_REQUEST_SPACE_BEFORE_COLON", coding(b"Transfer-Encoding\t: chunked")),
    "TE.TE: folded": Refused("BAD_REQUEST_FOLDED_LINE", coding(b"Transfer-Encoding:\r\n chunked")),
    "TE.TE: folded into the field before": Refused(
        "BAD_REQUEST_FOLDED_LINE", coding(b"X: y\r\n Transfer-Encoding: chunked")
    ),
    "TE.TE: behind a bare LF": Refused("BAD_REQUEST_BARE_LF", coding(b"X: y\nTransfer-Encoding: chunked")),
    "TE.TE: behind a bare CR": Refused("BAD_REQUEST_BARE_CR", coding(b"X: y\rTransfer-Encoding: chunked")),
    "TE.TE: an LF within the name": Refused("BAD_REQUEST_BARE_LF", coding(b"Transfer-Encoding\n: chunked")),
    "TE.TE: a byte before the name": Refused("BAD_REQUEST_HEADER_NAME", coding(b"\x00Transfer-Encoding: chunked")),
    "TE.TE: a colon in front": Refused("BAD_REQUEST_HEADER_NAME", coding(b":Transfer-Encoding: chunked")),
    "a coding besides chunked": Refused("NOT_IMPLEMENTED_CODING", coding(b"Transfer-Encoding: gzip, chunked"), 501),
    "a coding in HTTP/1.0": Refused("BAD_REQUEST_CODING_IN_1_0", post(CHUNKED, b"0\r\n\r\n" + NEXT, b"1.0")),
    # -- lines
    "lines end in LF": Refused("BAD_REQUEST_BARE_LF", b"GET /a HTTP/1.1\nHost: a.test\n\n"),
    "the head ends in LF": Refused("BAD_REQUEST_BARE_LF", b"GET /a HTTP/1.1\r\nHost: a.test\r\n\n" + NEXT),
    "a CR in a value": Refused("BAD_REQUEST_BARE_CR", get(fields=HOST + b"X: a\rb\r\n")),
    "a CR at a line's end": Refused("BAD_REQUEST_BARE_CR", get(fields=HOST + b"X: a\r\r\n")),
    "NUL in a value": Refused("BAD_REQUEST_HEADER_VALUE", get(fields=HOST + b"X: a\x00b\r\n")),
    "NUL in a name": Refused("BAD_REQUEST_HEADER_NAME", get(fields=HOST + b"X\x00: a\r\n")),
    "DEL in a value": Refused("BAD_REQUEST_HEADER_VALUE", get(fields=HOST + b"X: a\x7f\r\n")),
    "obs-fold": Refused("BAD_REQUEST_FOLDED_LINE", get(fields=HOST + b"X: a\r\n b\r\n")),
    "white space before the first field": Refused("BAD_REQUEST_FOLDED_LINE", get(fields=b" " + HOST)),
    "space before the colon": Refused("BAD_REQUEST_SPACE_BEFORE_COLON", get(fields=b"Host : a.test\r\n")),
    "a line without colon": Refused("BAD_REQUEST_HEADER_NAME", get(fields=HOST + b"nonsense\r\n")),
    "nine empty lines": Refused("BAD_REQUEST_EMPTY_LINES", b"\r\n" * 9 + get()),
    "NUL before the method": Refused("BAD_REQUEST_METHOD", b"\x00" + get()),
    "a space before the method": Refused("BAD_REQUEST_METHOD", b" " + get()),
    "two spaces": Refused("BAD_REQUEST_REQUEST_LINE", b"GET  /a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a space in the target": Refused("BAD_REQUEST_REQUEST_LINE", get(b"/a b")),
    "HTTP/0.9": Refused("BAD_REQUEST_VERSION", b"GET /a\r\n"),
    "HTTP/2 preface": Refused("BAD_REQUEST_VERSION", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/1.2": Refused("BAD_REQUEST_VERSION", get(version=b"1.2"), 505),
    # -- targets and hosts
    "no Host": Refused("BAD_REQUEST_NO_HOST", get(fields=b"")),
    "no Host beside an absolute target": Refused("BAD_REQUEST_NO_HOST", get(b"http://a.test/", b"")),
    "two Hosts": Refused("BAD_REQUEST_HOST_TWICE", get(fields=HOST + b"Host: b.test\r\n")),
    "two equal Hosts": Refused("BAD_REQUEST_HOST_TWICE", get(fields=HOST + HOST)),
    "Hosts in one line": Refused("BAD_REQUEST_HOST", get(fields=b"Host: a.test, b.test\r\n")),
    "user information in Host": Refused("BAD_REQUEST_HOST", get(fields=b"Host: a.test@b.test\r\n")),
    "a path in Host": Refused("BAD_REQUEST_HOST", get(fields=b"Host: a.test/b\r\n")),
    "an escape in Host": Refused("BAD_REQUEST_HOST", get(fields=b"Host: a%2etest\r\n")),
    "two ports in Host": Refused("BAD_REQUEST_HOST", get(fields=b"Host: a.test:80:80\r\n")),
    "a backslash in an absolute target's host": Refused("BAD_REQUEST_HOST", get(b"http://a.test\\b.test/")),
    "user information in an absolute target": Refused("BAD_REQUEST_TARGET", get(b"http://b.test@a.test/")),
    "another scheme": Refused("BAD_REQUEST_TARGET", get(b"gopher://a.test/")),
    "authority form": Refused("BAD_REQUEST_TARGET", get(b"a.test:80")),
    "a relative path": Refused("BAD_REQUEST_TARGET", get(b"a/b")),
    "CONNECT": Refused("NOT_IMPLEMENTED_CONNECT", b"CONNECT a.test:80 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "an asterisk": Refused("BAD_REQUEST_ASTERISK", get(b"*")),
    "a fragment": Refused("BAD_REQUEST_FRAGMENT", get(b"/a#b")),
    "raw UTF-8": Refused("BAD_REQUEST_TARGET", get(b"/\xc3\xa9")),
    "half an escape": Refused("BAD_REQUEST_ESCAPE", get(b"/a%2")),
    "no escape": Refused("BAD_REQUEST_ESCAPE", get(b"/a%u002f")),
    # -- bodies that are wrong from the first packet on
    "a chunk size with a sign": Refused("BAD_REQUEST_CHUNK_SIZE", post(CHUNKED, b"+5\r\nhello\r\n0\r\n\r\n" + NEXT)),
    "a chunk size with 0x": Refused("BAD_REQUEST_CHUNK_SIZE", post(CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n" + NEXT)),
    "a chunk size beyond 64 bits": Refused("BAD_REQUEST_CHUNK_SIZE", post(CHUNKED, b"10000000000000005\r\nhello\r\n")),
    "an empty chunk size": Refused("BAD_REQUEST_CHUNK_SIZE", post(CHUNKED, b"\r\nhello\r\n0\r\n\r\n")),
    "a space behind a chunk size": Refused("BAD_REQUEST_CHUNK_SIZE", post(CHUNKED, b"5 \r\nhello\r\n0\r\n\r\n")),
    "a chunk that is longer": Refused("BAD_REQUEST_CHUNK_END", post(CHUNKED, b"3\r\nhello\r\n0\r\n\r\n" + NEXT)),
    "a chunk line in LF": Refused("BAD_REQUEST_CHUNK_BARE_LF", post(CHUNKED, b"5\nhello\r\n0\r\n\r\n" + NEXT)),
    "an LF in an extension": Refused("BAD_REQUEST_CHUNK_BARE_LF", post(CHUNKED, b"5;x\nhello\r\n0\r\n\r\n" + NEXT)),
    "a CR in an extension": Refused("BAD_REQUEST_CHUNK_SIZE", post(CHUNKED, b"5;x\rxx\r\nhello\r\n0\r\n\r\n" + NEXT)),
    "a bad extension": Refused("BAD_REQUEST_CHUNK_EXTENSION", post(CHUNKED, b"5;=\r\nhello\r\n0\r\n\r\n")),
    "more extension than payload": Refused(
        "BAD_REQUEST_CHUNK_EXTENSION", post(CHUNKED, b"1;" + b"x" * 17000 + b"\r\na")
    ),
    "a length in the trailers": Refused("BAD_REQUEST_TRAILER", post(CHUNKED, b"0\r\nContent-Length: 5\r\n\r\n" + NEXT)),
    "a coding in the trailers": Refused("BAD_REQUEST_TRAILER", post(CHUNKED, b"0\r\n" + CHUNKED + b"\r\n" + NEXT)),
    "trailers without end": Refused("BAD_REQUEST_TRAILER", post(CHUNKED, b"0\r\n" + b"X: y\r\n" * 3000)),
    # -- size
    "a huge field": Refused("HEAD_TOO_LARGE", get(fields=HOST + b"X: " + b"a" * 70000 + b"\r\n"), 431),
    "a huge target": Refused("HEAD_TOO_LARGE", get(b"/" + b"a" * 70000), 431),
    "a huge method": Refused("HEAD_TOO_LARGE", b"A" * 70000 + b" / HTTP/1.1\r\n", 431),
    "many fields": Refused("HEAD_TOO_LARGE", get(fields=HOST + b"X: y\r\n" * 200), 431),
    # -- expectations
    "an unknown expectation": Refused("NOT_IMPLEMENTED_EXPECTATION", get(fields=HOST + b"Expect: 200-maybe\r\n"), 501),
}

_WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
_MINE = ("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")

FORWARDED: dict[str, Forwarded] = {
    # -- one framing, strangely written
    "chunked in capitals": Forwarded(
        post(b"Transfer-Encoding: \t CHUNKED \r\n", b"5\r\nhello\r\n0\r\n\r\n"), one(method="POST", body=b"hello")
    ),
    "a length with zeros": Forwarded(post(b"Content-Length: 0005\r\n", b"hello"), one(method="POST", body=b"hello")),
    "the framing in underscores": Forwarded(
        post(b"Content-Length: 5\r\nTransfer_Encoding: chunked\r\nContent_Length: 0\r\n", b"hello"),
        one(method="POST", body=b"hello"),
        lacks=("transfer_encoding", "content_length"),
    ),
    "extensions and trailers": Forwarded(
        post(CHUNKED + b"Trailer: X-Sum\r\n", b'5;a=b;c="d\\";e"\r\nhello\r\n0;f\r\nX-Sum: 1\r\nCookie: a\r\n\r\n'),
        one(method="POST", body=b"hello"),
        lacks=("cookie",),
    ),
    "a body to GET": Forwarded(
        get(fields=HOST + b"Content-Length: %d\r\n" % len(NEXT)) + NEXT + get(b"/b"),
        [("GET", "/a", "a.test", NEXT), ("GET", "/b", "a.test", b"")],
    ),
    "a chunked body to GET": Forwarded(
        get(fields=HOST + CHUNKED) + b"5\r\nhello\r\n0\r\n\r\n" + get(b"/b"),
        [("GET", "/a", "a.test", b"hello"), ("GET", "/b", "a.test", b"")],
    ),
    "CL.0: no body to POST": Forwarded(
        post(b"Content-Length: 0\r\n") + get(b"/b"), [("POST", "/a", "a.test", b""), ("GET", "/b", "a.test", b"")]
    ),
    "no framing to POST": Forwarded(
        post(b"") + get(b"/b"), [("POST", "/a", "a.test", b""), ("GET", "/b", "a.test", b"")]
    ),
    # -- fields that Connection names
    "Connection names what the router adds": Forwarded(
        get(fields=HOST + b"Connection: X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Real-Ip\r\n"),
        one(),
        has=_MINE,
    ),
    "Connection names Host and framing": Forwarded(
        post(b"Connection: Host, Content-Length, Transfer-Encoding\r\nContent-Length: 5\r\n", b"hello"),
        one(method="POST", body=b"hello"),
    ),
    "Connection names a field": Forwarded(
        get(fields=HOST + b"Connection: close, x-secret\r\nX-Secret: 1\r\n"), one(), lacks=("x-secret",)
    ),
    "X-Forwarded in another spelling": Forwarded(
        get(fields=HOST + b"X_Forwarded-For: 6.6.6.6\r\nX-Forwarded_Host: evil\r\n"),
        one(),
        has=_MINE,
        lacks=("x_forwarded-for", "x-forwarded_host"),
    ),
    # -- upgrades
    "h2c": Forwarded(
        get(fields=HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
        one(),
        lacks=("upgrade", "connection", "http2-settings"),
    ),
    "h2c, not named in Connection": Forwarded(
        get(fields=HOST + b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"), one(), lacks=("upgrade", "http2-settings")
    ),
    "websocket and h2c": Forwarded(
        get(fields=HOST + b"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n"), one(), has=("upgrade",)
    ),
    "a WebSocket that the server does not open": Forwarded(
        get(fields=HOST + _WEBSOCKET) + get(b"/b"), [("GET", "/a", "a.test", b""), ("GET", "/b", "a.test", b"")]
    ),
    "Upgrade in HTTP/1.0": Forwarded(get(fields=HOST + _WEBSOCKET, version=b"1.0"), one(), lacks=("upgrade",)),
    "Upgrade with a body": Forwarded(
        post(_WEBSOCKET + b"Content-Length: 5\r\n", b"hello"), one(method="POST", body=b"hello"), lacks=("upgrade",)
    ),
    "Expect in HTTP/1.0": Forwarded(
        post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello", b"1.0"), one(method="POST", body=b"hello")
    ),
    "Expect without waiting": Forwarded(
        post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"), one(method="POST", body=b"hello")
    ),
    # -- targets: what is routed is what is forwarded
    "an absolute target against Host": Forwarded(get(b"http://a.test/a", b"Host: b.test\r\n"), one()),
    "an absolute target with a port": Forwarded(get(b"HTTP://a.test:81?b"), one("/?b", "a.test:81")),
    "an encoded slash": Forwarded(get(b"/a%2fb/..%2f"), one("/a%2Fb/..%2F")),
    "dots": Forwarded(get(b"/public/../a/./b//c"), one("/a/b/c")),
    "dots above the root": Forwarded(get(b"/../../a"), one("/a")),
    "encoded dots": Forwarded(get(b"/public/%2e%2E/a"), one("/a")),
    "dots encoded twice": Forwarded(get(b"/public/%252e%252e/a"), one("/public/%252e%252e/a")),
    "a backslash": Forwarded(get(b"/public\\..\\a"), one("/public%5C..%5Ca")),
    "an encoded backslash": Forwarded(get(b"/public%5c../a"), one("/public%5C../a")),
    "semicolons": Forwarded(get(b"/public/..;/a"), one("/public/..;/a")),
    "an encoded semicolon": Forwarded(get(b"/a%3bb"), one("/a%3Bb")),
    "semicolons in a query": Forwarded(get(b"/a?b;c=d"), one("/a?b&c=d")),
    "encoded letters": Forwarded(get(b"/%61%2D%7e"), one("/a-~")),
    "an encoded NUL": Forwarded(get(b"/a%00"), one("/a%00")),
    "an encoded line end": Forwarded(get(b"/a%0d%0aX:%20y"), one("/a%0D%0AX:%20y")),
    "two slashes in front": Forwarded(get(b"//evil.test/a"), one("/evil.test/a")),
    "a question mark alone": Forwarded(get(b"/a?"), one("/a?")),
    "a host in capitals with a dot": Forwarded(get(fields=b"Host: A.Test.:80\r\n"), one(host="A.Test.:80")),
    "HTTP/1.0 without Host": Forwarded(get(fields=b"", version=b"1.0"), one(host="")),
    # -- what follows
    "pipelined": Forwarded(get() + get(b"/b"), [("GET", "/a", "a.test", b""), ("GET", "/b", "a.test", b"")]),
    "a request behind close": Forwarded(get(fields=HOST + b"Connection: close\r\n") + NEXT, one()),
    "a request behind HTTP/1.0": Forwarded(get(version=b"1.0") + NEXT, one()),
}

BROKEN: dict[str, Broken] = {
    "a bad second chunk": Broken("BAD_REQUEST_CHUNK_SIZE", post(CHUNKED, b"5\r\nhello\r\n"), b"xyz\r\n" + NEXT),
    "a chunk that goes on": Broken("BAD_REQUEST_CHUNK_END", post(CHUNKED, b"5\r\nhello"), b"hello\r\n0\r\n\r\n" + NEXT),
    "a chunk line in LF": Broken("BAD_REQUEST_CHUNK_BARE_LF", post(CHUNKED, b"5\r\nhello\r\n"), b"0\n\n" + NEXT),
    "bad trailers": Broken("BAD_REQUEST_TRAILER", post(CHUNKED, b"5\r\nhello\r\n"), b"0\r\nX : y\r\n\r\n" + NEXT),
    "extensions without end": Broken(
        "BAD_REQUEST_CHUNK_EXTENSION", post(CHUNKED, b"5\r\nhello\r\n"), b"1;" + b"x" * 17000
    ),
}


class Answered(NamedTuple):
    """What a client gets for a server's ``raw``: status, and the cause or "" where it is forwarded whole.

    ``body`` is what it gets of the body; ``broken``: its connection breaks off, since the response is not whole.
    """

    raw: bytes
    status: int = 200
    cause: str = ""
    body: bytes = b"ok"
    broken: bool = False
    close: bool = True  # the server closes behind its bytes
    request: bytes = b"GET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n"


def _ok(fields: bytes, body: bytes = b"ok", status: bytes = b"HTTP/1.1 200 OK\r\n") -> bytes:
    return status + fields + b"\r\n" + body


EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
_TWO = b"Content-Length: 2\r\n"
_HEAD = b"HEAD /evil HTTP/1.1\r\nHost: a.test\r\n\r\n"


def _bad(cause: str, raw: bytes) -> Answered:
    return Answered(raw, 502, f"BAD_RESPONSE_{cause}", b"Bad Gateway", close=False)


def _half(cause: str, raw: bytes, body: bytes = b"") -> Answered:
    return Answered(raw, 200, cause, body, broken=True)


RESPONSES: dict[str, Answered] = {
    # -- not believed
    "two lengths that differ": _bad("LENGTH_TWICE", _ok(b"Content-Length: 2\r\nContent-Length: 40\r\n", b"ok" + EVIL)),
    "two lengths that agree": _bad("LENGTH_TWICE", _ok(_TWO + _TWO)),
    "a list of lengths": _bad("LENGTH", _ok(b"Content-Length: 2, 2\r\n")),
    "a signed length": _bad("LENGTH", _ok(b"Content-Length: +2\r\n")),
    "length and coding": _bad("LENGTH_AND_CODING", _ok(_TWO + CHUNKED, b"0\r\n\r\n")),
    "a coding that is not chunked": _bad("TRANSFER_ENCODING", _ok(b"Transfer-Encoding: gzip\r\n")),
    "a coding in HTTP/1.0": _bad("CODING_IN_1_0", _ok(CHUNKED, b"0\r\n\r\n", b"HTTP/1.0 200 OK\r\n")),
    "a bare LF": _bad("BARE_LF", _ok(b"X: y\nSet-Cookie: a=b\r\n" + _TWO)),
    "a bare CR: response splitting": _bad("BARE_CR", _ok(b"Location: /a\rSet-Cookie: a=b\r\n" + _TWO)),
    "NUL in a value": _bad("HEADER_VALUE", _ok(b"X: \x00\r\n" + _TWO)),
    "a bad name": _bad("HEADER_NAME", _ok(b"X(: y\r\n" + _TWO)),
    "space before the colon": _bad("SPACE_BEFORE_COLON", _ok(b"Content-Length : 2\r\n")),
    "obs-fold": _bad("FOLDED_LINE", _ok(b"X: y\r\n z\r\n" + _TWO)),
    "Host in a response": _bad("HOST_TWICE", _ok(b"Host: a\r\nHost: b\r\n" + _TWO)),
    "no HTTP": _bad("STATUS_LINE", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "HTTP/2": _bad("STATUS_LINE", b"HTTP/2 200 OK\r\n\r\n"),
    "a status of four digits": _bad("STATUS", b"HTTP/1.1 2000 OK\r\n\r\n"),
    "a status of two digits": _bad("STATUS", b"HTTP/1.1 20 OK\r\n\r\n"),
    "a head without end": _bad("HEAD_TOO_LARGE", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_100_000),
    "many fields": _bad("HEAD_TOO_LARGE", _ok(b"X: y\r\n" * 201 + _TWO)),
    "a flood of 1xx": _bad("INTERIM", b"HTTP/1.1 102 Processing\r\n\r\n" * 17),
    "101 unasked": _bad("101", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + EVIL),
    "chunks that are wrong at once": _bad("CHUNK_SIZE", _ok(CHUNKED, b"zz\r\nok\r\n0\r\n\r\n")),
    # -- lies about the length
    "less than it said": _half("UPSTREAM_RESET", _ok(b"Content-Length: 9\r\n"), b"ok"),
    "chunks without end": _half("UPSTREAM_RESET", _ok(CHUNKED, b"2\r\nok\r\n"), b"2\r\nok\r\n"),
    "nothing": Answered(b"", 502, "UPSTREAM_RESET", b"Bad Gateway"),
    "half a head": Answered(b"HTTP/1.1 200 OK\r\nX: ", 502, "UPSTREAM_RESET", b"Bad Gateway"),
    "more than it said": Answered(_ok(_TWO, b"ok" + EVIL), close=False),
    "a second response": Answered(_ok(_TWO) + EVIL, close=False),
    "a second response behind chunks": Answered(
        _ok(CHUNKED, b"2\r\nok\r\n0\r\n\r\n" + EVIL), body=b"2\r\nok\r\n0\r\n\r\n", close=False
    ),
    "a body to HEAD": Answered(_ok(_TWO, b"ok" + EVIL), body=b"", close=False, request=_HEAD),
    "a body with 204": Answered(_ok(b"", EVIL, b"HTTP/1.1 204 No Content\r\n"), 204, body=b"", close=False),
    "a length with 204": Answered(
        _ok(b"Content-Length: 54\r\n", EVIL, b"HTTP/1.1 204 No Content\r\n"), 204, body=b"", close=False
    ),
    "a body with 304": Answered(_ok(_TWO, b"ok" + EVIL, b"HTTP/1.1 304 Not Modified\r\n"), 304, body=b"", close=False),
    "garbage behind the response": Answered(_ok(_TWO, b"ok\r\n\r\n\x00garbage"), close=False),
    # -- strange and right
    "100 and 102 before": Answered(b"HTTP/1.1 100 Continue\r\n\r\n" + _ok(_TWO), close=False),
    "until close": Answered(_ok(b""), body=b"2\r\nok\r\n0\r\n\r\n"),
    "no reason": Answered(_ok(_TWO, status=b"HTTP/1.1 200\r\n"), close=False),
}

# The fault shows when some of the body has gone to the client: (cause, first bytes, later bytes, what the client got).
LATE: dict[str, tuple[str, bytes, bytes]] = {
    "a bad chunk": ("BAD_RESPONSE_CHUNK_SIZE", _ok(CHUNKED, b"2\r\nok\r\n"), b"zz\r\n"),
    "a chunk that goes on": ("BAD_RESPONSE_CHUNK_END", _ok(CHUNKED, b"2\r\nok"), b"okok"),
    "a chunk line in LF": ("BAD_RESPONSE_CHUNK_BARE_LF", _ok(CHUNKED, b"2\r\nok\r\n"), b"0\n\n"),
    "extensions without end": ("BAD_RESPONSE_CHUNK_EXTENSION", _ok(CHUNKED, b"2\r\nok\r\n"), b"1;" + b"x" * 17000),
    "bad trailers": ("BAD_RESPONSE_TRAILER", _ok(CHUNKED, b"2\r\nok\r\n"), b"0\r\nContent-Length: 3\r\n\r\n"),
}
