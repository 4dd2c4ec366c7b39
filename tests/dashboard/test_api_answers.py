"""The API over a real socket: shapes, list parameters, refusals, Host check, secrets, redirects, /metrics."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from multidict import CIMultiDict
from sample_view import sample_view
from yarl import URL

from edgerouter.config.static import AccessLog, Api, Metrics, StaticConfiguration
from edgerouter.control.view import Picture, View
from edgerouter.dashboard.api import make_app
from edgerouter.telemetry.levels import Facts
from edgerouter.telemetry.memory import CounterMemory
from edgerouter.telemetry.reader import CounterReader, new_memory
from edgerouter.telemetry.registry import MetricsRegistry

Answer = tuple[int, Any, CIMultiDict[str]]


class Server:
    """make_app on a TCP port of 127.0.0.1, and a client."""

    def __init__(self, picture: Picture, static: StaticConfiguration, registry: MetricsRegistry | None = None) -> None:
        self.picture = picture
        self._runner = web.AppRunner(make_app(picture, registry, static))

    async def __aenter__(self) -> Server:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        url = URL(self._base + path, encoded=True)
        fields = {name.replace("_", "-"): text for name, text in headers.items()}
        async with self._session.request(method, url, headers=fields, allow_redirects=False) as response:
            body = await response.read()
            kind = response.content_type
            return (
                response.status,
                json.loads(body) if kind == "application/json" and body else body,
                response.headers.copy(),
            )


STATIC = StaticConfiguration(api=Api(), access_log=AccessLog())


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(Picture(sample_view()), STATIC) as made:
        yield made


async def test_overview(server: Server) -> None:
    _, body, _ = await server.ask("/api/overview")
    assert body["http"] == {
        "routers": {"total": 7, "warnings": 0, "errors": 1},
        "services": {"total": 9, "warnings": 0, "errors": 0},
        "middlewares": {"total": 2, "warnings": 0, "errors": 0},
    }
    assert body["features"] == {"tracing": "", "metrics": "Prometheus", "accessLog": True}
    assert body["providers"] == ["Docker", "File"]


async def test_a_router(server: Server) -> None:
    status, body, _ = await server.ask("/api/http/routers/catalog@docker")
    assert (status, body) == (
        200,
        {
            "entryPoints": ["web"],
            "service": "catalog@docker",
            "rule": 'Host("acme.com") && PathPrefix("/catalog")',
            "priority": 42,
            "status": "enabled",
            "using": ["web"],
            "name": "catalog@docker",
            "provider": "docker",
            "priorityStr": "42",
            "middlewares": ["strip@file"],
        },
    )


async def test_a_broken_router_says_why(server: Server) -> None:
    _, body, _ = await server.ask("/api/http/routers/admin@docker")
    assert (body["status"], body["error"]) == ("disabled", ['middleware "missing@file" does not exist'])


async def test_a_service(server: Server) -> None:
    _, body, _ = await server.ask("/api/http/services/images%40docker")
    assert body == {
        "loadBalancer": {
            "passHostHeader": True,
            "servers": [{"url": "http://172.17.0.9:80"}, {"url": "http://172.17.0.10:80"}],
        },
        "status": "enabled",
        "usedBy": ["images@docker"],
        "name": "images@docker",
        "provider": "docker",
        "type": "loadbalancer",
        "serverStatus": {"http://172.17.0.9:80": "UP", "http://172.17.0.10:80": "DOWN"},
    }


async def test_a_middleware_and_its_secret(server: Server) -> None:
    _, body, _ = await server.ask("/api/http/middlewares/auth@file")
    assert body == {
        "basicAuth": {"users": "***"},
        "status": "enabled",
        "usedBy": ["admin@docker"],
        "name": "auth@file",
        "provider": "file",
        "type": "basicauth",
    }


async def test_certificates(server: Server) -> None:
    _, body, _ = await server.ask("/api/certificates")
    named = {item["source"]: item for item in body}
    assert {name: item["status"] for name, item in named.items()} == {
        "/certs/acme.pem": "enabled",
        "/certs/old.pem": "expired",
        "/certs/broken.pem": "disabled",
    }
    assert named["/certs/acme.pem"]["sans"] == ["acme.com", "www.acme.com"]
    assert named["/certs/broken.pem"]["error"] == ["the key does not belong to the certificate"]
    _, one, _ = await server.ask(f"/api/certificates/{'5e' * 32}")
    assert one == named["/certs/acme.pem"] and one["notAfter"].endswith("Z")
    _, overview, _ = await server.ask("/api/overview")
    assert overview["certificates"] == {"total": 3, "warnings": 0, "errors": 2}


async def test_names_with_state_and_next_attempt(server: Server) -> None:
    _, body, _ = await server.ask("/api/names")
    assert [(item["state"], item["names"][0]) for item in body[:3]] == [
        ("FAILED", "shop.acme.com"),
        ("BROKEN", "/certs/broken.pem"),
        ("EXPIRED", "old.acme.com"),
    ]
    failed = body[0]
    assert (failed["code"], failed["failures"], failed["nextAttempt"]) == ("CAA", 3, "2026-11-21T10:00:00Z")
    assert failed["source"] == "resolver le" and "letsencrypt.org" in failed["error"] and failed["fix"]


PATHS = [
    "/api/overview",
    "/api/entrypoints",
    "/api/entrypoints/web",
    "/api/http/routers",
    "/api/http/services",
    "/api/http/middlewares",
    "/api/tcp/routers",
    "/api/udp/services",
    "/api/certificates",
    "/api/names",
    "/api/rawdata",
    "/api/version",
    "/api/problems",
    "/api/workloads",
    "/api/providers",
    "/api/workers",
    "/api/present",
]


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_keeps_secrets_and_browsers_safe(server: Server, path: str) -> None:
    status, body, headers = await server.ask(path)
    assert status == 200 and "hunter2" not in json.dumps(body)
    assert headers["Content-Type"].startswith("application/json")
    assert "script-src 'self'" in headers["Content-Security-Policy"] and headers["X-Content-Type-Options"] == "nosniff"
    status, body, _ = await server.ask(path, "HEAD")
    assert (status, body) == (200, b"")


async def test_rawdata_is_by_name(server: Server) -> None:
    _, body, _ = await server.ask("/api/rawdata")
    assert set(body) == {"routers", "middlewares", "services"}
    assert body["routers"]["eshop@docker"]["service"] == "eshop@docker"
    assert "name" not in body["routers"]["eshop@docker"]


async def test_the_ledger_and_problems(server: Server) -> None:
    _, ledger, _ = await server.ask("/api/workloads")
    worker = next(item for item in ledger if item["name"] == "worker")
    assert (worker["verdict"], worker["reason"]) == ("NO_PORT", "its image exposes no port")
    assert worker["fix"].endswith("server.port=8080") and worker["firstSeen"] > 0
    _, problems, _ = await server.ask("/api/problems")
    assert problems[0]["path"] == "http.routers.admin.middlewares[1]" and problems[1]["severity"] == "warning"


@pytest.mark.parametrize(
    ("query", "names", "following"),
    [
        ("", ["admin", "api", "canary", "catalog", "eshop", "images", "reports"], "1"),
        ("?per_page=3", ["admin", "api", "canary"], "2"),
        ("?per_page=3&page=2", ["catalog", "eshop", "images"], "3"),
        ("?per_page=3&page=3", ["reports"], "1"),
        ("?per_page=7", ["admin", "api", "canary", "catalog", "eshop", "images", "reports"], "1"),
        ("?search=ACME.com%22", ["catalog", "eshop"], "1"),
        ("?search=img", ["images"], "1"),
        ("?search=nothing-of-the-kind", [], "1"),
        ("?status=disabled", ["admin"], "1"),
        ("?status=Enabled&search=catalog", ["catalog"], "1"),
        ("?status=warning", [], "1"),
        ("?serviceName=pay@file", ["canary"], "1"),
        ("?middlewareName=strip@file", ["catalog"], "1"),
        ("?sortBy=name&direction=desc", ["reports", "images", "eshop", "catalog", "canary", "api", "admin"], "1"),
        ("?sortBy=priority&per_page=2", ["eshop", "api"], "2"),
        ("?sortBy=priority&direction=desc&per_page=2", ["images", "catalog"], "2"),
        ("?sortBy=provider&per_page=2&direction=desc", ["api", "canary"], "2"),
        ("?sortBy=status&per_page=1", ["admin"], "2"),
        ("?sortBy=entryPoints&per_page=1", ["api"], "2"),
    ],
)
async def test_list_parameters(server: Server, query: str, names: list[str], following: str) -> None:
    status, body, headers = await server.ask(f"/api/http/routers{query}")
    assert [item["name"].split("@")[0] for item in body] == names
    assert (status, headers["X-Next-Page"]) == (200, following)


@pytest.mark.parametrize("room", ["services", "middlewares"])
@pytest.mark.parametrize("sort", ["name", "type", "servers", "provider", "status"])
async def test_other_lists_can_be_sorted(server: Server, room: str, sort: str) -> None:
    up, down = [(await server.ask(f"/api/http/{room}?sortBy={sort}&direction={d}"))[1] for d in ("asc", "desc")]
    assert sorted(item["name"] for item in up) == sorted(item["name"] for item in down) != []


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/http/routers?page=2", 400, "invalid request: page: 2, per_page: 100: there are 7 entries"),
        ("/api/http/routers?page=x", 400, "invalid request: page: expected a number from 1 on, got 'x'"),
        ("/api/http/routers?page=-1", 400, "invalid request: page: expected a number from 1 on, got '-1'"),
        ("/api/http/routers?page=0", 400, "invalid request: page: expected a number from 1 on, got '0'"),
        ("/api/http/routers?per_page=y", 400, "invalid request: per_page: expected a number from 1 on, got 'y'"),
        ("/api/http/routers?direction=up", 400, "invalid request: direction: expected asc or desc, got 'up'"),
        ("/api/http/routers/x", 404, "router not found: x"),
        ("/api/http/services/x%40docker", 404, "service not found: x@docker"),
        ("/api/http/middlewares/a%2Fb", 404, "middleware not found: a/b"),
        ("/api/entrypoints/x", 404, "entry point not found: x"),
        ("/api/tcp/routers/x", 404, "router not found: x"),
        ("/api/nothing", 404, "not found: /api/nothing"),
        ("/dashboard/../api.py", 404, "not found: /dashboard/../api.py"),
        ("/dashboard/%2e%2e/api.py", 404, "not found: /dashboard/../api.py"),
    ],
)
async def test_refusals(server: Server, path: str, status: int, message: str) -> None:
    assert (await server.ask(path))[:2] == (status, {"message": message})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/api/overview", "/dashboard/", "/api/nothing"])
async def test_nothing_can_be_written(server: Server, method: str, path: str) -> None:
    status, _, headers = await server.ask(path, method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("localhost:8080", True),
        ("LOCALHOST", True),
        ("edge.localhost", True),
        ("127.0.0.1:8080", True),
        ("192.0.2.1", True),
        ("[::1]:8080", True),
        ("acme.com", True),
        ("ACME.com.:8080", True),
        ("reports.acme.com", True),
        ("evil.example", False),
        ("evil.example:8080", False),
        ("acme.com.evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
    ],
)
async def test_a_name_that_no_router_has_reads_nothing(server: Server, host: str, allowed: bool) -> None:
    for path in ("/api/rawdata", "/dashboard/", "/api/nothing"):
        status, _, _ = await server.ask(path, Host=host)
        assert (status != 403) is allowed


async def test_the_host_check_follows_the_routers(server: Server) -> None:
    assert (await server.ask("/api/version", Host="acme.com"))[0] == 200
    server.picture.view = View()
    assert (await server.ask("/api/version", Host="acme.com"))[0] == 403


@pytest.mark.parametrize(
    ("base", "path", "prefix", "location"),
    [
        ("/", "/", "", "/dashboard/"),
        ("/", "/dashboard", "", "/dashboard/"),
        ("/edge", "/edge/", "", "/edge/dashboard/"),
        ("/edge", "/edge", "", "/edge/dashboard/"),
        ("/", "/", "/outer", "/outer/dashboard/"),
        ("/", "/", "/outer/", "/outer/dashboard/"),
        ("/", "/", "//evil.example", "/dashboard/"),
        ("/", "/", "https://evil.example", "/dashboard/"),
    ],
)
async def test_the_way_to_the_dashboard(base: str, path: str, prefix: str, location: str) -> None:
    async with Server(Picture(sample_view()), StaticConfiguration(api=Api(base_path=base))) as made:
        headers = {"X_Forwarded_Prefix": prefix} if prefix else {}
        status, _, fields = await made.ask(path, **headers)
        assert (status, fields["Location"]) == (302, location)
        status, body, _ = await made.ask(f"{base.rstrip('/')}/dashboard/")
        assert status == 200 and b"<title>EdgeRouter</title>" in body
        assert (await made.ask(f"{base.rstrip('/')}/api/version"))[0] == 200


@pytest.mark.parametrize(
    ("static", "path", "status"),
    [
        (StaticConfiguration(), "/api/version", 404),
        (StaticConfiguration(), "/dashboard/", 404),
        (StaticConfiguration(api=Api(dashboard=False)), "/dashboard/", 404),
        (StaticConfiguration(api=Api(dashboard=False)), "/api/version", 200),
        (StaticConfiguration(metrics=Metrics(prometheus=None)), "/metrics", 404),
    ],
)
async def test_what_is_off_is_not_there(static: StaticConfiguration, path: str, status: int) -> None:
    registry = MetricsRegistry(CounterReader(), Facts)
    async with Server(Picture(), static, registry) as made:
        assert (await made.ask(path))[0] == status


async def test_metrics_and_traffic() -> None:
    fd = new_memory(0)
    memory = CounterMemory(fd)
    memory.add(1 | 1 << 8 | 200 << 24, 1, 1, 1, 0, 5, 0.01, 0)
    memory.add(1 | 1 << 8 | 502 << 24, 1, 1, 1, 0, 5, 0.01, 0)
    memory.connections(1, 1)
    reader = CounterReader()
    reader.attach(0, fd)
    registry = MetricsRegistry(reader, lambda: Facts(entrypoints={1: "web"}, services={1: "catalog@docker"}))
    async with Server(Picture(sample_view()), StaticConfiguration(api=Api()), registry) as made:
        status, page, headers = await made.ask("/metrics", Host="edgerouter.monitoring.svc")
        assert status == 200 and headers["Content-Type"].startswith("text/plain")
        assert (
            b'edgerouter_service_requests_total{code="502",method="GET",protocol="http",service="catalog@docker"} 1'
            in page
        )
        _, body, _ = await made.ask("/api/present")
        assert body["traffic"] == {
            "routers": {"catalog@docker": [2, 1]},
            "connections": {"web": 1, "websecure": 0, "traefik": 0},
        }
    reader.detach(0)
    os.close(fd)


async def test_the_page_is_told_when_nothing_changed(server: Server) -> None:
    _, _, headers = await server.ask("/api/present")
    assert (await server.ask("/api/present", If_None_Match=headers["ETag"]))[:2] == (304, b"")
    server.picture.view = msgspec.structs.replace(server.picture.view, generation=99)
    deadline = asyncio.get_running_loop().time() + 10
    status = 304
    while status == 304 and asyncio.get_running_loop().time() < deadline:
        status, body, _ = await server.ask("/api/present", If_None_Match=headers["ETag"])
    assert (status, body["generation"]) == (200, 99)


async def test_over_a_unix_socket(tmp_path: Any) -> None:
    """As workers reach it: the Host field is the client's."""
    runner = web.AppRunner(make_app(Picture(sample_view()), None, STATIC))
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "control.sock")).start()
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control.sock"))
    writer.write(b"GET /api/version HTTP/1.1\r\nHost: acme.com\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await runner.cleanup()
    assert answer.startswith(b"HTTP/1.1 200 ") and b'"Version":"' in answer
