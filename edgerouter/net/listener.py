"""Listening sockets. A listener takes a factory of protocols and knows nothing of what they speak: HTTP, TCP, UDP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any


class TcpListener:
    """Accepts on a socket that somebody else holds open: it works on a duplicate, so stopping never closes the queue
    of connections that wait in the original."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, factory: Callable[[], Any]) -> None:
        self._loop = loop
        self._sock = sock
        self._factory = factory
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Begin to accept."""
        if self._server is None:
            duplicate = self._sock.dup()
            duplicate.setblocking(False)
            self._server = await self._loop.create_server(self._factory, sock=duplicate, backlog=4096)

    def stop(self) -> None:
        """Accept no more; open connections go on."""
        if self._server is not None:
            self._server.close()
            self._server = None


class UdpListener:
    """Receives datagrams on a socket that somebody else holds open."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, factory: Callable[[], Any]) -> None:
        self._loop = loop
        self._sock = sock
        self._factory = factory
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        """Begin to receive."""
        if self._transport is None:
            self._transport, _ = await self._loop.create_datagram_endpoint(self._factory, sock=self._sock.dup())

    def stop(self) -> None:
        """Receive no more."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
