"""From an accepted connection to the protocol that serves it: PROXY header, TLS or plain, then HTTP. The order of these
and who is handed whom; each of them is somebody else's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgerouter.net.client_connection import ClientConnection
from edgerouter.net.proxy_front import ProxyFront
from edgerouter.net.session import Downstream
from edgerouter.net.tls_contexts import NONE
from edgerouter.net.tls_front import Threshold, TlsFront
from edgerouter.net.tls_transport import TlsTransport

if TYPE_CHECKING:
    from edgerouter.proxy.engine import Engine, EntryPoint


class Accepting(Threshold):
    """Makes the protocol of each new connection of an entry point."""

    def __init__(self, engine: Engine, entry: EntryPoint) -> None:
        self._engine = engine
        self._entry = entry

    def __call__(self) -> Any:
        """The first protocol. Where no router asks for TLS, HTTP is what comes as a rule, and a TLS handshake is told
        from it by the error that it is (``ClientConnection``)."""
        entry, engine = self._entry, self._engine
        first: Any = self.front() if entry.name in engine.doors.hosts else self.connection("http")
        if entry.proxy_protocol:
            return ProxyFront(engine.clock, first, entry.trusts_proxy, self._refused)
        return first

    def front(self) -> TlsFront:
        """What reads a ClientHello."""
        engine = self._engine
        return TlsFront(engine.loop, engine.clock, engine.doors, self, self._entry.name)

    def connection(self, scheme: str) -> ClientConnection:
        """What speaks HTTP/1."""
        entry, engine = self._entry, self._engine
        connection = ClientConnection(engine, engine.clock, entry.limits, entry.timeouts, scheme)
        connection.entry = entry
        connection.entrypoint = entry.name
        connection.entrypoint_key = entry.key
        connection.max_requests = entry.max_requests
        connection.max_seconds = entry.max_seconds
        return connection

    def enter(self, front: TlsFront, secure: TlsTransport | None) -> Downstream | None:
        """See ``Threshold``."""
        connection = self.connection("http" if secure is None else "https")
        connection.client_address, connection.client_port = front.client_address, front.client_port
        if secure is not None and front.option is not None:
            connection.tls_options = front.option.name
            connection.tls_version = secure.version()
            connection.tls_cipher = secure.cipher()
            if front.option.settings.client_auth != NONE:
                connection.client_certificate = secure.peer_certificate()
        return connection

    def refused(self, front: TlsFront, cause: str, why: str) -> None:
        """See ``Threshold``."""
        self._engine.turned_away(front, self._entry.key, cause, why)

    def _refused(self, cause: str) -> None:
        self._engine.refused(self._entry.key, cause)
