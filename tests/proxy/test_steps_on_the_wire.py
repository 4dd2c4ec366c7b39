"""Middlewares of the product in a real engine: what servers and clients see."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from proxy_rig import Rig, RoundRobin, Serve, answering
from steps import Clock, make

from edgerouter.contracts.plugins import Middleware

GET = b"GET /api/x?y HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"
PUT = b"PUT /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
POST = PUT.replace(b"PUT", b"POST")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"


@contextlib.asynccontextmanager
async def running(*serves: Serve, steps: list[Middleware]) -> AsyncIterator[Rig]:
    rig = await Rig.start(*serves, steps=steps)
    try:
        yield rig
    finally:
        await rig.stop()


async def closed_port() -> int:
    probe = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port: int = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    return port


def in_turn(*responses: bytes, log: list[bytes]) -> Serve:
    """As ``answering``, but the turn goes over all connections: sending again takes a fresh one."""
    left = list(responses)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            log.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()

    return serve


def status_of(data: bytes) -> int:
    return int(data.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("options", "raw", "status", "tries"),
    [
        ({"attempts": 3, "status": ["500-599"]}, GET, 200, 3),
        ({"attempts": 3, "status": ["503"], "initialInterval": "2ms"}, PUT, 200, 3),
        ({"attempts": 2, "status": ["503"]}, GET, 503, 2),
        ({"attempts": 1, "status": ["503"]}, GET, 503, 1),
        ({"attempts": 3, "status": ["502"]}, GET, 503, 1),
        ({"attempts": 3}, GET, 503, 1),
        ({"attempts": 3, "status": ["503"]}, POST, 503, 1),
        ({"attempts": 3, "status": ["503"], "retryNonIdempotentMethod": True}, POST, 200, 3),
        ({"attempts": 3, "status": ["503"], "initialInterval": "1s", "timeout": "10ms"}, GET, 503, 1),
    ],
)
async def test_retry_by_status(options: dict[str, Any], raw: bytes, status: int, tries: int) -> None:
    log: list[bytes] = []
    async with running(in_turn(BUSY, BUSY, OK, log=log), steps=[make("retry", options)]) as rig:
        assert status_of(await rig.ask(raw)) == status
        assert len(log) == tries
        assert rig.records[0].retries == tries - 1


@pytest.mark.parametrize(("options", "status"), [({}, 200), ({"disableRetryOnNetworkError": True}, 502)])
async def test_retry_when_no_server_was_reached(options: dict[str, Any], status: int) -> None:
    """The server comes up between two attempts; a POST is tried again, since nothing of it was written."""
    step: Any = make(
        "retry", {"attempts": 200, "initialInterval": "1ms", "timeout": "5s", "status": ["500"], **options}
    )
    log: list[bytes] = []
    port = await closed_port()
    async with running(steps=[step]) as rig:
        rig.add_server(port)
        asked = asyncio.create_task(rig.ask(POST))
        await rig.until(lambda: rig.engine.in_flight == 1 or bool(rig.records))
        late = await asyncio.start_server(answering(OK, log=log), "127.0.0.1", port)
        rig.upstreams.append(late)
        assert status_of(await asked) == status
        assert len(log) == (1 if status == 200 else 0)


async def test_breaker_trips_answers_at_once_and_recovers() -> None:
    clock = Clock()
    log: list[bytes] = []
    breaker = make("circuitBreaker", {"expression": "NetworkErrorRatio() > 0.5"}, now=clock)
    async with running(steps=[breaker]) as rig:
        dead = rig.add_server(await closed_port())
        assert status_of(await rig.ask(GET)) == 502
        answers = [await rig.ask(GET) for _ in range(3)]
        assert [status_of(data) for data in answers] == [503] * 3
        assert answers[0].endswith(b"\r\n\r\nService Unavailable")
        assert [record.cause for record in rig.records] == ["CONNECT_REFUSED", *["BREAKER_OPEN"] * 3]
        rig.servers.remove(dead)
        await rig.add_upstream(answering(OK, log=log))
        clock.seconds += 10.1
        assert status_of(await rig.ask(GET)) == 503
        clock.seconds += 9.9
        assert [status_of(await rig.ask(GET)) for _ in range(2)] == [503, 200], "a growing share: now nearly all"
        clock.seconds += 0.2
        assert [status_of(await rig.ask(GET)) for _ in range(3)] == [200] * 3
        assert len(log) == 4


async def test_breaker_lets_another_service_answer() -> None:
    options = {"expression": "ResponseCodeRatio(500, 600, 0, 600) > 0", "fallbackService": "spare@test"}
    clock = Clock()
    async with running(answering(BUSY), steps=[make("circuitBreaker", options, now=clock)]) as rig:
        spare = await rig.add_upstream(answering(OK))
        rig.servers.remove(spare)
        rig.services["spare@test"] = RoundRobin("spare@test", [spare])
        assert (await rig.ask(GET)).endswith(b"busy")
        data = await rig.ask(GET)
        assert (status_of(data), data[-2:]) == (200, b"ok")
        assert [record.cause for record in rig.records] == ["", ""]


async def test_paths_and_headers_arrive_as_edited() -> None:
    log: list[bytes] = []
    steps = [
        make("stripPrefix", {"prefixes": ["/api"]}),
        make("addPrefix", {"prefix": "/v2"}),
        make(
            "headers",
            {
                "customRequestHeaders": {"X-Forwarded-For": "", "Host": "inner.test", "X-A": "1"},
                "customResponseHeaders": {"X-B": "2"},
            },
        ),
    ]
    async with running(answering(OK, log=log), steps=steps) as rig:
        data = await rig.ask(GET)
        assert b"\r\nX-B: 2\r\n" in data
        lines = log[0].split(b"\r\n")
        assert lines[0] == b"GET /v2/x?y HTTP/1.1"
        assert {b"Host: inner.test", b"X-Forwarded-Prefix: /api", b"X-A: 1"} <= set(lines)
        assert not any(line.startswith(b"X-Forwarded-For") for line in lines)


@pytest.mark.parametrize(
    ("kind", "options", "status"),
    [
        ("stripPrefix", {"prefixes": ["/ap"]}, 200),
        ("stripPrefix", {"prefixes": ["/api/x"]}, 200),
        ("redirectScheme", {"scheme": "https"}, 302),
    ],
)
async def test_answers(kind: str, options: dict[str, Any], status: int) -> None:
    async with running(answering(OK), steps=[make(kind, options)]) as rig:
        assert status_of(await rig.ask(GET)) == status
