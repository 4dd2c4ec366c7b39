"""WebSockets and server-sent events through the real router: all passes at once, both ways, at either's pace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from live.toolbox import Router, fetch, until
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.http11 import Request, Response

MEGABYTE = 1 << 20
Play = Callable[[ServerConnection], Awaitable[None]]
Stream = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def dynamic(url: str) -> dict[str, Any]:
    return {
        "http": {
            "routers": {
                "all": {"rule": "Host(`ws.test`)", "service": "app", "middlewares": ["bare", "mark"]},
            },
            "middlewares": {
                "bare": {"stripPrefix": {"prefixes": ["/app"]}},
                "mark": {"headers": {"customRequestHeaders": {"X-Mark": "seen"}}},
            },
            "services": {"app": {"loadBalancer": {"servers": [{"url": url}]}}},
        }
    }


async def echoing(connection: ServerConnection) -> None:
    """Sends back what comes. ``close:CODE:REASON`` closes so."""
    async for message in connection:
        if isinstance(message, str) and message.startswith("close:"):
            _, code, reason = message.split(":")
            await connection.close(int(code), reason)
            return
        await connection.send(message)


@asynccontextmanager
async def websockets(folder: Path, play: Play = echoing, workers: int = 1, **options: Any) -> AsyncIterator[Router]:
    """A router before a WebSocket server."""
    async with serve(play, "127.0.0.1", 0, max_size=None, compression=None, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with Router(folder, dynamic(f"http://127.0.0.1:{port}"), workers=workers) as router:
            yield router


def dial(router: Router, path: str = "/app/room?x=1", **options: Any) -> connect:
    """A client's connection through the router."""
    options = {"compression": None, "max_size": None, "open_timeout": 30, **options}
    return connect(f"ws://ws.test{path}", host="127.0.0.1", port=router.port(), proxy=None, **options)


async def test_messages_of_every_kind_and_size(tmp_path: Path) -> None:
    async with websockets(tmp_path) as router, asyncio.timeout(60), dial(router) as client:
        for message in ("grüße", "", b"", bytes(range(256)), "x" * 125, b"y" * 126, b"z" * 65535, b"w" * 65536):
            await client.send(message)
            assert await client.recv() == message
        large = os.urandom(MEGABYTE)
        for message in (large, large.hex()):
            await client.send(message)
            assert await client.recv() == message
        await client.send([b"in ", b"three ", b"frames"])
        assert await client.recv() == b"in three frames"
        assert await (await client.ping(b"are you there")) >= 0


async def test_the_server_sees_the_request_as_any_other(tmp_path: Path) -> None:
    seen: list[Request] = []

    async def play(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request)
        await (await connection.ping())
        await connection.send(connection.subprotocol or "")

    async with websockets(tmp_path, play, subprotocols=["chat.v2"]) as router, asyncio.timeout(60):
        client = await dial(router, subprotocols=["chat.v1", "chat.v2"], origin="http://ws.test")
        assert client.subprotocol == await client.recv() == "chat.v2"
        await client.close()
    request = seen[0]
    assert request.path == "/room?x=1"
    expected = {
        "X-Mark": "seen",
        "X-Forwarded-Prefix": "/app",
        "X-Forwarded-For": "127.0.0.1",
        "Origin": "http://ws.test",
    }
    expected |= {"X-Forwarded-Proto": "ws", "Host": "ws.test", "Upgrade": "websocket"}
    assert {name: request.headers.get(name) for name in expected} == expected


