"""buffering: reads a request whole before it goes to the server, and a response whole before it goes to the client.

A slow client then does not hold a server, and sizes are bounded: a request beyond ``maxRequestBodyBytes`` is answered
413, a response beyond ``maxResponseBodyBytes`` 500 (cause ``RESPONSE_TOO_LARGE``). What is larger than the memory
bounds waits in a temporary file without a name. Never read whole, whatever is set: WebSockets, event streams
(``text/event-stream``) and gRPC responses.

``retryExpression`` sends a request again while it is true, at most ten times in all, e.g.
``IsNetworkError() && Attempts() < 3``. It may ask for ``IsNetworkError()`` (502 and 504), ``Attempts()``,
``ResponseCode()`` and ``RequestMethod()``. POST and other methods that are not idempotent are sent again only if the
expression asks for ``RequestMethod()``, or if no server was reached.

Without ``disableRequestBuffer`` the server gets a Content-Length, however the client framed its request.

    labels:  edgerouter.http.middlewares.bounds.buffering.maxrequestbodybytes=2000000
             edgerouter.http.middlewares.bounds.buffering.memrequestbodybytes=100000

    http:
      middlewares:
        bounds:
          buffering:
            maxResponseBodyBytes: 2000000
            retryExpression: IsNetworkError() && Attempts() < 3
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from edgerouter.causes import ROUTER, SERVER, declare
from edgerouter.contracts.plugins import Middleware, PluginContext, Resend
from edgerouter.errors import BodyTooLarge, EdgeError, MiddlewareFailed
from edgerouter.http.body import Body, BodyFilter
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._buffering_options import Options
from edgerouter.middlewares._fields import media_type
from edgerouter.middlewares._pipe import peek
from edgerouter.middlewares._retry_expression import Attempt, Expression
from edgerouter.middlewares._spool import Spool
from edgerouter.registry import middleware

__all__ = ["Buffering", "Options"]

declare(
    "RESPONSE_TOO_LARGE",
    500,
    SERVER,
    "The response is larger than maxResponseBodyBytes of the middleware buffering.",
    "Raise maxResponseBodyBytes, or take such responses out of the router that buffers.",
)
declare(
    "BUFFER_FAILED",
    500,
    ROUTER,
    "The temporary file of the middleware buffering could not be written.",
    "Look at the room in TMPDIR; CauseDetail gives the system's words.",
)

_TRIES: Final = 10
_IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
_UNREACHED: Final = frozenset(("CONNECT_REFUSED", "CONNECT_TIMEOUT"))
_STREAMS: Final = ("text/event-stream", "application/grpc")


class _Kept:
    """What is kept of one exchange."""

    def __init__(self) -> None:
        self.attempts = 1
        self.request: Spool | None = None
        self.response: Spool | None = None

    def drop_response(self) -> None:
        spool, self.response = self.response, None
        if spool is not None:
            spool.close()


class Buffering(Middleware):
    """Files are closed when the exchange ends."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        for name in ("max_request_body_bytes", "max_response_body_bytes"):
            if getattr(options, name) < 0:
                raise ValueError(f"buffering: {_camel(name)} must not be negative; 0 is no bound")
        for name in ("mem_request_body_bytes", "mem_response_body_bytes"):
            if getattr(options, name) < 0:
                raise ValueError(f"buffering: {_camel(name)} must not be negative; 0 puts every body on disk")
        self._options = options
        self._retry = Expression(options.retry_expression) if options.retry_expression else None
        self._slot = context.slot

    # -- in -----------------------------------------------------------------------------------------------------

    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        """See ``Middleware.on_request``."""
        kept = _Kept()
        exchange.keep(self._slot, kept)
        body, options = exchange.request.body, self._options
        if body is None:
            return None
        if options.max_request_body_bytes and body.length > options.max_request_body_bytes:
            raise self._large_request()
        if options.disable_request_buffer:
            return None
        if _is_here(body, options.mem_request_body_bytes):
            exchange.request.body = _whole(body, options.max_request_body_bytes, self._large_request)
            return None
        kept.request = Spool(body, options.mem_request_body_bytes)
        return self._read_request(exchange, kept.request)

    async def _read_request(self, exchange: Exchange, spool: Spool) -> None:
        body = await _read(spool, self._options.max_request_body_bytes, self._large_request())
        exchange.request.body = body

    def request_filter(self, exchange: Exchange) -> BodyFilter | None:
        """See ``Middleware.request_filter``."""
        options, body = self._options, exchange.request.body
        if not options.disable_request_buffer or not options.max_request_body_bytes or body is None or body.length >= 0:
            return None
        return _Bound(options.max_request_body_bytes, self._large_request())

    def _large_request(self) -> EdgeError:
        return BodyTooLarge(f"buffering: the body is larger than {self._options.max_request_body_bytes} bytes")

    # -- out ----------------------------------------------------------------------------------------------------

    def on_response(self, exchange: Exchange) -> Resend | Awaitable[Resend | None] | None:
        """See ``Middleware.on_response``."""
        response, body = exchange.response, None
        if response is not None and response.status != 101:
            body = response.body
        if response is None or body is None or _streams(response):
            return self._again(exchange)
        options = self._options
        if options.max_response_body_bytes and body.length > options.max_response_body_bytes:
            body.abandon()
            raise self._large_response()
        if options.disable_response_buffer:
            return self._again(exchange)
        if _is_here(body, options.mem_response_body_bytes):
            response.body = _whole(body, options.max_response_body_bytes, self._large_response)
            response.body.origin = body
            response.content_length = response.body.length
            return self._again(exchange)
        return self._read_response(exchange, response, body)

    async def _read_response(self, exchange: Exchange, response: Response, body: Body) -> Resend | None:
        spool = Spool(body, self._options.mem_response_body_bytes)
        kept = exchange.slot(self._slot)
        if isinstance(kept, _Kept):
            kept.response = spool
        response.body = await _read(spool, self._options.max_response_body_bytes, self._large_response())
        response.body.origin = body
        response.content_length = response.body.length
        return self._again(exchange)

    def response_filter(self, exchange: Exchange) -> BodyFilter | None:
        """See ``Middleware.response_filter``."""
        options, response = self._options, exchange.response
        if not options.disable_response_buffer or not options.max_response_body_bytes or response is None:
            return None
        body = response.body
        if body is None or body.length >= 0 or _streams(response):
            return None
        return _Bound(options.max_response_body_bytes, self._large_response())

    def _large_response(self) -> EdgeError:
        most = self._options.max_response_body_bytes
        return MiddlewareFailed(f"buffering: the body is larger than {most} bytes", "RESPONSE_TOO_LARGE")

    def _again(self, exchange: Exchange) -> Resend | None:
        kept, response, retry = exchange.slot(self._slot), exchange.response, self._retry
        if retry is None or response is None or not isinstance(kept, _Kept) or kept.attempts >= _TRIES:
            return None
        if self._options.disable_request_buffer and exchange.request.body is not None:
            return None  # it went by
        method = exchange.request.method
        if not (method in _IDEMPOTENT or retry.names_method or exchange.cause in _UNREACHED):
            return None
        if not retry.test(Attempt(kept.attempts, response.status, method)):
            return None
        kept.attempts += 1
        kept.drop_response()
        return Resend(self)

    def on_end(self, exchange: Exchange) -> None:
        """See ``Middleware.on_end``."""
        kept = exchange.slot(self._slot)
        if isinstance(kept, _Kept):
            kept.drop_response()
            if kept.request is not None:
                kept.request.close()


