"""The shapes between sockets and exchanges: what a connection tells an exchange, and what it is told. No framing here:
an HTTP/1 connection, an HTTP/2 stream and a side request of a middleware all fit these."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address

from mypy_extensions import mypyc_attr

from edgerouter.errors import EdgeError
from edgerouter.http.body import Body
from edgerouter.http.message import Request, Response
from edgerouter.net.clock import Peer


def client_of(peer: object) -> tuple[str, int]:
    """Address and port of a socket's peer name, ("", 0) where it has none."""
    if not isinstance(peer, tuple) or len(peer) < 2:
        return "", 0
    return unmapped(str(peer[0]).partition("%")[0]), int(peer[1])


def unmapped(address: str) -> str:
    """An IPv4 client of a socket for both families (``:80``) as what it is, and not as ``::ffff:192.0.2.1``: servers,
    logs and rules compare the text (RFC 4291 section 2.5.5.2)."""
    if not address.startswith("::ffff:"):
        return address
    mapped = IPv6Address(address).ipv4_mapped
    return address if mapped is None else str(mapped)


@mypyc_attr(allow_interpreted_subclasses=True)
class Session:
    """One exchange, as connections see it."""

    def start(self) -> None:
        """Begin; the session may be answered before this returns."""

    def client_gone(self, body_bytes: int) -> None:
        """The client left, or a tunnel ended; nothing can be sent to it any more."""

    def cut(self, error: EdgeError, body_bytes: int) -> None:
        """The router breaks the exchange off; nothing can be sent to the client any more."""

    def response_sent(self, body_bytes: int) -> None:
        """The whole response was handed to the socket; ``body_bytes`` of payload."""

    def response_failed(self, error: EdgeError, body_bytes: int) -> None:
        """The response's body broke off after its head was sent; the connection is being reset."""

    def client(self) -> tuple[str, int]:
        """The client's address and port, for servers that want a PROXY header; "" when there is no client."""
        return "", 0

    def upstream_ready(self, upstream: Upstream) -> None:
        """A connection that was asked of a pool is there."""

    def upstream_failed(self, error: EdgeError, upstream: Upstream | None) -> None:
        """No response head will come."""

    def upstream_informed(self, response: Response) -> None:
        """An interim response (1xx but 100 and 101)."""

    def upstream_responded(self, response: Response, upstream: Upstream) -> None:
        """The response's head; its body may still be coming."""

    def upstream_done(self) -> None:
        """The server has given its whole response, or broke off within it; may come before ``upstream_responded``."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Downstream(Peer):
    """The way back to one client for one exchange at a time."""

    entry: object = None  # the engine's: what it knows of the entry point
    entrypoint: str = ""
    entrypoint_key: int = 0
    client_address: str = ""
    client_port: int = 0
    scheme: str = "http"
    tls_version: str = ""
    tls_cipher: str = ""
    client_certificate: bytes = b""  # in DER form
    tls_options: str = ""  # name of the TLS options that the connection was made with; "" where it is plain
    trusted: bool = False  # may supply X-Forwarded-*
    peer_lines: bytes = b""  # header lines about the peer, made once (``proxy.forwarded``)
    peer_in_for: bytes = b""

    def respond(self, response: Response) -> None:
        """Send the final response, head and body; called once an exchange."""

    def tunnel(self) -> Body:
        """After a 101: the body that carries what the client sends."""
        raise NotImplementedError

    def inform(self, response: Response) -> None:
        """Send an interim response."""

    def abort(self) -> None:
        """The response cannot be completed: break the connection so that the client sees it."""

    def cut(self, error: EdgeError) -> bool:
        """Break off whatever is under way; True when that cost an exchange."""
        self.abort()
        return False


@mypyc_attr(allow_interpreted_subclasses=True)
class Upstream(Peer):
    """One request's way to a server."""

    reused: bool = False  # the connection had served a request before
    answered: bool = False  # some byte of a response came
    header_timeout: float = 0.0  # seconds from the request's end to the response's head; 0.0 is no limit

    def send(self, session: Session, request: Request) -> None:
        """Send the request, head and body; the session hears the outcome."""

    def cancel(self, session: Session) -> None:
        """That session waits for nothing any more; without effect where it is not the one being served."""

    def give_back(self) -> None:
        """Nothing was sent: the connection may go to the pool."""

    def tunnel(self, body: Body) -> None:
        """After a 101: take the client's bytes from ``body``."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Handler:
    """Who takes requests from connections: the engine."""

    def open(self, downstream: Downstream, request: Request) -> Session:
        """A request's head is there: make its session, which the connection then starts."""
        raise NotImplementedError

    def refuse(self, downstream: Downstream, error: EdgeError, head: bytes) -> Response:
        """The bytes, which begin with ``head``, were no request: record it and say what to answer."""
        raise NotImplementedError

    def take_hello(self, downstream: Downstream, transport: asyncio.Transport, data: bytes) -> bool:
        """A connection that was taken for plain begins with a TLS handshake: True when somebody has taken it over."""
        return False

    def connected(self, downstream: Downstream) -> None:
        """A connection is open."""

    def disconnected(self, downstream: Downstream) -> None:
        """A connection is closed."""
