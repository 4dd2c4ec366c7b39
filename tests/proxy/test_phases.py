"""The contract of phases (DESIGN section 4) over real sockets: which step is called when, what clients and servers see.

Steps write down their calls (see ``tests/middlewares/toys.py``). ``end`` calls are compared apart, since no order is
promised for them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from proxy_rig import Rig, RoundRobin, Serve
from toys import (
    Answers,
    Awaits,
    Buffering,
    Edits,
    Errors,
    Fails,
    Filters,
    Mirroring,
    Needs,
    Resends,
    Retry,
    Toy,
)

from edgerouter.contracts.plugins import Middleware, Server
from edgerouter.errors import BadRequest

GET = b"GET /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = POST.replace(b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
BROKEN = RuntimeError("broken")

Log = list[str]
Steps = Callable[[Log], list[Middleware]]


def reply(status: int, body: bytes = b"", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Text\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body)


def upstream(*replies: bytes, seen: list[tuple[bytes, bytes]] | None = None) -> Serve:
    """A server that reads each request with its body, and gives the next reply, the last one again and again."""
    left = list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await body_of(head.lower(), reader)
            if seen is not None:
                seen.append((head, body))
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()

    return serve


async def body_of(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if b"\r\ncontent-length:" in head:
        return await reader.readexactly(int(head.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0]))
    data = b""
    if b"\r\ntransfer-encoding:" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            data += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    return data


@contextlib.asynccontextmanager
async def running(*serves: Serve, steps: list[Middleware] | None = None) -> AsyncIterator[Rig]:
    rig = await Rig.start(*serves, steps=steps)
    try:
        yield rig
    finally:
        await rig.stop()


async def add_service(rig: Rig, name: str, serve: Serve) -> Server:
    """Another service that steps can name."""
    server = await rig.add_upstream(serve)
    rig.servers.remove(server)
    rig.services[name] = RoundRobin(name, [server])
    return server


def status_of(data: bytes) -> int:
    return int(data.split(b" ", 2)[1])


def payload(data: bytes) -> bytes:
    return data.split(b"\r\n\r\n", 1)[1]


ORDER: list[tuple[str, Steps, int, str, str]] = [
    ("in and out", lambda g: [Toy("a", g), Toy("b", g)], 200, "a.in b.in b.out:200 a.out:200", "a b"),
    ("no steps", lambda g: [], 200, "", ""),
    (
        "the step that answers is not asked about its answer",
        lambda g: [Toy("a", g), Answers("b", g), Toy("c", g)],
        299,
        "a.in b.in a.out:299",
        "a b",
    ),
    ("the first answers", lambda g: [Answers("a", g), Toy("b", g)], 299, "a.in", "a"),
    (
        "it may answer later",
        lambda g: [Toy("a", g), Answers("b", g, later=True), Toy("c", g)],
        299,
        "a.in b.in a.out:299",
        "a b",
    ),
    (
        "awaiting steps keep the order",
        lambda g: [Awaits("a", g), Toy("b", g), Awaits("c", g)],
        200,
        "a.waits a.in b.in c.waits c.in c.waits c.out:200 b.out:200 a.waits a.out:200",
        "a b c",
    ),
    (
        "a failing step is an answer of 500",
        lambda g: [Toy("a", g), Fails("b", g, "request", BROKEN), Toy("c", g)],
        500,
        "a.in b.in a.out:500",
        "a b",
    ),
    (
        "a failure of the house keeps its status",
        lambda g: [Toy("a", g), Fails("b", g, "request", BadRequest("no"))],
        400,
        "a.in b.in a.out:400",
        "a b",
    ),
    (
        "a step may fail later",
        lambda g: [Toy("a", g), Fails("b", g, "request", BROKEN, later=True)],
        500,
        "a.in b.in a.out:500",
        "a b",
    ),
    (
        "failing on the way out",
        lambda g: [Toy("a", g), Fails("b", g, "response", BROKEN), Toy("c", g)],
        500,
        "a.in b.in c.in c.out:200 b.out:200 a.out:500",
        "a b c",
    ),
    (
        "failing later on the way out",
        lambda g: [Toy("a", g), Fails("b", g, "response", BROKEN, later=True)],
        500,
        "a.in b.in b.out:200 a.out:500",
        "a b",
    ),
    (
        "failing at the end spoils nobody's end",
        lambda g: [Toy("a", g), Fails("b", g, "end", BROKEN), Toy("c", g)],
        200,
        "a.in b.in c.in c.out:200 b.out:200 a.out:200",
        "a b c",
    ),
    (
        "outer steps see what inner ones made of the response",
        lambda g: [Toy("a", g), Edits("b", g, 201), Toy("c", g)],
        201,
        "a.in b.in c.in c.out:200 b.out:200 a.out:201",
        "a b c",
    ),
]


@pytest.mark.parametrize(("why", "steps", "status", "calls", "ends"), ORDER, ids=[row[0] for row in ORDER])
async def test_order(why: str, steps: Steps, status: int, calls: str, ends: str) -> None:
    log: Log = []
    async with running(upstream(reply(200, b"ok")), steps=steps(log)) as rig:
        data = await rig.ask(GET)
        await rig.until(lambda: len(rig.records) == 1)
        assert status_of(data) == status
        assert [call for call in log if not call.endswith(".end")] == calls.split()
        assert sorted(call for call in log if call.endswith(".end")) == [f"{name}.end" for name in ends.split()]
        assert rig.records[0].status == status
        assert all(server.in_flight == 0 for server in rig.servers)


async def test_a_broken_step_is_named() -> None:
    log: Log = []
    async with running(upstream(reply(200)), steps=[Fails("a", log, "request", BROKEN)]) as rig:
        await rig.ask(GET)
        assert rig.records[0].cause == "MIDDLEWARE_FAILED"
        assert "broken" in rig.records[0].exchange.detail


async def test_failures_are_responses_before_the_walk_back() -> None:
    log: Log = []
    async with running(steps=[Toy("a", log), Edits("b", log)]) as rig:
        no_server = await rig.ask(GET)
        probe = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = probe.sockets[0].getsockname()[1]
        probe.close()
        await probe.wait_closed()
        rig.add_server(port)
        refused = await rig.ask(GET)
        assert [status_of(no_server), status_of(refused)] == [503, 502]
        assert b"X-Edit: b\r\n" in no_server and b"X-Edit: b\r\n" in refused
        assert [record.cause for record in rig.records] == ["NO_SERVER", "CONNECT_REFUSED"]
        assert [call for call in log if "out" in call] == ["b.out:503", "a.out:503", "b.out:502", "a.out:502"]


async def test_a_client_that_left_skips_to_the_end() -> None:
    log: Log = []
    asked = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async with running(never, steps=[Toy("a", log), Toy("b", log)]) as rig:
        _, writer = await rig.connect()
        writer.write(GET.replace(b"Connection: close\r\n", b""))
        await asyncio.wait_for(asked.wait(), 5)
        writer.close()
        await rig.until(lambda: len(rig.records) == 1)
        assert sorted(log) == ["a.end", "a.in", "b.end", "b.in"]
        assert (rig.records[0].status, rig.records[0].cause) == (499, "CLIENT_GONE")


async def test_edits_go_both_ways_in_order() -> None:
    log: Log = []
    seen: list[tuple[bytes, bytes]] = []
    steps: list[Middleware] = [Edits("a", log), Edits("b", log)]
    async with running(upstream(reply(200, b"ok", b"X-Edit: server\r\n"), seen=seen), steps=steps) as rig:
        data = await rig.ask(GET)
        assert [line for line in seen[0][0].split(b"\r\n") if b"Edit" in line] == [b"X-Edit: a", b"X-Edit: b"]
        assert [line for line in data.split(b"\r\n") if b"Edit" in line] == [
            b"X-Edit: server",
            b"X-Edit: b",
            b"X-Edit: a",
        ]


async def test_steps_of_a_service_run_inside_of_the_router_s() -> None:
    log: Log = []
    async with running(upstream(reply(200, b"ok")), steps=[Toy("router", log)]) as rig:
        rig.service.steps = [Toy("service", log)]
        await rig.ask(GET)
        await rig.until(lambda: len(rig.records) == 1)
        assert log[:4] == ["router.in", "service.in", "service.out:200", "router.out:200"]
        assert sorted(log[4:]) == ["router.end", "service.end"]


# -- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "limit", "status", "calls", "arrived"),
    [
        (POST, 5, 200, ["a.in", "n.in:hello", "a.out:200"], [b"hello"]),
        (CHUNKED, 5, 200, ["a.in", "n.in:hello", "a.out:200"], [b"hello"]),
        (GET, 5, 200, ["a.in", "n.in:", "a.out:200"], [b""]),
        (POST, 4, 413, ["a.in", "a.out:413"], []),
        (CHUNKED, 4, 413, ["a.in", "a.out:413"], []),
    ],
)
async def test_needs_body(raw: bytes, limit: int, status: int, calls: list[str], arrived: list[bytes]) -> None:
    log: Log = []
    seen: list[tuple[bytes, bytes]] = []
    steps: list[Middleware] = [Toy("a", log), Needs("n", log, limit)]
    async with running(upstream(reply(200, b"ok"), seen=seen), steps=steps) as rig:
        assert status_of(await rig.ask(raw)) == status
        await rig.until(lambda: len(rig.records) == 1)
        assert [call for call in log if not call.endswith(".end") and call != "n.out:200"] == calls
        assert [body for _, body in seen] == arrived
        assert log.count("a.end") == 1
        assert rig.records[0].cause == ("BODY_TOO_LARGE" if status == 413 else "")


@pytest.mark.parametrize(
    ("raw", "answer", "arrived", "received"),
    [
        (POST, reply(200, b"ok"), b"HELLO<b><A>", b"OK<B><a>"),
        (CHUNKED, reply(200, b"ok"), b"HELLO<b><A>", b"OK<B><a>"),
        (GET, reply(200, b"ok"), b"", b"OK<B><a>"),
        (GET, reply(204), b"", b""),
        (GET, b"HTTP/1.1 304 Not Modified\r\n\r\n", b"", b""),
        (b"HEAD" + GET[3:], b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"", b""),
    ],
)
async def test_filters(raw: bytes, answer: bytes, arrived: bytes, received: bytes) -> None:
    """The request passes a, then b; the response b, then a. Nobody is asked where no body can be."""
    log: Log = []
    seen: list[tuple[bytes, bytes]] = []
    steps: list[Middleware] = [Filters("a", log), Filters("b", log)]
    async with running(upstream(answer, seen=seen), steps=steps) as rig:
        data = await rig.ask(raw)
        body = payload(data)
        if b"chunked" in data.lower():
            body = b"".join(body.split(b"\r\n")[1::2])
        expected = arrived.replace(b"<b><A>", b"<A><b>")
        assert (seen[0][1], body) == (expected, received)
        assert ("a.filters-request" in log) == bool(arrived)
        assert ("a.filters-response" in log) == bool(received)


async def test_filters_and_steps_leave_a_tunnel_alone() -> None:
    log: Log = []

    async def switch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        while data := await reader.read(100):
            writer.write(data)

    async with running(switch, steps=[Filters("a", log)]) as rig:
        reader, writer = await rig.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 101")
        writer.write(b"quiet")
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"quiet"
        assert log == ["a.in", "a.out:101"]
        writer.close()
        await rig.until(lambda: len(rig.records) == 1)
        assert log == ["a.in", "a.out:101", "a.end"]


async def test_trailers_reach_the_steps_inside_out() -> None:
    log: Log = []
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
    async with running(upstream(answer), steps=[Filters("a", log), Filters("b", log)]) as rig:
        data = await rig.ask(GET.replace(b"Connection", b"TE: trailers\r\nConnection"))
        assert data.endswith(b"0\r\nX-Sum: 1\r\nX-Trailer: b\r\nX-Trailer: a\r\n\r\n")


async def test_interim_responses_pass_by_all_steps() -> None:
    log: Log = []
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + reply(200, b"ok")
    async with running(upstream(answer), steps=[Toy("a", log)]) as rig:
        data = await rig.ask(GET)
        assert data.startswith(b"HTTP/1.1 103") and b"HTTP/1.1 200" in data
        assert [call for call in log if "out" in call] == ["a.out:200"]


# -- resend --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "keep", "again", "bodies"),
    [
        (GET, 0, True, [b"", b""]),
        (POST, 5, True, [b"hello", b"hello"]),
        (CHUNKED, 5, True, [b"hello", b"hello"]),
        (POST, 0, False, [b"hello"]),
        (POST, 4, False, [b"hello"]),
        (CHUNKED, 4, False, [b"hello"]),
    ],
)
async def test_resend(raw: bytes, keep: int, again: bool, bodies: list[bytes]) -> None:
    """Granted when the body can be given again; else the response at hand stays."""
    log: Log = []
    seen: list[tuple[bytes, bytes]] = []
    steps: list[Middleware] = [Toy("a", log), Resends("r", log, keep=keep), Toy("c", log)]
    async with running(upstream(reply(503, b"first"), reply(200, b"second"), seen=seen), steps=steps) as rig:
        data = await rig.ask(raw)
        await rig.until(lambda: len(rig.records) == 1)
        first = ["a.in", "r.in", "c.in", "c.out:503", "r.out:503"]
        status = 200 if again else 503
        assert status_of(data) == status
        repeated = ["c.in", f"c.out:{status}", f"r.out:{status}"] if again else []
        assert [call for call in log if not call.endswith(".end")] == [*first, *repeated, f"a.out:{status}"]
        assert sorted(call for call in log if call.endswith(".end")) == ["a.end", "c.end", "r.end"]
        assert [body for _, body in seen] == bodies
        assert rig.records[0].retries == (1 if again else 0)
        assert all(server.in_flight == 0 for server in rig.servers)


async def test_resend_to_another_service_and_to_none() -> None:
    log: Log = []
    async with running(upstream(reply(500, b"bad")), steps=[Resends("r", log, service="spare@test")]) as rig:
        assert payload(await rig.ask(GET)) == b"bad", "there is no such service: the response at hand stays"
    async with running(upstream(reply(500, b"bad")), steps=[Resends("r", log, service="spare@test")]) as rig:
        await add_service(rig, "spare@test", upstream(reply(200, b"spare")))
        assert payload(await rig.ask(GET)) == b"spare"


async def test_resend_after_a_failure() -> None:
    log: Log = []
    async with running(steps=[Resends("r", log, service="spare@test", keep=10)]) as rig:
        seen: list[tuple[bytes, bytes]] = []
        await add_service(rig, "spare@test", upstream(reply(200, b"spare"), seen=seen))
        assert payload(await rig.ask(POST)) == b"spare"
        assert seen[0][1] == b"hello"
        assert (rig.records[0].status, rig.records[0].cause) == (200, "")


async def test_a_step_of_a_service_ends_once_though_it_ran_twice() -> None:
    log: Log = []
    async with running(upstream(reply(503), reply(200)), steps=[Resends("r", log)]) as rig:
        rig.service.steps = [Toy("s", log)]
        await rig.ask(GET)
        await rig.until(lambda: len(rig.records) == 1)
        assert log.count("s.in") == 2
        assert log.count("r.end") == 1


# -- four plugins in small -------------------------------------------------------------------------------------------


async def test_retry() -> None:
    seen: list[tuple[bytes, bytes]] = []
    flaky = upstream(reply(503), reply(503), reply(200, b"ok"), seen=seen)
    async with running(flaky, steps=[Retry(3, {503})]) as rig:
        assert payload(await rig.ask(POST)) == b"ok"
        assert [body for _, body in seen] == [b"hello"] * 3
    async with running(upstream(reply(503)), steps=[Retry(2, {503})]) as rig:
        assert status_of(await rig.ask(POST)) == 503
        assert rig.records[0].retries == 1


async def test_errors() -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with running(upstream(reply(500, b"x" * 300_000)), steps=[Errors("pages@test")]) as rig:
        await add_service(rig, "pages@test", upstream(reply(200, b"sorry"), seen=seen))
        data = await rig.ask(GET)
        assert (status_of(data), payload(data)) == (500, b"sorry")
        assert seen[0][0].startswith(b"GET /500.html HTTP/1.1\r\n")
        assert [record.status for record in rig.records] == [500]


async def test_a_response_that_a_step_replaced_is_let_go() -> None:
    """Its server is free again, and its connection, in the midst of a body that nobody reads, is closed."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Bad\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 1_000_000)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with running(serve, steps=[Errors("pages@test")]) as rig:
        await add_service(rig, "pages@test", upstream(reply(200, b"sorry")))
        assert payload(await rig.ask(GET)) == b"sorry"
        await asyncio.wait_for(gone.wait(), 5)
        await rig.until(lambda: rig.servers[0].in_flight == 0)


