"""One HTTP/1 connection to a server: a request out, its response in, then back to the pool or closed."""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgerouter.errors import BadResponse, EdgeError, ResponseTimeout, UpstreamReset
from edgerouter.http.body import Body
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.net.clock import Clock
from edgerouter.net.session import Session, Upstream
from edgerouter.net.tls_failures import upstream_failure
from edgerouter.wire import http1

if TYPE_CHECKING:
    from edgerouter.net.pool import Pool

_MAX_INTERIM = 16  # interim responses to one request; more is a flood


class UpstreamConnection(Upstream):
    """An asyncio protocol by duck typing; made and kept by a ``Pool``."""

    def __init__(self, pool: Pool, clock: Clock, limits: http1.Limits) -> None:
        self.last_used = 0.0
        self.idle = False  # in the pool, which keeps idle ones as a chain
        self.below: UpstreamConnection | None = None
        self.header_timeout = pool.response_header_timeout
        self._pool = pool
        self._clock = clock
        self._limits = limits
        self._parser = http1.ResponseParser(limits)
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._method = ""
        self._upgrading = False
        self._pending = b""
        self._reader: http1.BodyReader | None = None
        self._request_body: Body | None = None
        self._response_body: Body | None = None
        self._request_done = True
        self._chunked = False
        self._raw = False
        self._writable = True
        self._reading = True
        self._close = False
        self._interim = 0
        self._watched = True  # the loop has read it all along: what came in earlier turns was seen
        self._look: Callable[[int], list[tuple[int, int]]] | None = None

    # -- protocol -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Called by the loop."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._response_body is not None:
            self._on_body(data)
        elif self._session is not None:
            self.answered = True
            if len(self._pending) > 0:
                data = self._pending + data
                self._pending = b""
            self._on_head(data)
        else:
            # Nobody asked: whatever it is, it must not become the answer to the next request.
            self.close()

    def eof_received(self) -> bool:
        """Called by the loop: the server sends no more."""
        body = self._response_body
        if self._raw and body is not None:
            self._response_body = None
            body.finish(None)
            request_body = self._request_body
            return request_body is not None and not request_body.ended
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        self.deadline = 0.0
        self._pool.forget(self)
        reader, body, session = self._reader, self._response_body, self._session
        self._session = None
        if body is not None:
            self._response_body = None
            self._end_at_eof(reader, body, exc)
            if session is not None:
                session.upstream_done()
        elif session is not None:
            session.upstream_failed(_lost(exc), self)
        self._let_go_of_request()

    def _end_at_eof(self, reader: http1.BodyReader | None, body: Body, exc: Exception | None) -> None:
        if exc is not None or self._raw or reader is None:
            # A reset is no end of a body, and an orderly end of a tunnel was told by eof_received.
            body.fail(UpstreamReset("the server closed the connection"))
            return
        try:
            reader.eof(body)
        except EdgeError as error:
            body.fail(error)

    def pause_writing(self) -> None:
        """Called by the loop: the server reads slower than the client sends."""
        self._writable = False
        if self._request_body is not None:
            self._request_body.pause()

    def resume_writing(self) -> None:
        """Called by the loop."""
        self._writable = True
        if self._request_body is not None:
            self._request_body.resume()

    # -- the request out ----------------------------------------------------------------------------------------

    def send(self, session: Session, request: Request) -> None:
        """Write the head, and what is there of the body, at once."""
        transport = self._transport
        if transport is None or (not self.reused and transport.is_closing()):  # of a reused one, ``usable`` has asked
            session.upstream_failed(UpstreamReset("the connection was closed"), self)
            return
        self._session = session
        self._method = request.method
        self._upgrading = request.upgrade != ""
        self._request_done = True
        self.answered = False
        self._interim = 0
        body = request.body
        if body is None:
            transport.write(http1.encode_request_head(request, http1.NONE, 0))
        elif body.ended:
            data = body.take()
            if body.trailers is None:
                transport.write(http1.encode_request_head(request, http1.LENGTH, len(data)) + data)
            else:
                head = http1.encode_request_head(request, http1.CHUNKED, 0)
                chunk = http1.encode_chunk(data) if data else b""
                transport.write(head + chunk + http1.encode_last_chunk(body.trailers))
        else:
            self._stream(transport, request, body)
        if self.header_timeout > 0.0 and self._request_done:
            self._clock.schedule(self, self.header_timeout)

    def _stream(self, transport: asyncio.Transport, request: Request, body: Body) -> None:
        self._chunked = body.length < 0 or body.filters is not None
        if self._chunked:
            transport.write(http1.encode_request_head(request, http1.CHUNKED, 0))
        else:
            transport.write(http1.encode_request_head(request, http1.LENGTH, body.length))
        self._request_done = False
        self._request_body = body
        body.attach(self)
        if not self._writable and self._request_body is body:
            body.pause()

    def write_body(self, data: bytes) -> None:
        """A piece of the request body."""
        if self._transport is not None:
            self._transport.write(http1.encode_chunk(data) if self._chunked else data)

    def end_body(self, trailers: Headers | None) -> None:
        """The request body is complete."""
        transport = self._transport
        self._request_done = True
        self._request_body = None
        if transport is None:
            return
        if self._raw:
            if transport.can_write_eof():
                transport.write_eof()
            return
        if self._chunked:
            transport.write(http1.encode_last_chunk(trailers))
        if self._session is None:
            self._release()
        elif self.header_timeout > 0.0 and self._response_body is None:
            self._clock.schedule(self, self.header_timeout)

    def fail_body(self, error: EdgeError) -> None:
        """The client's half broke off: this request can never be completed."""
        session = self._session
        self._request_body = None
        response_body = self._response_body
        if response_body is not None:
            self._break_off(response_body, error)
            return
        if session is not None:
            self._session = None
            session.upstream_failed(error, self)
        self.close()

    def give_back(self) -> None:
        """Nothing was sent: keep the connection for the next request."""
        self.reused = True
        self.last_used = self._clock.now
        self.header_timeout = self._pool.response_header_timeout
        self._pool.release(self)

    def cancel(self, session: Session) -> None:
        """Nobody waits any more; the connection cannot be used again."""
        if self._session is not session:
            return
        self._session = None
        self._response_body = None
        self.close()

    def tunnel(self, body: Body) -> None:
        """After a 101: take the client's bytes from ``body``."""
        self._chunked = False
        self._request_done = False
        self._request_body = body
        body.attach(self)

    # -- the response in ----------------------------------------------------------------------------------------

    def _on_head(self, data: bytes) -> None:
        parser = self._parser
        session = self._session
        while session is not None:
            try:
                response = parser.parse(data, self._method)
            except EdgeError as error:
                self._fail(session, error)
                return
            if response is None:
                self._pending = data
                return
            if response.status >= 200 or response.status == 101:
                break
            data = data[parser.consumed :]
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                self._fail(session, BadResponse("too many interim responses", "BAD_RESPONSE_INTERIM"))
                return
            if response.status != 100:
                session.upstream_informed(response)
            if not data:
                return
            session = self._session
        if session is not None and response is not None:
            self._respond(session, response, data, parser.consumed)

    def _respond(self, session: Session, response: Response, data: bytes, position: int) -> None:
        parser = self._parser
        self.deadline = 0.0
        self._close = not parser.keep_alive
        if response.status == 101:
            if not self._upgrading:
                self._fail(session, BadResponse("101 to a request that asked for no upgrade", "BAD_RESPONSE_101"))
                return
            self._switch(session, response, data[position:])
            return
        body = response.body
        if body is None:
            self._close = self._close or position < len(data)
            self._finish()
            session.upstream_responded(response, self)
            return
        body.source = self
        if parser.framing == http1.LENGTH and len(data) - position == parser.length:
            # The usual small response: all of it is here, and nothing else.
            body.feed(data[position:])
            body.finish(None)
            self._finish()
            session.upstream_responded(response, self)
            return
        reader = http1.BodyReader(parser.framing, parser.length, True, self._limits)
        try:
            position = reader.feed(data, position, body)
        except EdgeError as error:
            self._fail(session, error)
            return
        if reader.done:
            self._close = self._close or position < len(data)
            self._finish()
        else:
            self._pending = data[position:]
            self._reader = reader
            self._response_body = body
        session.upstream_responded(response, self)

    def _switch(self, session: Session, response: Response, rest: bytes) -> None:
        self._raw = True
        self._close = True
        body = Body(-1, self)
        response.body = body
        self._response_body = body
        if rest:
            body.feed(rest)
        session.upstream_responded(response, self)

    def _on_body(self, data: bytes) -> None:
        body, reader = self._response_body, self._reader
        assert body is not None
        if self._raw or reader is None:
            body.feed(data)
            return
        if self._pending:
            data = self._pending + data
            self._pending = b""
        try:
            position = reader.feed(data, 0, body)
        except EdgeError as error:
            self._break_off(body, error)
            return
        if not reader.done:
            self._pending = data[position:]
        elif self._response_body is not None:
            self._close = self._close or position < len(data)
            self._finish()

    def _break_off(self, body: Body, error: EdgeError) -> None:
        session = self._session
        self._response_body = None
        self._session = None
        body.fail(error)
        if session is not None:
            session.upstream_done()
        self.close()

    def _finish(self) -> None:
        """The response is complete. Unless the request is as well, the connection cannot be used again."""
        session = self._session
        if session is not None:
            session.upstream_done()
        self._session = None
        self._response_body = None
        self._reader = None
        if self._request_done:
            self._release()
        else:
            self.close()

    def _release(self) -> None:
        if self._close:
            self.close()
            return
        self.reused = True
        self.last_used = self._clock.now
        self.header_timeout = self._pool.response_header_timeout
        self._watched = self._reading
        self._resume_reading()
        self._pool.release(self)

    def _fail(self, session: Session, error: EdgeError) -> None:
        self._session = None
        session.upstream_failed(error, self)
        self.close()

    # -- the response body's source -----------------------------------------------------------------------------

    def pause_body(self) -> None:
        """The client is slow: read no more from the server."""
        transport = self._transport
        if self._reading and transport is not None and not transport.is_closing():
            self._reading = False
            transport.pause_reading()

    def resume_body(self) -> None:
        """The client takes more."""
        self._resume_reading()

    def cancel_body(self) -> None:
        """Nobody wants the rest of the response."""
        session = self._session
        if self._response_body is None:
            return
        self._response_body = None
        self._session = None
        if session is not None:
            session.upstream_done()
        self.close()

    def _resume_reading(self) -> None:
        transport = self._transport
        if not self._reading and transport is not None and not transport.is_closing():
            self._reading = True
            transport.resume_reading()

    # -- the end ------------------------------------------------------------------------------------------------

    def usable(self, now: float, strict: bool, look: bool) -> bool:
        """True when a request may be sent; ``strict``: only if used within the last second.

        Something to read on an idle connection is its end, or bytes that nobody asked for and that would be taken for
        the answer to the next request. ``look``: the loop may not have come to it yet, so the socket is looked at.
        """
        transport = self._transport
        if transport is None or transport.is_closing() or (strict and now - self.last_used > 1.0):
            return False
        if self._watched and not look:
            return True
        events = self._look
        if events is None:
            poll = select.poll()
            poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
            events = self._look = poll.poll
        return not events(0)

    def close(self) -> None:
        """Close now; unsent bytes are of no use any more."""
        self._pool.forget(self)
        self._let_go_of_request()
        if self._transport is not None:
            self._transport.abort()

    def _let_go_of_request(self) -> None:
        body = self._request_body
        self._request_body = None
        if body is not None and body.sink is self:
            body.sink = None

    def expired(self) -> None:
        """The clock's word: no response in time, or idle for too long."""
        session = self._session
        if session is None:
            self.close()
        elif self._response_body is None:
            self._fail(session, ResponseTimeout(f"no response head within {self.header_timeout:g} s of the request"))


def _lost(exc: Exception | None) -> EdgeError:
    """Why there will be no response. In TLS 1.3 a server refuses the router's certificate after the handshake."""
    if isinstance(exc, ssl.SSLError):
        return upstream_failure(exc)
    return UpstreamReset("the server closed the connection before its response")