async def test_compressed_messages_pass(tmp_path: Path) -> None:
    async with serve(echoing, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with Router(tmp_path, dynamic(f"http://127.0.0.1:{port}")) as router, asyncio.timeout(60):
            client = await dial(router, compression="deflate")
            assert client.response is not None
            assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
            await client.send("again and again " * 5000)
            assert await client.recv() == "again and again " * 5000
            await client.close()


async def test_close_codes_reach_the_other_side(tmp_path: Path) -> None:
    closed: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()

    async def play(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await echoing(connection)
        await connection.wait_closed()
        closed.put_nowait((connection.close_code, connection.close_reason))

    async with websockets(tmp_path, play) as router, asyncio.timeout(60):
        for code in (1000, 1001, 1011, 3000, 4999):
            async with dial(router) as client:
                await client.send(f"close:{code}:from the server")
                with pytest.raises(ConnectionClosed):
                    await client.recv()
                assert (client.close_code, client.close_reason) == (code, "from the server")
            assert await closed.get() == (code, "from the server")
            async with dial(router) as client:
                await client.close(code, "from the client")
            assert await closed.get() == (code, "from the client")


async def test_either_side_that_breaks_off_takes_the_other_with_it(tmp_path: Path) -> None:
    ended: asyncio.Queue[int | None] = asyncio.Queue()

    async def play(connection: ServerConnection) -> None:
        try:
            async for _ in connection:
                reset(connection)
        finally:
            ended.put_nowait(connection.close_code)

    async with websockets(tmp_path, play) as router, asyncio.timeout(60):
        async with dial(router) as client:
            await client.send("break off")
            with pytest.raises(ConnectionClosedError):
                await client.recv()
            assert client.close_code == 1006
        await ended.get()
        async with dial(router) as client:
            reset(client)
        assert await ended.get() == 1006
        await gauges_rest(router)


def reset(connection: ServerConnection | ClientConnection) -> None:
    """End it with a TCP reset."""
    sock = connection.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


async def gauges_rest(router: Router) -> None:
    """Nothing is left behind: no client connection, no exchange."""
    wanted = 'edgerouter_open_connections{entrypoint="web",protocol="TCP"} 0'
    page = ""
    async with asyncio.timeout(30):
        while wanted not in page.splitlines():
            page = (await fetch(router.port("traefik"), "/metrics")).text
            await asyncio.sleep(0.05)


async def test_a_refused_handshake_is_an_ordinary_response(tmp_path: Path) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(403, "not for you\n")

    async with websockets(tmp_path, process_request=refuse) as router, asyncio.timeout(60):
        for _ in range(3):
            with pytest.raises(InvalidStatus) as refused:
                await dial(router)
            assert refused.value.response.status_code == 403
            assert refused.value.response.body == b"not for you\n"


async def test_a_hundred_at_once_over_two_workers(tmp_path: Path) -> None:
    async with websockets(tmp_path, workers=2) as router:
        gate = asyncio.Barrier(100)

        async def talk(number: int) -> bool:
            async with dial(router) as client:
                await gate.wait()  # all hundred are open now
                for turn in range(10):
                    await client.send(f"{number}/{turn}")
                    assert await client.recv() == f"{number}/{turn}"
            return True

        async with asyncio.timeout(120):
            assert all(await asyncio.gather(*(talk(number) for number in range(100))))


async def test_it_outlives_a_change_of_the_configuration(tmp_path: Path) -> None:
    async with websockets(tmp_path) as router, asyncio.timeout(60), dial(router) as client:
        await client.send("before")
        assert await client.recv() == "before"
        seen = len(router.lines)
        router.write_dynamic(
            {"http": {"services": {"none": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}}}}
        )
        await until(lambda: router.find_log(event="applied", since=seen), "the configuration to be live")
        assert (await fetch(router.port(), host="ws.test")).status == 404
        await client.send("after")
        assert await client.recv() == "after"


# -- back-pressure ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def upstream(folder: Path, serve_one: Stream) -> AsyncIterator[Router]:
    """A router before a server that is a bare connection."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            await serve_one(reader, writer)
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, limit=MEGABYTE)
    port = server.sockets[0].getsockname()[1]
    async with server, Router(folder, dynamic(f"http://127.0.0.1:{port}")) as router:
        yield router


HANDSHAKE = (
    b"GET /app HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
FLOOD = 48 * MEGABYTE
HELD = 24 * MEGABYTE  # what the kernel's and the router's buffers may hold; Linux lets a socket's grow to a few each


class Flood:
    """Sends as much as the other side lets it."""

    def __init__(self) -> None:
        self.sent = 0

    async def into(self, writer: asyncio.StreamWriter) -> None:
        while self.sent < FLOOD:
            writer.write(bytes(65536))
            await writer.drain()
            self.sent += 65536

    async def pauses(self) -> int:
        """Wait until nothing has moved for a second; how far it came."""
        before = -1
        async with asyncio.timeout(60):
            while before != self.sent or self.sent == 0:
                before = self.sent
                await asyncio.sleep(1)
        return self.sent


async def test_a_client_that_does_not_read_pauses_the_server(tmp_path: Path) -> None:
    flood = Flood()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCHED)
        await flood.into(writer)

    async with upstream(tmp_path, serve_one) as router:
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port())
        writer.write(HANDSHAKE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await flood.pauses() < HELD
        memory = sum(map(resident, router.worker_pids()))
        assert memory < 200 * MEGABYTE
        async with asyncio.timeout(60):
            await reader.readexactly(FLOOD)
            assert await reader.read() == b""
        writer.close()


async def test_a_server_that_does_not_read_pauses_the_client(tmp_path: Path) -> None:
    flood, go_on = Flood(), asyncio.Event()
    got: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCHED)
        await go_on.wait()
        got.set_result(len(await reader.readexactly(FLOOD)))

    async with upstream(tmp_path, serve_one) as router:
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port())
        writer.write(HANDSHAKE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        sending = asyncio.ensure_future(flood.into(writer))
        assert await flood.pauses() < HELD
        go_on.set()
        async with asyncio.timeout(60):
            assert await got == FLOOD
            await sending
        writer.close()


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- server-sent events -----------------------------------------------------------------------------------------------


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until close"])
async def test_each_event_passes_before_the_next_is_made(tmp_path: Path, chunked: bool) -> None:
    """The server makes an event only when the client has the one before: a router that buffers would stop this."""
    arrived = asyncio.Semaphore(0)

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Connection: close\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + b"\r\n")
        for number in range(50):
            await arrived.acquire()
            event = b"data: %d\n\n" % number
            writer.write(chunk(event) if chunked else event)
        writer.write(b"0\r\n\r\n" if chunked else b"")

    async with upstream(tmp_path, serve_one) as router, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port())
        writer.write(b"GET /app/events HTTP/1.1\r\nHost: ws.test\r\nAccept: text/event-stream\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()  # passes before there is any body
        assert b"content-type: text/event-stream" in head
        for number in range(50):
            arrived.release()
            assert (await reader.readuntil(b"\n\n")).endswith(b"data: %d\n\n" % number)
        writer.close()


async def test_a_client_that_leaves_an_event_stream_is_noticed(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(chunk(b"data: 0\n\n"))
        with contextlib.suppress(OSError):
            await reader.read()
        left.set()

    async with upstream(tmp_path, serve_one) as router, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port())
        writer.write(b"GET /app/events HTTP/1.1\r\nHost: ws.test\r\n\r\n")
        await reader.readuntil(b"\n\n")
        writer.close()
        await left.wait()


async def test_sigterm_ends_what_never_ends_by_itself(tmp_path: Path) -> None:
    cycle = {"transport": {"lifeCycle": {"graceTimeOut": "1s"}}}
    static = {"entryPoints": {"web": cycle, "traefik": cycle}}
    async with serve(echoing, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with Router(tmp_path, dynamic(f"http://127.0.0.1:{port}"), static) as router, asyncio.timeout(60):
            client = await dial(router)
            await client.send("hello")
            assert await client.recv() == "hello"
            router.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            await asyncio.to_thread(router.wait_exit, 0)
