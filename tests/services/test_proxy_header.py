"""serversTransports.proxyProtocol on real sockets: who the server is told the client is, and that nobody else's request
comes on that connection; health checks say that there is no client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from proxy_rig import Rig

from edgerouter.clients.probe import Probe, probe_http
from edgerouter.config.dynamic import ProxyProtocol, ServersTransport
from edgerouter.contracts.plugins import Server
from edgerouter.control.health_probes import make_dial, make_probe
from edgerouter.net.pool import TransportSettings
from edgerouter.services._load_balancer_options import HealthCheck
from edgerouter.wire.proxy_protocol import ProxyHeader, parse

GET = b"GET / HTTP/1.1\r\nHost: x.test\r\n\r\n"


class Strict:
    """A server that wants a PROXY header first, and answers each request on the connection."""

    def __init__(self) -> None:
        self.headers: list[ProxyHeader] = []
        self.requests: list[int] = []  # of each connection

    async def guarded(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.serve(reader, writer)
        writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        while (header := parse(data) if data else None) is None:
            data += await reader.readexactly(1)
        self.headers.append(header)
        self.requests.append(0)
        place = len(self.requests) - 1
        while not reader.at_eof():
            await reader.readuntil(b"\r\n\r\n")
            self.requests[place] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()


@pytest.fixture
async def strict() -> AsyncIterator[tuple[Strict, int]]:
    made = Strict()
    server = await asyncio.start_server(made.guarded, "127.0.0.1", 0)
    yield made, server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("version", [1, 2])
async def test_each_client_is_told(strict: tuple[Strict, int], version: int) -> None:
    made, port = strict
    rig = await Rig.start(transport=TransportSettings(proxy_protocol=version))
    rig.add_server(port)
    clients = []
    for _ in range(2):
        reader, writer = await rig.connect()
        for _ in range(2):
            writer.write(GET)
            assert (await asyncio.wait_for(reader.readuntil(b"ok"), 10)).startswith(b"HTTP/1.1 200")
        clients += [writer.get_extra_info("sockname")] * 2
        writer.close()
    told = [(header.source_address, header.source_port) for header in made.headers]
    assert told == clients, "each request came on a connection of its own client"
    assert made.requests == [1, 1, 1, 1]
    await rig.stop()


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    made = Strict()
    path = str(tmp_path / "strict.sock")
    server = await asyncio.start_unix_server(made.guarded, path)
    rig = await Rig.start(transport=TransportSettings(proxy_protocol=2))
    rig.servers.append(Server(f"unix:{path}", "unix", path, 0))
    assert b" 200 " in await rig.ask(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert made.headers[0].source_address == "127.0.0.1"
    await rig.stop()
    server.close()


async def test_nobody_there_is_a_refused_connection() -> None:
    rig = await Rig.start(transport=TransportSettings(proxy_protocol=1))
    rig.add_server(1)
    answer = await rig.ask(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert b" 502 " in answer and rig.records[0].cause == "CONNECT_REFUSED"
    await rig.stop()


@pytest.mark.parametrize("version", [1, 2])
async def test_health_checks_say_that_there_is_no_client(strict: tuple[Strict, int], version: int) -> None:
    made, port = strict
    transport = ServersTransport(proxy_protocol=ProxyProtocol(version=version))
    probe: Probe = make_probe(f"http://127.0.0.1:{port}", HealthCheck(path="/health", status=200), transport)
    assert await probe_http(probe, None, make_dial(probe, transport)) == ""
    assert made.headers[0].source_address == ""
    wrong = make_probe(f"http://127.0.0.1:{port}", HealthCheck(path="/health", status=204), transport)
    assert await probe_http(wrong, None, make_dial(wrong, transport)) == "200 to GET /health, expected 204"


@pytest.mark.parametrize(
    ("server", "options", "expected"),
    [
        ("http://10.0.0.1:8080", {"path": "/h"}, "http://10.0.0.1:8080/h"),
        ("http://10.0.0.1:8080", {"path": "h", "port": 9090}, "http://10.0.0.1:9090/h"),
        ("http://10.0.0.1:8080/base", {}, "http://10.0.0.1:8080/"),
        ("http://10.0.0.1:8080", {"scheme": "https"}, "https://10.0.0.1:8080/"),
        ("https://app.test", {}, "https://app.test/"),
        ("http://[fd00::1]:80", {}, "http://[fd00::1]/"),
        ("unix:/run/app.sock", {"path": "/h"}, "http://localhost/h"),
    ],
)
def test_what_is_asked(server: str, options: dict[str, str], expected: str) -> None:
    probe = make_probe(server, HealthCheck(**options), ServersTransport())
    assert probe.url + probe.path == expected
    assert probe.socket == ("/run/app.sock" if server.startswith("unix:") else "")
