"""The middlewares that work on bodies and answers, through a router as it is started: one process, one row each; and
what they hold in memory when clients are slow."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import brotli
import pytest
from live.toolbox import Reply, Router, fetch

MB = 1 << 20
TEXT = b"All work and no play makes Jack a dull boy.\n"
RELEASE = threading.Event()


class Server(BaseHTTPRequestHandler):
    """Says by query what it answers: ``size``, ``status``, ``type``, ``cache``; ``/events`` waits between two events,
    ``/socket`` echoes after an upgrade. Without any of these, the request as JSON."""

    protocol_version = "HTTP/1.1"
    counts: dict[str, int] = {}

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        host = self.headers["Host"]
        self.counts[host] = self.counts.get(host, 0) + 1
        if url.path.endswith("/events"):
            self._events()
        elif url.path.endswith("/socket"):
            self._socket()
        else:
            self._answer(query, body)

    do_POST = do_GET

    def _answer(self, query: dict[str, str], body: bytes) -> None:
        self.send_response(int(query.get("status", "200")))
        size = int(query.get("size", "0"))
        said = {"path": self.path, "method": self.command, "headers": list(self.headers.items()), "length": len(body)}
        text = json.dumps(said).encode()
        if "type" not in query or query["type"]:
            self.send_header("Content-Type", query.get("type", "application/json"))
        if "cache" in query:
            self.send_header("Cache-Control", query["cache"])
        self.send_header("Content-Length", str(size or len(text)))
        self.end_headers()
        if not size:
            self.wfile.write(text)
            return
        piece = (TEXT * 2000)[:65536]
        while size > 0:
            self.wfile.write(piece[:size])
            size -= len(piece)

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: 1\n\n")
        RELEASE.wait(30)
        self.wfile.write(b"data: 2\n\n")
        self.close_connection = True

    def _socket(self) -> None:
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while data := self.connection.recv(65536):
            self.connection.sendall(data.upper())
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


MIDDLEWARES: dict[str, dict[str, Any]] = {
    "compress": {"compress": {}},
    "bounded": {"buffering": {"maxRequestBodyBytes": 1000, "maxResponseBodyBytes": 100_000}},
    "disk": {"buffering": {"memRequestBodyBytes": 1000, "memResponseBodyBytes": 65536}},
    "errors": {"errors": {"status": ["500-599"], "service": "app", "query": "/page/{status}?u={url}"}},
    "pages": {"errorPages": {"status": ["400-599"]}},
    "respond": {"respond": {"status": 418, "body": "short and stout", "headers": {"X-Own": "1"}}},
    "id": {"requestId": {}},
    "closed": {"maintenance": {"retryAfter": "90s", "page": "<h1>later"}},
    "open": {"maintenance": {"allow": ["127.0.0.1/32"]}},
    "type": {"contentType": {}},
    "cache": {"responseCache": {}},
    "large": {"responseCache": {"maxEntryBytes": 8 * MB, "maxBytes": 32 * MB}},
    "broken": {"compress": {"encodings": ["lzma"]}},
}
CHAINS = {
    "default": [],
    "none": ["!*"],
    "some": ["!compress@default"],
    "both": ["compress", "disk"],
}


def configuration(url: str) -> dict[str, Any]:
    lists = {**{name: [name, "!*"] for name in MIDDLEWARES}, **CHAINS}
    routers = {
        name: {"rule": f"Host(`{name}.test`)", "service": "app", "middlewares": listed, "entryPoints": ["web"]}
        for name, listed in lists.items()
    }
    services = {"app": {"loadBalancer": {"servers": [{"url": url}]}}}
    return {"http": {"routers": routers, "services": services, "middlewares": MIDDLEWARES}}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder: Path = tmp_path_factory.mktemp("bodies")
    http = {"defaultMiddlewares": ["web@preset"]}
    static = {"entryPoints": {"web": {"http": http}}, "api": {"insecure": True}}
    try:
        with Router(folder, configuration(f"http://127.0.0.1:{server.server_address[1]}"), static) as made:
            yield made
    finally:
        server.shutdown()
        server.server_close()


async def ask(router: Router, name: str, path: str = "/", **more: Any) -> Reply:
    return await fetch(router.port("web"), path, f"{name}.test", **more)


# name, path, what else is asked, status, fields, what the body must hold
ROWS: list[tuple[str, str, dict[str, Any], int, dict[str, str | None], bytes]] = [
    ("compress", "/?size=50000", {}, 200, {"content-encoding": None, "vary": "Accept-Encoding"}, TEXT),
    ("bounded", "/", {"method": "POST", "body": b"x" * 1000}, 200, {}, b'"length": 1000'),
    ("bounded", "/", {"method": "POST", "body": b"x" * 1001}, 413, {}, b"Too Large"),
    ("bounded", "/?size=100001", {}, 500, {}, b"Internal Server Error"),
    ("disk", "/?size=3000000", {"method": "POST", "body": b"x" * 300_000}, 200, {"content-length": "3000000"}, TEXT),
    ("disk", "/", {"method": "POST", "body": b"x" * 300_000}, 200, {}, b'"length": 300000'),
    ("errors", "/a?status=503", {}, 503, {}, b'"path": "/page/503?u=%2Fa%3Fstatus%3D503"'),
    ("errors", "/a?status=404", {}, 404, {}, b'"path": "/a?status=404"'),
    ("pages", "/?status=404", {}, 404, {"content-type": "text/html; charset=utf-8"}, b"<h1>404 Not Found</h1>"),
    ("pages", "/?status=503", {"headers": {"Accept": "application/json"}}, 503, {}, b'"status":503'),
    ("respond", "/", {}, 418, {"x-own": "1"}, b"short and stout"),
    ("closed", "/", {}, 503, {"retry-after": "90", "cache-control": "no-store"}, b"<h1>later"),
    ("open", "/", {}, 200, {}, b'"path": "/"'),
    ("type", "/?type=&size=100", {}, 200, {"content-type": "text/plain; charset=utf-8"}, TEXT),
    ("broken", "/", {"headers": {"Accept": "application/json"}}, 500, {}, b'"cause":"BAD_CONFIG"'),
    ("default", "/", {}, 200, {"x-frame-options": "SAMEORIGIN", "vary": "Accept-Encoding"}, b"X-Request-Id"),
    ("some", "/", {}, 200, {"x-frame-options": "SAMEORIGIN", "vary": None}, b"X-Request-Id"),
    ("none", "/", {}, 200, {"x-frame-options": None, "vary": None, "x-request-id": None}, b'"path"'),
]


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}-{row[0]}" for number, row in enumerate(ROWS)])
async def test_rows(router: Router, row: tuple[str, str, dict[str, Any], int, dict[str, str | None], bytes]) -> None:
    name, path, more, status, fields, text = row
    reply = await ask(router, name, path, **more)
    assert reply.status == status
    assert {field: reply.headers.get(field) for field in fields} == fields
    assert text in reply.body


@pytest.mark.parametrize(("coding", "plain"), [("gzip", gzip.decompress), ("br", brotli.decompress), ("zstd", None)])
async def test_codings(router: Router, coding: str, plain: Any) -> None:
    for name in ("compress", "both", "default"):
        direct = await ask(router, "none", "/?size=300000")
        reply = await ask(router, name, "/?size=300000", headers={"Accept-Encoding": coding})
        assert reply.headers["content-encoding"] == coding and len(reply.body) < 30_000
        assert plain is None or plain(reply.body) == direct.body


async def test_the_id_is_the_same_everywhere(router: Router) -> None:
    reply = await ask(router, "id", headers={"X-Request-Id": "forged"})
    sent = [value for name, value in reply.json()["headers"] if name == "X-Request-Id"]
    assert sent == [reply.headers["x-request-id"]] and sent != ["forged"]


async def test_the_cache(router: Router) -> None:
    path = "/?cache=max-age%3D60"
    replies = [await ask(router, "cache", path) for _ in range(5)]
    assert [reply.headers["cache-status"].split("; ")[1] for reply in replies] == ["fwd=uri-miss", *["hit"] * 4]
    assert Server.counts["cache.test"] == 1 and len({reply.body for reply in replies}) == 1
    poison = {"X-Original-URL": "/admin", "X-Forwarded-Host": "evil.test"}
    assert "bypass" in (await ask(router, "cache", path, headers=poison)).headers["cache-status"]
    assert (await ask(router, "cache", path)).body == replies[0].body


@pytest.mark.parametrize("name", ["compress", "disk", "bounded", "both", "cache", "default", "type", "pages"])
async def test_event_streams_and_sockets_are_never_held_back(router: Router, name: str) -> None:
    RELEASE.clear()
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port("web"))
        writer.write(f"GET /events HTTP/1.1\r\nHost: {name}.test\r\nAccept: text/event-stream\r\n\r\n".encode())
        await reader.readuntil(b"data: 1\n\n")
        RELEASE.set()
        await reader.readuntil(b"data: 2\n\n")
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port("web"))
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n"
        writer.write(f"GET /socket HTTP/1.1\r\nHost: {name}.test\r\nAccept-Encoding: gzip\r\n{upgrade}".encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        for word in (b"hello", b"again"):
            writer.write(word)
            assert await reader.readexactly(5) == word.upper()
        writer.close()


async def test_the_api_shows_the_chain(router: Router) -> None:
    found = (await fetch(router.port("traefik"), "/api/http/routers/some@file")).json()
    assert [(link["name"], link["origin"], "leftOut" in link) for link in found["chain"]] == [
        ("request-id@preset", "default of entryPoint web", False),
        ("security-headers@preset", "default of entryPoint web", False),
        ("compress@preset", "default of entryPoint web", True),
    ]


# -- memory ------------------------------------------------------------------------------------------------------------

CLIENTS, EACH = 40, 8 * MB
BOUND = 150 * MB  # under half of what is on its way; the full size stands in benchmarks/bodies.py


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize(
    ("name", "fields", "query"),
    [
        ("compress", "Accept-Encoding: zstd\r\n", ""),
        ("compress", "Accept-Encoding: br\r\n", ""),
        ("disk", "", ""),
        ("large", "", "&cache=max-age%3D60"),
        ("large", "", "&cache=max-age%3D60&n={number}"),  # as many fills as clients
    ],
)
async def test_slow_readers_do_not_fill_memory(router: Router, name: str, fields: str, query: str) -> None:
    """All clients ask, and read nothing until the router has stopped growing; then all get the whole."""
    pid = router.worker_pids()[0]
    before = resident(pid)
    streams = []
    async with asyncio.timeout(120):
        for number in range(CLIENTS):
            path = f"/?size={EACH}{query.format(number=number)}"
            reader, writer = await asyncio.open_connection("127.0.0.1", router.port("web"), limit=4096)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}.test\r\n{fields}Connection: close\r\n\r\n".encode())
            streams.append((reader, writer))
        highest = await settled(pid)
        assert highest - before < BOUND, f"{(highest - before) // MB} MB"
        sizes = [asyncio.create_task(drained(*stream)) for stream in streams]
        found = await asyncio.gather(*sizes)
    assert len(set(found)) == 1 and found[0] > 0
    assert name == "compress" or found[0] == EACH
    assert (await ask(router, "none")).status == 200


async def settled(pid: int) -> int:
    """The most memory that the worker had until it grew no more for a second."""
    highest, since = 0, time.monotonic()
    while time.monotonic() - since < 1.0:
        now = resident(pid)
        if now > highest + MB:
            highest, since = now, time.monotonic()
        await asyncio.sleep(0.02)
    return highest


async def drained(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Bytes of the body."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = 0
    if b"Transfer-Encoding" in head:
        while length := int(await reader.readuntil(b"\r\n"), 16):
            size += len(await reader.readexactly(length))
            await reader.readexactly(2)
    else:
        while data := await reader.read(65536):
            size += len(data)
    writer.close()
    return size
