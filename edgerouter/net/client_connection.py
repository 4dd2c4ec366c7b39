"""One client's HTTP/1 connection: bytes in, exchanges to the handler one after another, responses out.

What is in here: keep-alive, pipelining in order, back-pressure on requests, ``100 Continue``, deadlines, and the end of
a connection. What is not: how responses are sent (``client_responses``), framing (``wire.http1``), and what an exchange
does (``proxy``).
"""

from __future__ import annotations

import asyncio
from typing import Final

from edgerouter.errors import ClientGone, ClientStalled, EdgeError, RequestTimeout
from edgerouter.http.body import Body
from edgerouter.http.headers import Headers
from edgerouter.http.message import HTTP_1_1, Request
from edgerouter.net.client_responses import (
    BODY,
    CLOSED,
    HEAD,
    LINGER,
    TUNNEL,
    WAIT,
    ClientResponses,
    ClientTimeouts,
)
from edgerouter.net.clock import Clock
from edgerouter.net.session import Handler, client_of
from edgerouter.wire import http1
from edgerouter.wire.client_hello import HANDSHAKE

_PIPELINE_LIMIT: Final = 65536  # bytes of later requests that are held before reading stops
_LINGER_SECONDS: Final = 2.0  # RFC 9112 section 9.6: give the client time to read the response before the reset
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientConnection(ClientResponses):
    """An asyncio protocol by duck typing (a native class cannot derive from ``asyncio.Protocol``)."""

    def __init__(
        self, handler: Handler, clock: Clock, limits: http1.Limits, timeouts: ClientTimeouts, scheme: str
    ) -> None:
        super().__init__(clock, timeouts)
        self.scheme = scheme
        self.max_requests = 0
        self.max_seconds = 0.0
        self._handler = handler
        self._limits = limits
        self._parser = http1.RequestParser(limits, scheme)
        self._busy = False
        self._reader: http1.BodyReader | None = None
        self._owes_continue = False
        self._served = 0
        self._opened = 0.0
        self._lingers = False
        self._reading = True
        self._head_begun = False
        self._waits = False  # the deadline is that of a client that takes nothing of a response
        self._stalled = False  # answers wait for the client to read them; its next requests wait for that

    # -- protocol -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Called by the loop."""
        self._transport = transport
        self._opened = self._clock.now
        if not self.client_address:
            self.client_address, self.client_port = client_of(transport.get_extra_info("peername"))
        self._clock.schedule(self, self._timeouts.read)
        self._handler.connected(self)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if len(self._pending) > 0:
            data = self._pending + data
            self._pending = b""
        if self._busy:
            self._pending = data
            return
        self._process(data)

    def eof_received(self) -> bool:
        """Called by the loop: the client sends no more. In a tunnel the other direction goes on."""
        if self._state == TUNNEL:
            body = self._request_body
            if body is not None and not body.ended:
                body.finish(None)
            return not self._ended
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if self._state != CLOSED:
            self._state = CLOSED
            self._handler.disconnected(self)
        self.deadline = 0.0
        body = self._request_body
        if body is not None and not body.ended:
            body.fail(ClientGone("the client closed the connection within its request"))
        session = self._session
        if session is not None:
            self._session = None
            session.client_gone(self._body_bytes)
        self._transport = None
        self._response_body = None

    def pause_writing(self) -> None:
        """Called by the loop: the client reads slower than the server sends."""
        self._writable = False
        body = self._response_body
        if body is not None:
            body.pause()
            if self.deadline == 0.0:
                self._clock.schedule(self, self._timeouts.idle)  # for as long as it takes nothing at all
                self._waits = True

    def resume_writing(self) -> None:
        """Called by the loop."""
        self._writable = True
        body = self._response_body
        if self._waits:
            self._waits = False
            self.deadline = 0.0
        if body is not None:
            body.resume()
        elif self._stalled:
            self._stalled = False
            self._next()

    # -- requests in --------------------------------------------------------------------------------------------

    def _process(self, data: bytes) -> None:
        self._busy = True
        position = 0
        try:
            while position < len(data) and self._state <= BODY and not self._stalled:
                if self._state == HEAD:
                    position = self._on_head(data[position:] if position else data, position)
                    if position < 0:
                        return
                else:
                    position = self._on_body(data, position)
                    if self._state == BODY:
                        break
        finally:
            self._busy = False
        if self._state == TUNNEL:
            self._on_tunnel(data[position:])
        elif position < len(data) and self._state < LINGER:
            self._pending = data[position:]
            if self._state == WAIT and len(self._pending) > _PIPELINE_LIMIT:
                self._pause_reading()
        elif self._state == BODY and self._reading:
            self._clock.schedule(self, self._timeouts.read)

    def _on_head(self, data: bytes, offset: int) -> int:
        """Parse a head at the start of ``data``; return the position behind it in the whole, -1 when unfinished."""
        parser = self._parser
        try:
            request = parser.parse(data)
            if request is None:
                if self._is_hello(data):
                    return -1
                if not self._head_begun and self._served:
                    self._clock.schedule(self, self._timeouts.read)
                self._head_begun = True
                self._pending = data
                return -1
            self._head_begun = False
            consumed = parser.consumed
            self._served += 1
            body = request.body
            if body is None:
                self._request_body = None
                self._state = WAIT
            else:
                consumed = self._open_body(request, body, data, consumed)
        except EdgeError as error:
            if not self._is_hello(data):
                self._refuse(error, data)
            return -1
        self._begin(request)
        return offset + consumed

    def _is_hello(self, data: bytes) -> bool:
        """A TLS handshake where plain HTTP was expected: whoever accepted the connection takes it over."""
        transport = self._transport
        if self._served or data[0] != HANDSHAKE or self.scheme != "http" or transport is None:
            return False
        if not self._handler.take_hello(self, transport, data):
            return False
        self._transport = None
        self.connection_lost(None)
        return True

    def _open_body(self, request: Request, body: Body, data: bytes, consumed: int) -> int:
        parser = self._parser
        reader = http1.BodyReader(parser.framing, parser.length, False, self._limits)
        self._reader = reader
        self._request_body = body
        self._state = BODY
        body.source = self
        if consumed < len(data) or parser.length == 0:
            consumed = reader.feed(data, consumed, body)
        elif request.expect_continue:
            self._owes_continue = True
            body.pause()
        if reader.done:
            self._state = WAIT
        return consumed

    def _begin(self, request: Request) -> None:
        self.deadline = 0.0
        self._request = request
        self._body_bytes = 0
        enough = 0 < self.max_requests <= self._served
        old = 0.0 < self.max_seconds <= self._clock.now - self._opened
        if enough or old or not self._parser.keep_alive:
            self._close = True
        session = self._handler.open(self, request)
        self._session = session
        session.start()

    def _on_body(self, data: bytes, position: int) -> int:
        reader, body = self._reader, self._request_body
        assert reader is not None and body is not None
        if self._owes_continue:
            # It did not wait for the 100, so none is owed; its body counts as paused until somebody takes it.
            self._owes_continue = False
            self._pause_reading()
        try:
            position = reader.feed(data, position, body)
        except EdgeError as error:
            self._close = True
            self._lingers = True  # more of it may be on the way: a reset could overtake the answer
            self._state = WAIT
            body.fail(error)
            return len(data)
        if reader.done and self._state == BODY:
            self._state = WAIT
            self.deadline = 0.0
            self._resume_reading()
            if self._request is None:
                self._next()
        return position

    def _on_tunnel(self, data: bytes) -> None:
        body = self._request_body
        if data and body is not None and not body.ended:
            body.feed(data)

    def _refuse(self, error: EdgeError, head: bytes) -> None:
        """Answer bytes that are no request, and close (RFC 9112 section 2.2)."""
        self._close = True
        self._lingers = True
        self._state = WAIT
        self._request_body = None
        request = Request("GET", b"/", "", Headers(), HTTP_1_1)
        self._request = request
        self.respond(self._handler.refuse(self, error, head))

    # -- the request body's source ------------------------------------------------------------------------------

    def pause_body(self) -> None:
        """The upstream is slow: read no more from the client."""
        if not self._owes_continue:
            self._pause_reading()
            self.deadline = 0.0

    def resume_body(self) -> None:
        """The upstream takes more."""
        if self._owes_continue:
            self._owes_continue = False
            if self._transport is not None and self._state == BODY:
                self._transport.write(_CONTINUE)
        self._resume_reading()
        if self._state == BODY:
            self._clock.schedule(self, self._timeouts.read)

    def _pause_reading(self) -> None:
        transport = self._transport
        if self._reading and transport is not None and not transport.is_closing():
            self._reading = False
            transport.pause_reading()

    def _resume_reading(self) -> None:
        transport = self._transport
        if not self._reading and transport is not None and not transport.is_closing():
            self._reading = True
            transport.resume_reading()

    # -- the end of a response -------------------------------------------------------------------------------------

    def _response_done(self) -> None:
        session = self._session
        self._session = None
        self._request = None
        self._response_body = None
        self._waits = False
        if session is not None:
            session.response_sent(self._body_bytes)
        if self._state == BODY:
            # The response came before the request's end: what is left of it is not worth waiting for.
            self._linger()
        elif self._close:
            self._linger() if self._lingers or self._pending else self._shut()
        elif self._state == WAIT:
            self._next()

    def _next(self) -> None:
        self._state = HEAD
        self._request_body = None
        self._reader = None
        self._owes_continue = False
        self._clock.schedule(self, self._timeouts.idle)
        if not self._writable:
            # It asks faster than it reads the answers: no further request until those are gone.
            self._stalled = True
            self._pause_reading()
            return
        self._resume_reading()
        if len(self._pending) > 0 and not self._busy:
            data = self._pending
            self._pending = b""
            self._process(data)

    # -- the end ------------------------------------------------------------------------------------------------

    def finish_soon(self, idle: float) -> None:
        """Drain: the next response is the last. Without a request, close ``idle`` seconds after the one before: 0.0
        is now, below that means the usual idle timeout."""
        self._close = True
        if self._state == HEAD and (self._stalled or not self._pending):
            if idle == 0.0 or self._stalled:
                self._shut()
            elif idle > 0.0:
                self._clock.schedule(self, idle)

    def cut(self, error: EdgeError) -> bool:
        """Break off; True when that cost an exchange."""
        session = self._session
        self._session = None
        if session is not None:
            session.cut(error, self._body_bytes)
        self.abort()
        return session is not None

    def _shut(self) -> None:
        self._state = LINGER
        if self._transport is not None:
            self._transport.close()

    def _linger(self) -> None:
        """Send the end of the stream, read what still comes for a moment, then close: closing at once would reset
        the connection and could destroy the response on its way (RFC 9112 section 9.6)."""
        self._state = LINGER
        self._pending = b""
        transport = self._transport
        if transport is None:
            return
        if not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        self._resume_reading()
        self._clock.schedule(self, _LINGER_SECONDS)

    def expired(self) -> None:
        """The clock's word that a deadline has passed."""
        if self._stalled:
            self.abort()
        elif self._state == BODY:
            body = self._request_body
            self._close = True
            if body is not None:
                body.fail(RequestTimeout("the request body did not come in time"))
        elif self._state == HEAD and self._pending:
            self._refuse(RequestTimeout("the request head did not come in time"), self._pending)
        elif self._state == HEAD or self._state == LINGER:
            if self._transport is not None:
                self._transport.close()
        elif self._response_body is not None:
            self.cut(ClientStalled("the client did not take its response in time"))
