"""Listening sockets: opened once by the control process, held for its whole life, inherited by every worker.

One SO_REUSEPORT socket for each entry point and worker slot: the kernel spreads connections evenly over them, and a
socket that is never closed never loses what waits in its queue. Nothing here accepts a connection.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from edgerouter.config.static import Address
from edgerouter.control.holders import holder_of
from edgerouter.errors import ConfigurationError

BACKLOG: Final = 4096  # the kernel lowers it to net.core.somaxconn
_SO_ATTACH_FILTER: Final = 26

# Classic BPF over the TCP header: flags byte, SYN without ACK is dropped, everything else passes.
_REFUSE_SYN: Final = (
    (0x30, 0, 0, 13),
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFFFFFF),
)


class Opened(msgspec.Struct, frozen=True):
    """An entry point's sockets, one for each worker slot. ``port`` is the real one where 0 was asked for."""

    name: str
    host: str
    port: int
    sockets: tuple[socket.socket, ...]

    @property
    def fds(self) -> tuple[int, ...]:
        """File descriptors in the order of the slots."""
        return tuple(sock.fileno() for sock in self.sockets)


def open_all(addresses: dict[str, Address], slots: int, before: Mapping[str, Opened] | None = None) -> list[Opened]:
    """Open every TCP entry point, all or nothing; ``before`` are those that are open already (live upgrade), of which
    the ones with the same address go on. Raises ConfigurationError that names the holder of a taken port."""
    opened: list[Opened] = []
    try:
        for name, address in addresses.items():
            if address.protocol == "tcp":
                opened.append(_go_on(name, address, slots, (before or {}).get(name)) or _open(name, address, slots))
    except ConfigurationError:
        close_all(opened)
        raise
    return opened


def adopt(name: str, host: str, port: int, fds: Iterable[int]) -> Opened:
    """An entry point's sockets by their descriptors, as another program left them."""
    return Opened(name, host, port, tuple(socket.socket(fileno=fd) for fd in fds))


def close_all(opened: list[Opened]) -> None:
    """Close for good. What still waits in a queue is reset: ``refuse_new`` and the workers' last accept come first."""
    for entry in opened:
        for sock in entry.sockets:
            sock.close()


def refuse_new(opened: list[Opened]) -> None:
    """Drop new connection requests (SYN) unanswered; handshakes under way and queued connections go on.

    A client whose SYN was dropped repeats it a second later: a successor on this port gets it, and when there is
    none the client is refused cleanly. Closing at once would reset connections that the kernel had accepted.
    Where the kernel keeps filters for root (EPERM in containers, Linux 6.18), new requests go on to be accepted.
    """
    code = b"".join(struct.pack("HBBI", *step) for step in _REFUSE_SYN)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HL", len(_REFUSE_SYN), ctypes.addressof(buffer))
    for entry in opened:
        for sock in entry.sockets:
            with suppress(PermissionError):
                sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _go_on(name: str, address: Address, slots: int, before: Opened | None) -> Opened | None:
    """The sockets that are there, and more of them where there are more slots now; none is ever taken away."""
    if before is None or before.host != address.host or address.port not in (0, before.port):
        return None
    sockets = list(before.sockets)
    try:
        while len(sockets) < slots:
            sibling = _bound(sockets[0].family, sockets[0].getsockname(), shared=True)
            sockets.append(sibling)
            sibling.listen(BACKLOG)
    except OSError as error:
        raise ConfigurationError(_why(name, address, error)) from error
    return Opened(name, before.host, before.port, tuple(sockets))


def _open(name: str, address: Address, slots: int) -> Opened:
    family, place = _resolve(name, address)
    sockets: list[socket.socket] = []
    try:
        first = _bound(family, place, shared=False)
        sockets.append(first)
        first.listen(BACKLOG)
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        place = first.getsockname()
        for _ in range(slots - 1):
            sibling = _bound(family, place, shared=True)
            sockets.append(sibling)
            sibling.listen(BACKLOG)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise ConfigurationError(_why(name, address, error)) from error
    return Opened(name, address.host, place[1], tuple(sockets))


def _bound(family: int, place: tuple[object, ...], shared: bool) -> socket.socket:
    """A socket bound plainly meets a foreign listener as EADDRINUSE, even one that has SO_REUSEPORT itself."""
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            both = 0 if place[0] == "::" else 1
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, both)
        sock.bind(place)
    except OSError:
        sock.close()
        raise
    return sock


def _resolve(name: str, address: Address) -> tuple[int, tuple[object, ...]]:
    """No host means all interfaces: IPv6 and IPv4 by one socket, or IPv4 alone where IPv6 is switched off."""
    if not address.host:
        if _has_ipv6():
            return socket.AF_INET6, ("::", address.port)
        return socket.AF_INET, ("0.0.0.0", address.port)
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(
            f"entryPoints.{name}.address: host {address.host!r} is not known: {error.strerror}; "
            "write an address of this machine, or nothing for all"
        ) from error
    return found[0][0], found[0][4]


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _why(name: str, address: Address, error: OSError) -> str:
    place = f"entryPoints.{name}.address: cannot listen on {address.host or '*'}:{address.port}"
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(address.port) or "a process that cannot be seen from here"
        return f"{place}: the port is held by {holder}; stop it, or choose another port"
    if error.errno == errno.EACCES:
        return f"{place}: not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{place}: this machine has no such address; write one of its own, or nothing for all"
    return f"{place}: {error.strerror}"
