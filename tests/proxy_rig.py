"""A real engine on real sockets, in the test's own loop: a table with one route, raw upstreams, raw clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

from edgerouter.config.static import EntryPoint, RespondingTimeouts, Transport
from edgerouter.contracts.plugins import Middleware, Route, Server, Service, Table
from edgerouter.http.exchange import Exchange
from edgerouter.net.clock import Clock
from edgerouter.net.pool import TransportSettings
from edgerouter.proxy.engine import Engine
from edgerouter.telemetry.recorder import Recorder

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RoundRobin(Service):
    """The simplest service there is."""

    def __init__(self, name: str, servers: list[Server]) -> None:
        super().__init__(name)
        self.servers = servers
        self.turn = 0

    def choose(self, exchange: Exchange) -> Server | None:
        up = [s for s in self.servers if s.up]
        if not up:
            return None
        self.turn += 1
        return up[self.turn % len(up)]

    def available(self) -> bool:
        return bool(self.servers)


class OneRoute(Table):
    """Everything goes to one route, except the path /none."""

    def __init__(self, route: Route, services: dict[str, Service]) -> None:
        self.route = route
        self.services = services

    def match(self, exchange: Exchange) -> Route | None:
        return None if exchange.request.path == "/none" else self.route

    def service(self, name: str) -> Service | None:
        return self.services.get(name)


class Record:
    """One end of an exchange, as the recorder was told."""

    def __init__(self, exchange: Exchange, status: int, bytes_in: int, bytes_out: int) -> None:
        self.exchange = exchange
        self.cause = exchange.cause
        self.status = status
        self.bytes_in = bytes_in
        self.bytes_out = bytes_out
        self.retries = exchange.retries


def make_recorder(records: list[Record], refusals: list[str]):  # type: ignore[no-untyped-def]
    """A real recorder without memory and log, that also keeps what it was told."""

    class Keeping(Recorder):
        def refused(self, ep, cause):  # type: ignore[no-untyped-def]
            refusals.append(cause)

        def record(self, exchange, ep, router, service, status, bytes_in, bytes_out, duration, log, metrics):  # type: ignore[no-untyped-def]
            records.append(Record(exchange, status, bytes_in, bytes_out))

    return Keeping(None, None)


class Rig:
    """``await Rig.start(...)``; then ``ask`` with raw bytes, or ``connect``."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self.records: list[Record] = []
        self.refusals: list[str] = []  # causes of connections that were closed before a request
        self.loop = asyncio.get_running_loop()
        self.clock = Clock(self.loop)
        self.clock.start()
        self.engine = Engine(self.loop, recorder or make_recorder(self.records, self.refusals), self.clock)
        self.port = 0
        self.upstreams: list[asyncio.Server] = []
        self.servers: list[Server] = []
        self.service = RoundRobin("app@test", self.servers)
        self.services: dict[str, Service] = {"app@test": self.service}
        self.sock: socket.socket | None = None
        self.received: list[bytes] = []

    @classmethod
    async def start(
        cls,
        *serves: Serve,
        steps: list[Middleware] | None = None,
        settings: EntryPoint | None = None,
        transport: TransportSettings | None = None,
        read_timeout: float = 60.0,
        recorder: Recorder | None = None,
    ) -> Rig:
        rig = cls(recorder)
        if transport is not None:
            rig.engine.transports = {"": transport}
        for serve in serves:
            await rig.add_upstream(serve)
        route = Route("r@test", "", 1, rig.service, steps or [])
        rig.engine.table = OneRoute(route, rig.services)
        rig.sock = socket.socket()
        rig.sock.bind(("127.0.0.1", 0))
        rig.sock.listen(100)
        rig.port = rig.sock.getsockname()[1]
        if settings is None:
            timeouts = RespondingTimeouts(read_timeout=read_timeout)
            settings = EntryPoint(address=":0", transport=Transport(responding_timeouts=timeouts))
        await rig.engine.listen("web", 1, settings, rig.sock)
        return rig

    async def add_upstream(self, serve: Serve) -> Server:
        server = await asyncio.start_server(self._guarded(serve), "127.0.0.1", 0)
        self.upstreams.append(server)
        return self.add_server(server.sockets[0].getsockname()[1])

    def add_server(self, port: int) -> Server:
        entry = Server(f"http://127.0.0.1:{port}", "http", "127.0.0.1", port)
        self.servers.append(entry)
        return entry

    def _guarded(self, serve: Serve) -> Serve:
        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await serve(reader, writer)
            writer.close()

        return run

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, raw: bytes, close: bool = True) -> bytes:
        """Send raw bytes; return everything until the router closes the connection."""
        reader, writer = await self.connect()
        writer.write(raw)
        data = await asyncio.wait_for(reader.read(), 10)
        if close:
            writer.close()
        return data

    async def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        """Wait for a condition with a deadline."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self.engine.stop_accepting()
        self.clock.stop()
        for connection in self.engine.connections.all():
            connection.abort()
        for server in self.upstreams:
            server.close()
        if self.sock is not None:
            self.sock.close()


def answering(*responses: bytes, log: list[bytes] | None = None, close_after: int = 0) -> Serve:
    """An upstream that answers each request head (no body) with the next raw response, the last one again and again."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if log is not None:
                log.append(head)
            writer.write(responses[min(number, len(responses) - 1)])
            await writer.drain()
            number += 1
            if number == close_after:
                return

    return serve
