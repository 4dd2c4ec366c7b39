"""A connection to a server that wants the PROXY protocol: its header is the first thing sent, even before TLS."""

from __future__ import annotations

import asyncio
import socket

from edgerouter.errors import ConnectRefused
from edgerouter.wire.proxy_protocol import encode_v1, encode_v2


async def connect_as(
    loop: asyncio.AbstractEventLoop, host: str, port: int, version: int, client: str, client_port: int
) -> socket.socket:
    """Connect, and say who the client is ("": nobody, as for the router's own questions). Raises OSError when no
    address of the host answers, ValueError for an address that is none."""
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = ConnectionRefusedError("the name has no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, header(sock, version, client, client_port))
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def connect_unix_as(
    loop: asyncio.AbstractEventLoop, path: str, version: int, client: str, client_port: int
) -> socket.socket:
    """The same over a Unix socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    try:
        await loop.sock_connect(sock, path)
        await loop.sock_sendall(sock, header(sock, version, client, client_port))
    except BaseException:
        sock.close()
        raise
    return sock


def header(sock: socket.socket, version: int, client: str, client_port: int) -> bytes:
    """The header for a connected socket: from the client to the server's address, which stands for ours, since
    connections of one entry point come in at many."""
    peer = sock.getpeername()
    here = "::1" if ":" in client else "127.0.0.1"
    host, port = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else (here, 0)
    encode = encode_v1 if version == 1 else encode_v2
    try:
        return encode(client, client_port, host, port)
    except ValueError as error:
        raise ConnectRefused(f"no PROXY header can be made: {error}") from error
