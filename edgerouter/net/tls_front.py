"""What stands in front of a connection that may be TLS: it reads the ClientHello and chooses the door.

The first byte tells TLS from plain HTTP, so both are served on one port. The hello's name chooses the TLS options, and
the handshake begins in a lasting context of theirs. The connection stays bound to these options: a request for a host
of others is answered 421. Hellos are bounded in size, time and number (DESIGN section 4), and refused with a cause.
Where certificates are had on demand, a connection may wait for one between hello and handshake (``tls_demand``).
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

from mypy_extensions import mypyc_attr

from edgerouter.errors import BadHello
from edgerouter.net.clock import Clock
from edgerouter.net.session import Downstream, client_of
from edgerouter.net.tls_contexts import ACME_PROTOCOL, ChallengeContexts, TlsOptions
from edgerouter.net.tls_demand import GIVEN_UP, Parked, TlsDemand
from edgerouter.net.tls_names import CertificateTable, HostOptions
from edgerouter.net.tls_transport import TlsTransport
from edgerouter.wire.client_hello import HANDSHAKE, MAX_HELLO, ClientHello, read_client_hello

HELLO_SECONDS: Final = 5.0  # for the whole hello
MOST_WAITING: Final = 1000  # connections of a worker whose hello is not complete

_UNRECOGNIZED_NAME: Final = 112
_DECODE_ERROR: Final = 50
_HANDSHAKE_FAILURE: Final = 40
_INTERNAL_ERROR: Final = 80


class TlsDoors:
    """What a worker knows of TLS: options by name, options of hosts by entry point, certificates. Filled from the Plan;
    every part is replaced by one assignment. ``waiting`` holds the fronts whose hello is not there, oldest first."""

    def __init__(self) -> None:
        self.options: dict[str, TlsOptions] = {}
        self.hosts: dict[str, HostOptions] = {}
        self.table = CertificateTable()
        self.waiting: dict[TlsFront, None] = {}
        self.challenges = ChallengeContexts()
        self.demand = TlsDemand()
        self._no_hosts = HostOptions()

    def options_of(self, entrypoint: str, host: str) -> str:
        """The name of the options that a host of an entry point is served with."""
        return self.hosts.get(entrypoint, self._no_hosts).of(host)

    def wait(self, front: TlsFront) -> None:
        """One more waits; beyond ``MOST_WAITING`` the one that has waited longest is sent away."""
        if len(self.waiting) >= MOST_WAITING:
            next(iter(self.waiting)).turn_away("too many connections wait for a ClientHello")
        self.waiting[front] = None

    def leave(self, front: TlsFront) -> None:
        """That one waits no more."""
        self.waiting.pop(front, None)


@mypyc_attr(allow_interpreted_subclasses=True)
class Threshold:
    """What a front asks of whoever accepted its connection."""

    def enter(self, front: TlsFront, secure: TlsTransport | None) -> Downstream | None:
        """Make the connection behind: over ``secure``, or plain where that is None. None: there is none."""
        return None

    def refused(self, front: TlsFront, cause: str, why: str) -> None:
        """There will be no connection: say why where people look."""


class TlsFront(Parked):
    """The first protocol of a connection. ``option`` is set once the hello is read."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        doors: TlsDoors,
        threshold: Threshold,
        entrypoint: str,
    ) -> None:
        super().__init__()
        self.client_port = 0
        self.entrypoint = entrypoint
        self.option: TlsOptions | None = None
        self._loop = loop
        self._clock = clock
        self._doors = doors
        self._threshold = threshold
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._challenge = False
        self._hello: ClientHello | None = None  # of a connection that waits for a certificate

    # -- the hello ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Called by the loop."""
        self._transport = transport
        if not self.client_address:
            self.client_address, self.client_port = client_of(transport.get_extra_info("peername"))
        self._doors.wait(self)
        self._clock.schedule(self, HELLO_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        transport = self._transport
        if transport is None:
            return
        self._data = self._data + data if self._data else data
        if self._hello is not None:
            self._said_more()
            return
        if self._data[0] != HANDSHAKE:
            self._go_in_plainly(transport)
            return
        try:
            hello = read_client_hello(self._data)
        except BadHello as error:
            self._refuse(_DECODE_ERROR, error.cause, error.message)
            return
        if hello is not None:
            self._stop_waiting()
            if not self._parks(hello):
                self._begin(transport, hello)

    def eof_received(self) -> bool:
        """Called by the loop."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        self._stop_waiting()
        if self._hello is not None:
            self._unpark()
            why = f"the client left while a certificate for {self.server_name!r} was awaited"
            self._threshold.refused(self, "TLS_HANDSHAKE", why)
        elif self._data:
            self._threshold.refused(self, "BAD_CLIENT_HELLO", "the client left within its ClientHello")

    def pause_writing(self) -> None:
        """Called by the loop; nothing is written yet."""

    def resume_writing(self) -> None:
        """Called by the loop; nothing is written yet."""

    def turn_away(self, why: str) -> None:
        """No hello, or not in time."""
        transport = self._transport
        self._transport, self._data = None, b""
        self._stop_waiting()
        self._threshold.refused(self, "NO_CLIENT_HELLO", why)
        if transport is not None:
            transport.abort()

    def _stop_waiting(self) -> None:
        self._doors.leave(self)
        self.deadline = 0.0

    def expired(self) -> None:
        """The clock's word."""
        if self._hello is not None:
            self._doors.demand.refused(self.server_name, self._clock.now, GIVEN_UP)
            return
        self.turn_away(f"no whole ClientHello came within {HELLO_SECONDS:g} s")

    def _go_in_plainly(self, transport: asyncio.Transport) -> None:
        self._stop_waiting()
        connection: Any = self._threshold.enter(self, None)
        data, self._data = self._data, b""
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection.data_received(data)

    # -- a certificate on demand ----------------------------------------------------------------------------------

    def _parks(self, hello: ClientHello) -> bool:
        """True when a certificate may be had for the name, and is waited for."""
        doors = self._doors
        seconds = doors.demand.points.get(self.entrypoint, 0.0) if doors.demand.points else 0.0
        if seconds <= 0.0 or ACME_PROTOCOL in hello.protocols:
            return False
        self.server_name = hello.server_name
        if doors.table.find(hello.server_name) is not None or not doors.demand.park(
            self, self.entrypoint, self._clock.now
        ):
            return False
        self._hello = hello
        self._clock.schedule(self, seconds)
        return True

    def go_on(self) -> None:
        """See ``Parked``."""
        hello, transport = self._hello, self._transport
        self._unpark()
        if hello is not None and transport is not None:
            self._begin(transport, hello)

    def _unpark(self) -> None:
        self._hello, self.deadline = None, 0.0
        self._doors.demand.leave(self)

    def _said_more(self) -> None:
        """A client that does not wait for our hello, within bounds."""
        if len(self._data) > 2 * MAX_HELLO:
            self._unpark()
            self.turn_away("the client sends on without waiting for an answer to its ClientHello")

    # -- the door -----------------------------------------------------------------------------------------------

    def _begin(self, transport: asyncio.Transport, hello: ClientHello) -> None:
        self.server_name = hello.server_name
        try:
            context = self._context(transport, hello)
        except (ssl.SSLError, OSError, ValueError) as error:
            self._refuse(_INTERNAL_ERROR, "TLS_HANDSHAKE", f"the TLS settings cannot be used: {error}")
            return
        if context is None:
            return
        option = self.option
        if option is not None:
            option.fault = ""
            option.local_address = "" if hello.server_name else _local_address(transport)
        data, self._data = self._data, b""
        TlsTransport(self._loop, self._clock, transport, context).begin(self, data)

    def _context(self, transport: asyncio.Transport, hello: ClientHello) -> ssl.SSLContext | None:
        doors = self._doors
        if ACME_PROTOCOL in hello.protocols:
            certificate = doors.table.challenge(hello.server_name)
            if certificate is not None:
                self._challenge = True
                return doors.challenges.context(certificate)
            if len(hello.protocols) == 1:
                why = f"nobody asked for a certificate for {hello.server_name!r} here"
                self._refuse(_UNRECOGNIZED_NAME, "TLS_HANDSHAKE", why)
                return None
        name = doors.options_of(self.entrypoint, hello.server_name)
        option = doors.options.get(name)
        if option is None:
            why = f"the TLS options {name!r} of {hello.server_name!r} cannot be used"
            self._refuse(_HANDSHAKE_FAILURE, "TLS_HANDSHAKE", why)
            return None
        self.option = option
        return option.lasting(hello.key_names)

    def _refuse(self, alert: int, cause: str, why: str) -> None:
        """Say so in TLS's own words (RFC 8446 section 6.2), and close."""
        transport = self._transport
        self._transport, self._data = None, b""  # so that the connection's end is not counted as well
        self._stop_waiting()
        self._threshold.refused(self, cause, why)
        if transport is not None:
            transport.write(bytes([0x15, 3, 1, 0, 2, 2, alert]))
            transport.close()

    # -- the handshake's end ------------------------------------------------------------------------------------

    def secured(self, transport: TlsTransport) -> Any:
        """See ``Opening``."""
        return None if self._challenge else self._threshold.enter(self, transport)

    def failed(self, why: str) -> None:
        """See ``Opening``."""
        option = self.option
        if option is not None and option.fault:
            why = option.fault
            option.fault = ""
        self._threshold.refused(self, "TLS_HANDSHAKE", why)


def _local_address(transport: asyncio.Transport) -> str:
    """The address that the client connected to: what a client without a name has asked for."""
    local = transport.get_extra_info("sockname")
    return str(local[0]).split("%", 1)[0] if isinstance(local, tuple) and local else ""
