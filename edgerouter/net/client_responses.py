"""The way back on one client's HTTP/1 connection: response heads, bodies and tunnels, written to its transport.

What is in here: how a response is framed for this client, and what becomes of one that breaks off. What is not:
requests, keep-alive and deadlines (``client_connection``).
"""

from __future__ import annotations

import asyncio
from typing import Final

from mypy_extensions import mypyc_attr

from edgerouter.errors import EdgeError
from edgerouter.http.body import Body
from edgerouter.http.headers import Headers
from edgerouter.http.lines import field_name
from edgerouter.http.message import HTTP_1_1, Request, Response
from edgerouter.net.clock import Clock
from edgerouter.net.session import Downstream, Session
from edgerouter.wire import http1

# What the connection is doing with bytes that come in.
HEAD: Final = 1  # between requests, or in the middle of a head
BODY: Final = 2  # in a request body
WAIT: Final = 3  # the request is complete, its response is not
TUNNEL: Final = 4  # after a 101: bytes both ways
LINGER: Final = 5  # the last response is out; what still comes is thrown away
CLOSED: Final = 6

_DATE: Final = field_name("Date")
_SMALL: Final = 4096  # bytes of a body that are cheaper to copy behind the head than to hand over as a second piece


class ClientTimeouts:
    """Seconds; 0 is none. ``read`` bounds a head, and every wait for a further piece of a body; ``idle`` the time
    between requests; ``write`` a whole response."""

    def __init__(self, read: float = 60.0, write: float = 0.0, idle: float = 180.0) -> None:
        self.read = read
        self.write = write
        self.idle = idle


@mypyc_attr(allow_interpreted_subclasses=True)
class ClientResponses(Downstream):
    """What ``ClientConnection`` inherits: everything that it sends."""

    def __init__(self, clock: Clock, timeouts: ClientTimeouts) -> None:
        self._clock = clock
        self._timeouts = timeouts
        self._transport: asyncio.Transport | None = None
        self._state = HEAD
        self._pending = b""
        self._session: Session | None = None
        self._request: Request | None = None
        self._request_body: Body | None = None
        self._response_body: Body | None = None
        self._chunked = False
        self._raw = False
        self._writable = True
        self._close = False
        self._body_bytes = 0
        self._ended = False

    def _response_done(self) -> None:
        """The whole response was handed to the transport."""

    def _resume_reading(self) -> None:
        """Take bytes from the client again."""

    def _shut(self) -> None:
        """Close once what was written is sent."""

    # -- responses out ------------------------------------------------------------------------------------------

    def inform(self, response: Response) -> None:
        """Send an interim response; HTTP/1.0 clients do not know them (RFC 9110 section 15.2)."""
        request, transport = self._request, self._transport
        if transport is not None and request is not None and request.version >= HTTP_1_1:
            transport.write(http1.encode_response_head(response, http1.NONE, 0, request.version, b""))

    def respond(self, response: Response) -> None:
        """Send the final response."""
        request, transport = self._request, self._transport
        if transport is None or request is None:
            return
        body = response.body
        if response.status == 101:
            self._switch(response, transport, request)
            return
        if response.headers.names & _DATE.bit == 0:  # RFC 9110 section 6.6.1; one that was taken out stays out
            response.headers.append(self._clock.date())
        framing, length = self._framing(request, response, body)
        connection = b""
        if self._state == BODY and (body is None or body.ended):
            self._close = True  # the response is whole before the request is: the rest of that is not waited for
        if self._close:
            connection = b"close"
        elif request.version < HTTP_1_1:
            connection = b"keep-alive"
        self._chunked = framing == http1.CHUNKED
        if body is not None and body.ended and body.filters is None:
            self._respond_whole(transport, response, body, framing, length, connection)
            return
        transport.write(http1.encode_response_head(response, framing, length, request.version, connection))
        if body is None:
            self._response_done()
            return
        self._clock.schedule(self, self._timeouts.write)
        self._response_body = body
        body.attach(self)
        if not self._writable and self._response_body is body:
            body.pause()

    def _respond_whole(
        self, transport: asyncio.Transport, response: Response, body: Body, framing: int, length: int, connection: bytes
    ) -> None:
        """Head and body in one write: as one piece where that is small, else without copying the body."""
        request = self._request
        assert request is not None
        data = body.take()
        self._body_bytes = len(data)
        if self._chunked:
            data = http1.encode_chunk(data) + http1.encode_last_chunk(body.trailers)
        if len(data) <= _SMALL:
            head = http1.encode_response_head(response, framing, length, request.version, connection, data)
            transport.write(head)
        else:
            head = http1.encode_response_head(response, framing, length, request.version, connection)
            transport.writelines([head, data])
        self._response_done()

    def _framing(self, request: Request, response: Response, body: Body | None) -> tuple[int, int]:
        """How the response is framed for this client (RFC 9112 section 6)."""
        status = response.status
        if body is None:
            if request.method == "HEAD" or status == 304:
                length = response.content_length
                return (http1.NONE, -1) if length < 0 else (http1.LENGTH, length)
            if status == 204 or status < 200:
                return http1.NONE, -1
            return http1.LENGTH, 0
        if body.filters is None and body.length >= 0:
            return http1.LENGTH, body.length
        if request.version >= HTTP_1_1:
            return http1.CHUNKED, 0
        self._close = True
        return http1.UNTIL_CLOSE, 0

    def write_body(self, data: bytes) -> None:
        """A piece of the response body."""
        transport = self._transport
        if transport is None:
            return
        self._body_bytes += len(data)
        transport.write(http1.encode_chunk(data) if self._chunked else data)

    def end_body(self, trailers: Headers | None) -> None:
        """The response body is complete."""
        transport = self._transport
        self._response_body = None
        if transport is None:
            return
        if self._raw:
            self._end_tunnel(transport)
            return
        if self._chunked:
            transport.write(http1.encode_last_chunk(trailers))
        self._response_done()

    def fail_body(self, error: EdgeError) -> None:
        """The response broke off; the client must not take it for a whole one."""
        self._response_body = None
        session = self._session
        if session is not None:
            self._session = None
            session.response_failed(error, self._body_bytes)
        self.abort()

    def abort(self) -> None:
        """Reset the connection."""
        self._close = True
        if self._transport is not None:
            self._transport.abort()

    # -- tunnels ------------------------------------------------------------------------------------------------

    def _switch(self, response: Response, transport: asyncio.Transport, request: Request) -> None:
        """101: the head goes out, then bytes pass both ways as two bodies without framing."""
        transport.write(http1.encode_response_head(response, http1.NONE, 0, request.version, b""))
        self._state = TUNNEL
        self._raw = True
        self._chunked = False
        body = response.body
        if body is not None:
            self._response_body = body
            body.attach(self)

    def tunnel(self) -> Body:
        """Make the body that carries what the client sends after the switch, and sent in haste before it."""
        body = Body(-1, self)
        self._request_body = body
        if self._pending:
            body.feed(self._pending)
            self._pending = b""
        self._resume_reading()
        return body

    def _end_tunnel(self, transport: asyncio.Transport) -> None:
        self._ended = True
        body = self._request_body
        if body is None or body.ended or not transport.can_write_eof():
            self._shut()
        else:
            transport.write_eof()
