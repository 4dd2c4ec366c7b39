"""Listeners know nothing of HTTP: an echo service over TCP and one over UDP are plugged in without touching ``net``."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from edgerouter.net.listener import TcpListener, UdpListener


class Echo(asyncio.Protocol):
    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


class UdpEcho(asyncio.DatagramProtocol):
    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data.upper(), addr)


def bound(kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    return sock


async def test_a_tcp_service_fits() -> None:
    with bound(socket.SOCK_STREAM) as sock:
        sock.listen()
        listener = TcpListener(asyncio.get_running_loop(), sock, Echo)
        await listener.start()
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"HELLO"
        listener.stop()
        writer.write(b"still")
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"STILL"
        writer.close()


async def test_stopping_leaves_the_queue_to_the_next_listener() -> None:
    """A connection made while nobody accepts is served once somebody does: the original socket stays open."""
    with bound(socket.SOCK_STREAM) as sock:
        sock.listen()
        loop = asyncio.get_running_loop()
        first = TcpListener(loop, sock, Echo)
        await first.start()
        first.stop()
        await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        writer.write(b"queued")
        second = TcpListener(loop, sock, Echo)
        await second.start()
        assert await asyncio.wait_for(reader.readexactly(6), 5) == b"QUEUED"
        second.stop()
        writer.close()


async def test_a_udp_service_fits() -> None:
    with bound(socket.SOCK_DGRAM) as sock:
        loop = asyncio.get_running_loop()
        listener = UdpListener(loop, sock, UdpEcho)
        await listener.start()
        answer: asyncio.Future[bytes] = loop.create_future()

        class Client(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                answer.set_result(data)

        transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=sock.getsockname())
        transport.sendto(b"ping")
        assert await asyncio.wait_for(answer, 5) == b"PING"
        transport.close()
        listener.stop()
