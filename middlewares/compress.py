"""compress: compresses responses for clients that accept it, in passing: nothing waits for a body's end.

Of the client's Accept-Encoding the highest weight wins, among equals the first of ``encodings``; without that field
``defaultEncoding`` is used, or nothing. Left as they are: bodies under ``minResponseBodyBytes`` (where the length is
known, or the whole body is there at once), responses that have a Content-Encoding or a Content-Range, ``no-transform``,
gRPC, HEAD, 204, 304, upgrades, and the excluded types; and all responses to requests whose own Content-Type is
excluded.

Streams are flushed as they come: at once for ``text/event-stream`` and bodies of unknown length, after 100 ms for all
others. A compressed response has ``Vary: Accept-Encoding``, no Content-Length unless it was small, no Accept-Ranges,
and a weak ETag, since its bytes are others than the server's (RFC 9110 section 8.8.1). Vary is also set on plain
responses that another client would get compressed.

    labels:  edgerouter.http.middlewares.small.compress=true
             edgerouter.http.middlewares.small.compress.encodings=zstd,br,gzip

    http:
      middlewares:
        small:
          compress:
            excludedContentTypes: [image/png, image/jpeg]
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.body import Body
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._codings import CODINGS, Maker, choose, maker
from edgerouter.middlewares._compress_options import Options
from edgerouter.middlewares._fields import add_vary, directives, media_type
from edgerouter.middlewares._pipe import AT_ONCE, STEP, Pipe, first_bytes, peek
from edgerouter.registry import middleware

__all__ = ["Compress", "Options"]

_NO_BODY: Final = (101, 204, 206, 304)
_FLUSH: Final = 0.1  # seconds; a server that gives a length does not mean to stream
_STREAM: Final = "text/event-stream"
_GRPC: Final = "application/grpc"
_MOST_KNOWN: Final = 256  # values of Accept-Encoding that are remembered
_USUAL: Final = 256  # letters of one


class Compress(Middleware):
    """The coding is chosen as the request comes in, since inner steps may edit its fields."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if options.excluded_content_types and options.included_content_types:
            raise ValueError("compress: write excludedContentTypes or includedContentTypes, not both")
        if not options.encodings:
            raise ValueError(f"compress: encodings is empty; write some of {', '.join(CODINGS)}")
        if options.default_encoding and options.default_encoding not in options.encodings:
            raise ValueError(f"compress: defaultEncoding: {options.default_encoding!r} is not among encodings")
        if options.min_response_body_bytes < 0:
            raise ValueError("compress: minResponseBodyBytes must not be negative")
        self._makers = _makers(options.encodings)
        self._known: dict[str, str] = {}
        self._offered = tuple(self._makers)
        self._default = options.default_encoding
        self._least = options.min_response_body_bytes
        self._excluded = _types("excludedContentTypes", options.excluded_content_types)
        self._included = _types("includedContentTypes", options.included_content_types)
        self._slot = context.slot

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        headers = exchange.request.headers
        own = media_type(headers.get("Content-Type"))
        if own in self._excluded or own.startswith(_GRPC):
            return
        exchange.keep(self._slot, self._chosen(headers.get_all("Accept-Encoding")))

    def _chosen(self, lines: list[str]) -> str:
        """The coding for these fields; what clients usually send is weighed once."""
        if len(lines) != 1:
            return choose(lines, self._offered, self._default)
        coding = self._known.get(lines[0])
        if coding is None:
            coding = choose(lines, self._offered, self._default)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            if len(lines[0]) <= _USUAL:
                self._known[lines[0]] = coding
        return coding

    def on_response(self, exchange: Exchange) -> Awaitable[None] | None:
        """See ``Middleware.on_response``."""
        coding, response = exchange.slot(self._slot), exchange.response
        if response is None or not isinstance(coding, str) or not self._may_compress(response):
            return None
        add_vary(response.headers, "Accept-Encoding")
        body = response.body
        if not coding or body is None or exchange.request.method == "HEAD":
            return None
        if body.length < 0 and not body.ended and not peek(body) and _type(response) != _STREAM:
            return self._later(response, body, coding)
        self._decide(response, body, coding)
        return None

    async def _later(self, response: Response, body: Body, coding: str) -> None:
        """A head without a first byte of an unknown length: small or not will be seen soon."""
        body = await first_bytes(body, _FLUSH)
        response.body = body
        self._decide(response, body, coding)

    def _may_compress(self, response: Response) -> bool:
        if response.status in _NO_BODY or response.upgrade:
            return False
        headers = response.headers
        if headers.get("Content-Encoding") not in (None, "", "identity") or "Content-Range" in headers:
            return False
        control = headers.get_all("Cache-Control")
        if control and "no-transform" in directives(control):
            return False  # RFC 9111 section 5.2.2.6
        kind = _type(response)
        if kind.startswith(_GRPC) or kind in self._excluded:
            return False
        return not self._included or kind in self._included

    def _decide(self, response: Response, body: Body, coding: str) -> None:
        if body.ended:
            held = len(peek(body))
            if held < max(1, self._least):
                return
            if held <= STEP and body.trailers is None:
                self._compress_whole(response, body, coding)
                return
        elif 0 <= body.length < self._least:
            return
        unknown = body.length < 0 or _type(response) == _STREAM
        _mark(response, coding)
        response.body = Pipe(body, self._makers[coding](), AT_ONCE if unknown else _FLUSH).start()

    def _compress_whole(self, response: Response, body: Body, coding: str) -> None:
        work = self._makers[coding]()
        data = work.feed(body.take())
        _mark(response, coding)
        response.body = Body.of(data + work.end(None))
        response.body.origin = body
        response.content_length = response.body.length


def _mark(response: Response, coding: str) -> None:
    headers = response.headers
    headers.set("Content-Encoding", coding)
    headers.remove("Content-Length")
    headers.remove("Accept-Ranges")
    headers.remove("Content-MD5")
    headers.remove("Content-Digest")  # RFC 9530: of the bytes as they were
    tag = headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):
        headers.set("ETag", f"W/{tag}")


def _type(response: Response) -> str:
    return media_type(response.headers.get("Content-Type"))


def _makers(names: tuple[str, ...]) -> dict[str, Maker]:
    """The default list is what is installed of it; a list that somebody wrote must be there whole."""
    found: dict[str, Maker] = {}
    for name in names:
        try:
            found[name] = maker(name)
        except ValueError as error:
            if names != CODINGS:
                raise ValueError(f"compress: encodings: {error}") from None
    return found


def _types(option: str, given: tuple[str, ...]) -> frozenset[str]:
    for name in given:
        if "/" not in name or ";" in name:
            raise ValueError(f"compress: {option}: {name!r} is no media type; write e.g. text/html, without parameters")
    return frozenset(name.strip().lower() for name in given)


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("compress", Options)(Compress)
