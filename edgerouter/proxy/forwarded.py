"""X-Forwarded-* and X-Real-Ip: what untrusted clients sent is deleted, what servers rely on is added (behaviour of
Traefik's ``forwardedHeaders``). The usual lines are made once for a connection and a Host, not once a request."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.lines import names_in
from edgerouter.http.message import Request
from edgerouter.net.session import Downstream

_NAMES: Final = (
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-Prefix",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-Forwarded-Scheme",
    "X-Scheme",
    "X-Real-Ip",
)
_MANAGED: Final = frozenset([name.lower() for name in _NAMES])  # servers fold "_" and "-" into one
_HOSTNAME: Final = socket.gethostname()

# The sets of names in the blocks that are added below.
_HOST_AND_PEER: Final = names_in(
    b"X-Forwarded-Host:\nX-Forwarded-Port:\nX-Forwarded-Proto:\nX-Forwarded-Server:\nX-Real-Ip:\n"
)
_BEHIND: Final = b"\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n"  # a host without port
_BEHIND_TLS: Final = b"\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n"
_FOR: Final = names_in(b"X-Forwarded-For:\n")

Networks = list[ipaddress.IPv4Network | ipaddress.IPv6Network]


def parse_networks(ranges: tuple[str, ...]) -> Networks:
    """Addresses and CIDR ranges; raises ValueError that names the bad one."""
    return [ipaddress.ip_network(text, strict=False) for text in ranges]


def is_trusted(address: str, networks: Networks) -> bool:
    """True when ``address`` (an IP address) lies in one of the networks."""
    if not networks:
        return False
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return any(ip in network or (mapped is not None and mapped in network) for network in networks)


def on_entry(downstream: Downstream, request: Request) -> None:
    """Clean and complete the headers as middlewares and rules shall see them (without the peer in X-Forwarded-For)."""
    headers = request.headers
    if request.managed:
        if downstream.trusted:
            _complete(downstream, request, headers)
            return
        for name in {name for name, _ in headers.items() if name.replace("_", "-").lower() in _MANAGED}:
            headers.remove(name)
    if len(downstream.peer_lines) == 0:
        downstream.peer_lines = _peer_lines(downstream)
    headers.add_blocks(_lines_of_host(downstream, request), downstream.peer_lines, _HOST_AND_PEER)


def on_forward(downstream: Downstream, exchange: Exchange) -> None:
    """Append the peer to X-Forwarded-For; called once, before the request first goes upstream."""
    if not exchange.forwarded_for or not downstream.client_address:
        return
    headers = exchange.request.headers
    if exchange.request.managed and downstream.trusted:
        known = headers.get_all("X-Forwarded-For")
        if known:
            headers.set("X-Forwarded-For", ", ".join([*known, downstream.client_address]))
            return
    line = downstream.peer_in_for
    if len(line) == 0:
        line = b"X-Forwarded-For: " + downstream.client_address.encode("latin-1") + b"\r\n"
        downstream.peer_in_for = line
    headers.add_block(line, _FOR)


def _scheme(downstream: Downstream, request: Request) -> str:
    if request.upgrade == "websocket":
        return "wss" if downstream.scheme == "https" else "ws"
    return downstream.scheme


def _lines_of_host(downstream: Downstream, request: Request) -> bytes:
    """The lines that depend on Host, from what is kept of the authority where it is as it was received."""
    known = request.named
    if known is None or known.text is not request.authority or request.upgrade:
        return _host_lines(_scheme(downstream, request), request.authority)
    secure = downstream.scheme == "https"
    lines = known.secure_lines if secure else known.lines
    if len(lines) == 0:
        if known.host is known.text and len(known.raw) > 0:
            lines = b"X-Forwarded-Host: " + known.raw + (_BEHIND_TLS if secure else _BEHIND)
        else:
            lines = _host_lines(downstream.scheme, request.authority)
        if secure:
            known.secure_lines = lines
        else:
            known.lines = lines
    return lines


def _host_lines(scheme: str, authority: str) -> bytes:
    host = f"X-Forwarded-Host: {authority}\r\n" if authority else ""
    text = f"{host}X-Forwarded-Port: {_port(authority, scheme)}\r\nX-Forwarded-Proto: {scheme}\r\n"
    return text.encode("latin-1", "replace")


def _peer_lines(downstream: Downstream) -> bytes:
    address = f"X-Real-Ip: {downstream.client_address}\r\n" if downstream.client_address else ""
    return f"X-Forwarded-Server: {_HOSTNAME}\r\n{address}".encode("latin-1", "replace")


def _port(authority: str, scheme: str) -> str:
    host, colon, port = authority.rpartition(":")
    if colon and port.isdigit() and (not host.startswith("[") or host.endswith("]")):
        return port
    return "443" if scheme in ("https", "wss") else "80"


def _complete(downstream: Downstream, request: Request, headers: Headers) -> None:
    """A trusted peer's fields stay; those that are absent are added."""
    block = _host_lines(_scheme(downstream, request), request.authority) + _peer_lines(downstream)
    for line in block.decode("latin-1").splitlines():
        name, _, value = line.partition(": ")
        if name == "X-Forwarded-Server":
            headers.set(name, value)
        elif headers.get(name) is None:
            headers.add(name, value)
