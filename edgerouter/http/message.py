"""Request and response as plain data, the same for every protocol version. Hop-by-hop fields are not in ``headers``:
the codec took them out and gave their meaning to the attributes (RFC 9110 section 7.6.1)."""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from edgerouter.http.body import Body
from edgerouter.http.headers import Field, Headers

HTTP_1_0: Final = 10
HTTP_1_1: Final = 11
HTTP_2: Final = 20
HTTP_3: Final = 30

_PLAIN: Final = "text/plain; charset=utf-8"
_PLAIN_TYPE: Final = Field("Content-Type", _PLAIN)
_NO_SNIFFING: Final = Field("X-Content-Type-Options", "nosniff")


@mypyc_attr(acyclic=True)
class Authority:
    """A Host field as received and the host that routers match; with what ``proxy.forwarded`` made of it, once."""

    def __init__(self, raw: bytes, text: str, host: str) -> None:
        self.raw = raw
        self.text = text
        self.host = host  # the same object where there is no port, and nothing was changed
        self.lines = b""  # of a connection without TLS
        self.secure_lines = b""


@mypyc_attr(allow_interpreted_subclasses=True)
class Request:
    """One request.

    ``target``     request target as received (bytes of the request line, or ``:path``)
    ``path``       the path that is routed *and* forwarded: percent-encoded, normalised; begins with ``/`` or is ``*``
    ``query``      text after the first ``?`` without it; "" also when there is none (``has_query`` tells them apart)
    ``authority``  Host field or authority as received, "" when absent (HTTP/1.0)
    ``host``       ``authority`` in lower case without port, brackets and trailing dot: what routers match
    ``scheme``     "http" or "https", as the connection was
    ``upgrade``    protocol that the client asks to switch to ("websocket"), or ""
    ``body``       None when the request has none
    ``named``      what the codec keeps of this authority between requests, None where it keeps nothing
    ``line_path``  ``path`` as it came, where the codec found no empty, ``.`` or ``..`` segment in it; else ""
    ``managed``    True when the client sent a field of the X-Forwarded family (either spelling)
    """

    def __init__(self, method: str, target: bytes, authority: str, headers: Headers, version: int = HTTP_1_1) -> None:
        self.method = method
        self._target = target
        self.authority = authority
        self.headers = headers
        self.version = version
        self.path = ""
        self.line_path = ""
        self._query = ""
        self.has_query = False
        self.host = ""
        self.named: Authority | None = None
        self.scheme = "http"
        self.upgrade = ""
        self.expect_continue = False
        self.te_trailers = False
        self.managed = False
        self.body: Body | None = None

    @property
    def target(self) -> bytes:
        return self._target

    @property
    def query(self) -> str:
        return self._query

    @query.setter
    def query(self, text: str) -> None:
        self._query = text

    def has_semicolon(self) -> bool:
        """True where the query holds one."""
        return ";" in self._query

    def target_text(self) -> str:
        """Path and query as they are forwarded."""
        return f"{self.path}?{self.query}" if self.has_query else self.path


@mypyc_attr(free_list_len=1)
class Response:
    """One response. ``body`` None means: no body was or may be sent (HEAD, 1xx, 204, 304), or it is empty.

    ``content_length`` is the Content-Length as received, -1 where none; for HEAD and 304 it describes a body that
    is not there. ``upgrade`` is the protocol switched to by a 101. ``cause`` names the failure where the router itself
    made this response of one.
    """

    def __init__(self, status: int, headers: Headers, body: Body | None = None, reason: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.content_length = -1 if body is None else body.length
        self.version = HTTP_1_1
        self.upgrade = ""
        self.cause = ""

    @staticmethod
    def text(status: int, text: str, content_type: str = _PLAIN) -> Response:
        """A complete response of the router's own; no content type is set for an empty text."""
        data = text.encode()
        headers = Headers()
        if data:
            if content_type == _PLAIN:
                headers.append(_PLAIN_TYPE)
            else:
                headers.add("Content-Type", content_type)
            headers.append(_NO_SNIFFING)
        response = Response(status, headers, Body.of(data) if data else None)
        response.content_length = len(data)
        return response
