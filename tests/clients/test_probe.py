"""Health checks against real servers: aiohttp's and gRPC's own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from services.grpc_server import GrpcServer

from edgerouter.clients.probe import Probe, probe_http
from edgerouter.clients.probe_grpc import probe_grpc, serving_status


class Site:
    """A server that answers by path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        word = request.path.strip("/")
        if word == "slow":
            await asyncio.sleep(30)
        if word == "moved":
            return web.Response(status=302, headers={"Location": "/503"})
        if word == "circle":
            return web.Response(status=302, headers={"Location": "/circle"})
        return web.Response(status=int(word or 200))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    tcp = web.TCPSite(runner, "127.0.0.1", 0)
    await tcp.start()
    await web.UnixSite(runner, str(tmp_path / "site.sock")).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ""),
        ({"path": "/204"}, ""),
        ({"path": "/404"}, "404 to GET /404, expected 2xx or 3xx"),
        ({"path": "/503", "method": "HEAD"}, "503 to HEAD /503, expected 2xx or 3xx"),
        ({"path": "/404", "status": 404}, ""),
        ({"status": 204}, "200 to GET /, expected 204"),
        ({"path": "/moved"}, "503 to GET /moved, expected 2xx or 3xx"),
        ({"path": "/moved", "follow": False}, ""),
        ({"path": "/slow", "timeout": 0.1}, "no answer within 0.1 s"),
    ],
)
async def test_answers(site: Site, options: dict[str, Any], expected: str) -> None:
    assert await probe_http(Probe(url=site.url, **options), None) == expected


async def test_a_circle_of_redirects_is_no_answer(site: Site) -> None:
    assert "circle" in await probe_http(Probe(url=site.url, path="/circle"), None)


async def test_what_is_sent(site: Site) -> None:
    probe = Probe(url=site.url, path="/200?deep=%2F1", host="app.test", headers={"X-Check": "1"}, method="OPTIONS")
    assert await probe_http(probe, None) == ""
    asked = site.asked[0]
    assert (asked.method, asked.raw_path, asked.host) == ("OPTIONS", "/200?deep=%2F1", "app.test")
    assert (asked.headers["X-Check"], asked.headers["User-Agent"]) == ("1", "edgerouter-healthcheck")


async def test_over_a_unix_socket(site: Site, tmp_path: Path) -> None:
    probe = Probe(url="http://localhost", socket=str(tmp_path / "site.sock"))
    assert await probe_http(probe, None) == ""
    assert await probe_http(Probe(url="http://localhost", socket=str(tmp_path / "none")), None) != ""


async def test_nobody_there() -> None:
    listener = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    for way in (probe_http, probe_grpc):
        said = await way(Probe(url=f"http://127.0.0.1:{port}"), None)
        assert "refused" in said.lower() or "connect call failed" in said.lower(), said


# -- gRPC -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("SERVING", ""),
        ("NOT_SERVING", "it says NOT_SERVING"),
        ("UNKNOWN", "it says UNKNOWN"),
        ("SERVICE_UNKNOWN", "it says SERVICE_UNKNOWN"),
    ],
)
async def test_grpc_states(state: str, expected: str) -> None:
    with GrpcServer() as server:
        server.set(state)
        assert await probe_grpc(Probe(url=f"http://127.0.0.1:{server.port}"), None) == expected


async def test_grpc_without_health_service() -> None:
    with GrpcServer(implemented=False) as server:
        said = await probe_grpc(Probe(url=f"http://127.0.0.1:{server.port}"), None)
    assert said == "the server has no gRPC health service (grpc.health.v1.Health)"


async def test_grpc_over_tls() -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    with GrpcServer(tls=pair) as server:
        server.set("SERVING")
        probe = Probe(url=f"https://127.0.0.1:{server.port}", server_name="localhost")
        assert await probe_grpc(probe, trusting) == ""
        assert "certificate" in await probe_grpc(probe, ssl.create_default_context())


async def test_grpc_of_a_server_that_speaks_http1(site: Site) -> None:
    said = await probe_grpc(Probe(url=site.url, timeout=5), None)
    assert said and said != "no answer within 5 s"


@pytest.mark.parametrize(
    ("message", "expected"),
    [(b"", 0), (b"\x08\x01", 1), (b"\x12\x02ab\x08\x02", 2), (b"\x15abcd\x08\x01\x19abcdefgh", 1), (b"\x10\x05", 0)],
)
def test_protobuf(message: bytes, expected: int) -> None:
    assert serving_status(message) == expected


@pytest.mark.parametrize("message", [b"\x08", b"\x08\xff", b"\xff" * 12])
def test_protobuf_cut_off(message: bytes) -> None:
    with pytest.raises(ValueError, match="no protobuf"):
        serving_status(message)