class _Bound(BodyFilter):
    """Breaks a body off that has no length and turns out too large."""

    def __init__(self, most: int, error: EdgeError) -> None:
        self._left = most
        self._error = error

    def feed(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise self._error
        return data


def _streams(response: Response) -> bool:
    return media_type(response.headers.get("Content-Type")).startswith(_STREAMS)


def _is_here(body: Body, memory: int) -> bool:
    """Has it come whole, and may it stay in memory? Then nothing has to be waited for."""
    return body.ended and body.error is None and body.sink is None and len(peek(body)) <= memory


def _whole(body: Body, limit: int, too_large: Callable[[], EdgeError]) -> Body:
    """The body that is here, as ``Spool`` gives it. Raises what ``too_large`` makes."""
    data = body.take()
    if limit and len(data) > limit:
        raise too_large()
    made = Body.of(data)
    made.keep(max(1, len(data)))
    made.trailers = body.trailers
    if body.trailers is not None:
        made.length = -1  # trailers need chunks
    return made


async def _read(spool: Spool, limit: int, too_large: EdgeError) -> Body:
    try:
        return await spool.read(limit, too_large)
    except OSError as error:
        raise MiddlewareFailed(f"buffering: the temporary file: {error.strerror}", "BUFFER_FAILED") from error


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("buffering", Options)(Buffering)