async def test_side_requests_leave_their_server() -> None:
    async with running(upstream(reply(500)), steps=[Errors("pages@test"), Mirroring("mirror@test")]) as rig:
        pages = await add_service(rig, "pages@test", upstream(reply(200, b"sorry")))
        mirror = await add_service(rig, "mirror@test", upstream(reply(200, b"dropped")))
        for _ in range(3):
            assert payload(await rig.ask(GET)) == b"sorry"
        await rig.until(lambda: pages.in_flight == 0 and mirror.in_flight == 0)


@pytest.mark.parametrize(("raw", "body"), [(GET, b""), (POST, b"hello"), (CHUNKED, b"hello")])
async def test_mirroring(raw: bytes, body: bytes) -> None:
    seen: list[tuple[bytes, bytes]] = []
    copies: list[tuple[bytes, bytes]] = []
    async with running(upstream(reply(200, b"ok"), seen=seen), steps=[Mirroring("mirror@test")]) as rig:
        await add_service(rig, "mirror@test", upstream(reply(200, b"dropped"), seen=copies))
        assert payload(await rig.ask(raw)) == b"ok"
        await rig.until(lambda: len(copies) == 1)
        assert seen[0][1] == copies[0][1] == body
        assert len(rig.records) == 1


async def test_a_mirror_that_fails_spoils_nothing() -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with running(upstream(reply(200, b"ok"), seen=seen), steps=[Mirroring("mirror@test", most=4)]) as rig:
        await add_service(rig, "mirror@test", upstream(reply(200, b"dropped")))
        assert payload(await rig.ask(POST)) == b"ok"
        assert seen[0][1] == b"hello"
    async with running(upstream(reply(200, b"ok")), steps=[Mirroring("nobody@test")]) as rig:
        assert payload(await rig.ask(GET)) == b"ok"


@pytest.mark.parametrize(
    ("raw", "answer", "status", "body"),
    [
        (POST, reply(200, b"x" * 200_000), 200, b"x" * 200_000),
        (GET, reply(200, b"x" * 200_001), 500, b"Internal Server Error"),
        (POST.replace(b"5\r\n\r\nhello", b"6\r\n\r\nhello!"), reply(200), 413, b"Request Entity Too Large"),
    ],
)
async def test_buffering(raw: bytes, answer: bytes, status: int, body: bytes) -> None:
    async with running(upstream(answer), steps=[Buffering(5, 200_000)]) as rig:
        data = await rig.ask(raw)
        assert (status_of(data), payload(data)) == (status, body)
        await rig.until(lambda: all(server.in_flight == 0 for server in rig.servers))
