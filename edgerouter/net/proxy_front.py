"""What stands in front of a protocol where clients come through another proxy: the PROXY header, versions 1 and 2.

It is read before anything else and taken off; the protocol behind it then sees the real client's address if the peer is
trusted, and the peer's own otherwise (Traefik's ``proxyProtocol``). A connection without a header is served as its
peer's own, as Traefik does: the proxy's health checks come without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from edgerouter.errors import EdgeError
from edgerouter.net.clock import Clock, Peer
from edgerouter.net.session import unmapped
from edgerouter.wire.proxy_protocol import begins_header, parse

_SECONDS: Final = 5.0  # a proxy sends its header at once
_MAX_HEADER: Final = 65536 + 16


class ProxyFront(Peer):
    """Reads the header, then hands the transport over."""

    def __init__(
        self, clock: Clock, behind: Any, trusts: Callable[[str], bool], refused: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._behind: Any = behind
        self._trusts = trusts
        self._refused = refused  # told the cause when a connection is closed for its header
        self._transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Called by the loop."""
        self._transport = transport
        self._clock.schedule(self, _SECONDS)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        transport = self._transport
        if transport is None:
            return
        self._data += data
        if not begins_header(self._data):
            self._hand_over(transport, self._data)
            return
        try:
            header = parse(self._data)
        except EdgeError as error:
            self._refuse(transport, error.cause)
            return
        if header is None:
            if len(self._data) > _MAX_HEADER:
                self._refuse(transport, "BAD_REQUEST_PROXY_PROTOCOL")
            return
        peer = transport.get_extra_info("peername")
        if header.source_address and isinstance(peer, tuple) and self._trusts(str(peer[0])):
            self._behind.client_address = unmapped(header.source_address)
            self._behind.client_port = header.source_port
        self._hand_over(transport, self._data[header.consumed :])

    def _refuse(self, transport: asyncio.Transport, cause: str) -> None:
        self._refused(cause)
        transport.abort()

    def _hand_over(self, transport: asyncio.Transport, rest: bytes) -> None:
        self.deadline = 0.0
        transport.set_protocol(self._behind)
        self._behind.connection_made(transport)
        if rest:
            self._behind.data_received(rest)

    def eof_received(self) -> bool:
        """Called by the loop."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        self.deadline = 0.0

    def pause_writing(self) -> None:
        """Called by the loop; nothing is written yet."""

    def resume_writing(self) -> None:
        """Called by the loop; nothing is written yet."""

    def expired(self) -> None:
        """No header in time."""
        if self._transport is not None:
            self._refuse(self._transport, "REQUEST_TIMEOUT")
