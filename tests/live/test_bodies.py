"""1 GB up and 1 GB down through one worker, with length and chunked, to fast, slow and stopped readers: the worker's
memory grows by less than 64 MB, and the sender is paused."""

from __future__ import annotations

import asyncio
import pathlib
import time
from typing import Any

import pytest
from live.toolbox import Router

GB = 1 << 30
BLOCK = bytes(1 << 18)
LIMIT = 64 << 20


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


class Sink(asyncio.Protocol):
    """A raw peer that can read slowly or not at all, and counts."""

    def __init__(self, rate: float | None = None) -> None:
        self.received = 0
        self.rate = rate
        self.done = asyncio.get_running_loop().create_future()
        self.began = time.monotonic()
        self.tail = b""
        self.stopped = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.tail = (self.tail + data)[-16:]
        if self.rate is not None:
            ahead = self.received / self.rate - (time.monotonic() - self.began)
            if ahead > 0.01:
                self.transport.pause_reading()
                asyncio.get_running_loop().call_later(ahead, self.go_on)
        if self.received >= GB + 100 or self.tail.endswith(b"\r\n0\r\n\r\n"):
            self.finish()

    def go_on(self) -> None:
        if not self.stopped:
            self.transport.resume_reading()

    def stop(self) -> None:
        """Read no more, for good."""
        self.stopped = True
        self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.finish()

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Source:
    """An upstream that sends ``GB`` bytes, framed as asked, and knows how far it came; or takes an upload."""

    def __init__(self) -> None:
        self.sent = 0
        self.taken = 0
        self.rate: float | None = None
        self.server: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Source:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if head.startswith(b"post"):
                await self._take(reader, b"chunked" in head)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            else:
                await self._give(writer, b"/chunked" in head)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _give(self, writer: asyncio.StreamWriter, chunked: bool) -> None:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % GB
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        piece = b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if chunked else BLOCK
        while self.sent < GB:
            writer.write(piece)
            await writer.drain()
            self.sent += len(BLOCK)
        if chunked:
            writer.write(b"0\r\n\r\n")

    async def _take(self, reader: asyncio.StreamReader, chunked: bool) -> None:
        began = time.monotonic()
        tail = b""
        while self.taken < GB and not tail.endswith(b"\r\n0\r\n\r\n"):
            data = await reader.read(1 << 20)
            if not data:
                return
            self.taken += len(data)
            tail = (tail + data)[-16:] if chunked else b""
            if self.rate is not None:
                await asyncio.sleep(max(0.0, self.taken / self.rate - (time.monotonic() - began)))


class Memory:
    """Watches the worker's resident size."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.start = rss(pid)
        self.most = 0
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while True:
            self.most = max(self.most, rss(self.pid) - self.start)
            await asyncio.sleep(0.05)

    def stop(self) -> int:
        self._task.cancel()
        return self.most


def routes(url: str) -> dict[str, Any]:
    services = {"s": {"loadBalancer": {"servers": [{"url": url}]}}}
    return {"http": {"routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}}, "services": services}}


async def warm(port: int, source: Source) -> None:
    """One short transfer first, so that the measured growth is the body's."""
    sink = Sink()
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: sink, "127.0.0.1", port)
    transport.write(b"GET /length HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(30):
        while sink.received < 1 << 20:
            await asyncio.sleep(0.01)
    transport.abort()
    async with asyncio.timeout(30):
        while True:
            before = source.sent
            await asyncio.sleep(0.2)
            if before == source.sent:
                break
    source.sent = 0


@pytest.mark.parametrize("path", ["/length", "/chunked"])
async def test_a_gigabyte_down_to_a_fast_reader(tmp_path: pathlib.Path, path: str) -> None:
    async with Source() as source, Router(tmp_path, dynamic=routes(source.url)) as router:
        await warm(router.port(), source)
        memory = Memory(router.worker_pids()[0])
        sink = Sink()
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: sink, "127.0.0.1", router.port())
        transport.write(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        await asyncio.wait_for(sink.done, 120)
        assert sink.received >= GB
        transport.close()
        assert memory.stop() < LIMIT


@pytest.mark.parametrize("path", ["/length", "/chunked"])
async def test_a_slow_reader_and_a_stopped_one_pause_the_sender(tmp_path: pathlib.Path, path: str) -> None:
    async with Source() as source, Router(tmp_path, dynamic=routes(source.url)) as router:
        await warm(router.port(), source)
        memory = Memory(router.worker_pids()[0])
        sink = Sink(rate=1e6)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: sink, "127.0.0.1", router.port())
        transport.write(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        await asyncio.sleep(20)
        assert 10e6 < sink.received < 40e6
        assert source.sent < sink.received + LIMIT
        sink.stop()
        stopped = source.sent
        await asyncio.sleep(2)
        assert source.sent - stopped < LIMIT
        assert memory.stop() < LIMIT
        transport.abort()


@pytest.mark.parametrize(("chunked", "rate"), [(False, None), (True, None), (False, 1e6)])
async def test_a_gigabyte_up(tmp_path: pathlib.Path, chunked: bool, rate: float | None) -> None:
    async with Source() as source, Router(tmp_path, dynamic=routes(source.url)) as router:
        await warm(router.port(), source)
        source.rate = rate
        memory = Memory(router.worker_pids()[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port())
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % GB
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + framing + b"\r\n\r\n")
        piece = b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if chunked else BLOCK
        sent, end = 0, time.monotonic() + (120 if rate is None else 10)
        while sent < GB and time.monotonic() < end:
            writer.write(piece)
            try:
                await asyncio.wait_for(writer.drain(), 2)
            except TimeoutError:
                continue
            sent += len(BLOCK)
        if rate is None:
            writer.write(b"0\r\n\r\n" if chunked else b"")
            assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"ok")
            assert source.taken >= GB
        else:
            assert sent < source.taken + LIMIT
        assert memory.stop() < LIMIT
        writer.transport.abort()
