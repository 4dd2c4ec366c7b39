"""Messages -> bytes, and chunks. Whatever stands in a message, what is written has exactly one framing and one Host."""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter

from edgerouter.errors import MiddlewareFailed
from edgerouter.http.headers import CODEC_FIELDS, Headers
from edgerouter.http.message import Request, Response
from edgerouter.wire.http1_base import CHUNKED, LENGTH, NONE
from edgerouter.wire.http1_reasons import STATUS_LINES
from edgerouter.wire.http1_request import ParsedRequest
from edgerouter.wire.http1_target import safe_target

LAST_CHUNK: Final = b"0\r\n\r\n"
_CRLF: Final = b"\r\n"
_EMPTY: Final = b"Content-Length: 0\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_CLOSE: Final = b"Connection: close\r\n"

# Every head is put together in here, one at a time: nothing is allocated but the head itself. Its buffer stays as large
# as the largest head so far needed it.
_WRITER: Final = BytesWriter()


def encode_request_head(request: Request, framing: int, length: int, close: bool = False) -> bytes:
    """The head for a server: request line from method, path and query, Host from ``authority`` (empty when there is
    none, RFC 9112 section 3.2), the fields, then what frames the body and what holds for this connection only.

    ``framing`` NONE writes ``Content-Length: 0`` for methods that usually have a body (RFC 9110 section 8.6). Expect
    is not written. Raises MiddlewareFailed when method or authority hold what would break the line.
    """
    out = _WRITER
    out.truncate(0)
    if isinstance(request, ParsedRequest) and len(request.line) > 0 and request.unchanged():
        out.write(request.line)
    else:
        out.write(_request_line(request))
    headers = request.headers
    if headers.guarded:
        _write_guarded(headers, out)
    else:
        headers.write_to(out)
    if framing == LENGTH:
        out.write(_length_line(length))
    elif framing == CHUNKED:
        out.write(_CHUNKED)
    elif _wants_length(request.method):
        out.write(_EMPTY)
    if request.upgrade:
        out.write(f"Connection: upgrade\r\nUpgrade: {_clean(request.upgrade)}\r\n".encode("latin-1", "replace"))
    elif close:
        out.write(b"Connection: close, TE\r\nTE: trailers\r\n" if request.te_trailers else _CLOSE)
    elif request.te_trailers:
        out.write(b"Connection: TE\r\nTE: trailers\r\n")
    out.write(_CRLF)
    return out.getvalue()


def encode_response_head(
    response: Response, framing: int, length: int, version: int, connection: bytes, payload: bytes = b""
) -> bytes:
    """The head for a client whose request had ``version``; ``connection`` is ``b""``, ``b"close"``, ``b"keep-alive"``.

    ``framing`` NONE writes the Content-Length that the message has (HEAD, 304, empty bodies), else ``length`` unless
    that is negative; never for 1xx and 204. A body that only the connection's end can end always says close.
    ``payload`` is what follows the head in the same piece.
    """
    status = response.status
    out = _WRITER
    out.truncate(0)
    out.write(_status_line(status, response.reason))
    headers = response.headers
    told = False
    if headers.guarded:
        _write_guarded(headers, out)
    else:
        told = headers.write_to(out, length if framing == LENGTH else -1)
    if told:
        pass
    elif framing == LENGTH:
        line = headers.length_line(length)
        out.write(_length_line(length) if line is None else line)
    elif framing == CHUNKED and version >= 11:
        out.write(_CHUNKED)
    elif framing == NONE:
        if status >= 200 and status != 204:
            known = response.content_length
            if known < 0 and status != 304:
                known = length
            if known >= 0:
                out.write(_length_line(known))
    else:
        connection = b"close"
    if response.upgrade:
        out.write(f"Connection: Upgrade\r\nUpgrade: {_clean(response.upgrade)}\r\n\r\n".encode("latin-1", "replace"))
    else:
        out.write(_connection_end(connection))
    out.write(payload)
    return out.getvalue()


def encode_chunk(data: bytes) -> bytes:
    """One chunk; nothing for no data, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def encode_last_chunk(trailers: Headers | None) -> bytes:
    """The end of a chunked body, with its trailer section."""
    if trailers is None:
        return LAST_CHUNK
    out = _WRITER
    out.truncate(0)
    out.write(b"0\r\n")
    if trailers.guarded:
        _write_guarded(trailers, out)
    else:
        trailers.write_to(out)
    out.write(_CRLF)
    return out.getvalue()


def _status_line(status: int, reason: bytes) -> bytes:
    if len(reason) == 0:
        known = STATUS_LINES[status] if 0 <= status < 1000 else b""
        return known if len(known) > 0 else b"HTTP/1.1 %d \r\n" % status
    if b"\n" in reason or b"\r" in reason:
        reason = b" ".join(reason.split())
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


def _length_line(length: int) -> bytes:
    return _EMPTY if length <= 0 else f"Content-Length: {length}\r\n".encode("latin-1")


def _connection_end(connection: bytes) -> bytes:
    if len(connection) == 0:
        return _CRLF
    if connection == b"close":
        return b"Connection: close\r\n\r\n"
    return b"Connection: %b\r\n\r\n" % connection


def _wants_length(method: str) -> bool:
    return method != "GET" and (method == "POST" or method == "PUT" or method == "PATCH")


def _request_line(request: Request) -> bytes:
    """The request line and Host."""
    if request.has_query:
        line = f"{request.method} {request.path}?{request.query} HTTP/1.1\r\nHost: {request.authority}\r\n"
    else:
        line = f"{request.method} {request.path} HTTP/1.1\r\nHost: {request.authority}\r\n"
    # Counted instead of checked byte by byte: each of these is one search in C.
    if line.isascii() and line.count("\n") == 2 and line.count(" ") == 3 and line.count("\r") == 2:
        return line.encode("latin-1")
    return _careful_line(request)


def _careful_line(request: Request) -> bytes:
    """The request line and Host where a middleware put in what may not stand there."""
    for text in (request.method, request.authority):
        if _clean(text) != text or not text.isascii():
            raise MiddlewareFailed(f"method or authority cannot be written: {text!r}")
    target = safe_target(request.path.replace("?", "%3F"))
    if request.has_query:
        target += b"?" + safe_target(request.query)
    method = request.method.encode("ascii")
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, target, request.authority.encode("ascii"))


def _clean(text: str) -> str:
    """The text without white space and control characters."""
    return "".join([c for c in text if c > " " and c != "\x7f"])


def _write_guarded(headers: Headers, out: BytesWriter) -> None:
    """Write all but what codecs alone may say; a middleware has set some of it."""
    for name, value in headers.items():
        if name.lower() not in CODEC_FIELDS:
            out.write(f"{name}: {value}\r\n".encode("latin-1"))
