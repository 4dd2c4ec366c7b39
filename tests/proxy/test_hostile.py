"""The table of hostile bytes on real sockets. For every row: never two requests for one, never a difference between
what was routed and what was forwarded, never another client's answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

import pytest
import uvloop
from hostile_table import (
    BROKEN,
    EVIL,
    FORWARDED,
    HOST,
    LATE,
    REFUSED,
    RESPONSES,
    Answered,
    Broken,
    Forwarded,
    Refused,
    get,
)
from proxy_rig import OneRoute, Rig
from raw_server import RawServer

from edgerouter.config.static import EntryPoint, EntryPointHttp
from edgerouter.contracts.plugins import Route
from edgerouter.http.exchange import Exchange

SETTINGS = EntryPoint(address=":0", http=EntryPointHttp(max_header_bytes=65536))
INNOCENT = b"GET /innocent HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"


class Noting(OneRoute):
    """Notes what was routed."""

    routed: list[tuple[str, str, str]]

    def match(self, exchange: Exchange) -> Route | None:
        request = exchange.request
        self.routed.append((request.method, request.target_text(), request.host))
        return super().match(exchange)


async def rig_with(server: RawServer) -> tuple[Rig, list[tuple[str, str, str]]]:
    rig = await Rig.start(server, settings=SETTINGS)
    table = rig.engine.table
    assert isinstance(table, OneRoute)
    noting = Noting(table.route, table.services)
    noting.routed = []
    rig.engine.table = noting
    return rig, noting.routed


def responses(data: bytes) -> list[tuple[int, bytes]]:
    """Split what a client got: status and body of each response, all with a length; fails for anything left over."""
    found = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end and head.startswith(b"HTTP/1.1 "), f"not a response: {head!r}"
        lines = head.lower().split(b"\r\n")
        lengths = [int(line.partition(b":")[2]) for line in lines[1:] if line.startswith(b"content-length:")]
        status = int(head[9:12])
        size = lengths[0] if lengths and status >= 200 else 0
        assert len(lengths) <= 1 and len(data) >= size
        found.append((status, data[:size]))
        data = data[size:]
    return found


async def is_innocent(rig: Rig) -> None:
    """Another client's request gets its own answer."""
    assert responses(await rig.ask(INNOCENT)) == [(200, b"own:/innocent")]


def agree(server: RawServer, routed: list[tuple[str, str, str]]) -> None:
    """What reached the server is what was routed, in order, and every byte of it is a well-formed request."""
    assert server.faults == []
    assert [(s.method, s.target) for s in server.seen] == [(method, target) for method, target, _ in routed]
    for seen, (_, _, host) in zip(server.seen, routed, strict=True):
        assert seen.host.lower().rpartition(":")[0].rstrip(".") == host or seen.host.lower().rstrip(".") == host


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("before", [b"", b"GET /before HTTP/1.1\r\n" + HOST + b"\r\n"], ids=["alone", "second"])
async def test_refused(row: Refused, before: bytes) -> None:
    server = RawServer()
    rig, routed = await rig_with(server)
    got = responses(await rig.ask(before + row.raw))
    good = [(200, b"own:/before")] if before else []
    assert got[:-1] == good and got[-1][0] == row.status
    assert [s.target for s in server.seen] == ["/before"][: len(good)]
    agree(server, routed)
    assert [r.cause for r in rig.records] == [*[""] * len(good), row.cause]
    await is_innocent(rig)
    await rig.stop()


@pytest.mark.parametrize("accept", [b"Accept: application/json\r\n", b"accept:text/html, application/problem+json\r\n"])
@pytest.mark.parametrize("before", [True, False], ids=["before the fault", "behind it"])
@pytest.mark.parametrize(
    "name", ["CL.TE", "two lengths that differ", "an unknown expectation", "many fields", "CONNECT"]
)
async def test_refused_with_the_cause_for_who_accepts_json(name: str, before: bool, accept: bytes) -> None:
    row = REFUSED[name]
    place = row.raw.index(HOST) if before else row.raw.index(b"\r\n\r\n") + 2
    rig, _ = await rig_with(RawServer())
    got = responses(await rig.ask(row.raw[:place] + accept + row.raw[place:]))
    assert got == [(row.status, b'{"status":%d,"cause":"%b"}\n' % (row.status, row.cause.encode()))]
    await rig.stop()


@pytest.mark.parametrize("accept", [b"", b"Accept: text/html\r\nX: application/json\r\n", b"Accept: */*\r\n"])
async def test_refused_in_words_for_others(accept: bytes) -> None:
    rig, _ = await rig_with(RawServer())
    raw = get(fields=HOST + accept + b"Content-Length: x\r\n") + b"Accept: application/json\r\n\r\n"
    assert responses(await rig.ask(raw)) == [(400, b"Bad Request")]
    await rig.stop()


@pytest.mark.parametrize("row", [r for r in REFUSED.values() if len(r.raw) < 500], ids=lambda row: "")
async def test_refused_byte_by_byte(row: Refused) -> None:
    """In pieces as small as can be the outcome is the same."""
    server = RawServer()
    rig, _ = await rig_with(server)
    reader, writer = await rig.connect()
    answer = asyncio.ensure_future(reader.read())
    for i in range(len(row.raw)):
        if answer.done():
            break
        writer.write(row.raw[i : i + 1])
        await asyncio.sleep(0)
    data = await asyncio.wait_for(answer, 10)
    body_began = bool(server.seen)
    assert [status for status, _ in responses(data)] == [row.status]
    assert all(not seen.complete for seen in server.seen)
    assert not body_began or b"\r\n\r\n" in row.raw, "only what stands in a body may be found after the head was sent"
    assert [r.cause for r in rig.records] == [row.cause]
    writer.close()
    await rig.stop()


@pytest.mark.parametrize("row", FORWARDED.values(), ids=FORWARDED)
async def test_forwarded(row: Forwarded) -> None:
    server = RawServer()
    rig, routed = await rig_with(server)
    reader, writer = await rig.connect()
    writer.write(row.raw)
    data = b""
    async with asyncio.timeout(10):
        while len(rig.records) < len(row.seen) or data.count(b"own:") < len(row.seen):
            data += await reader.read(65536)
    writer.write_eof()
    data += await asyncio.wait_for(reader.read(), 10)
    writer.close()
    data = data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert responses(data) == [(200, f"own:{target}".encode()) for _, target, _, _ in row.seen]
    assert [seen.facts() for seen in server.seen] == row.seen
    agree(server, routed)
    names = {name for name, _ in server.seen[0].fields}
    assert set(row.has) <= names and not names & set(row.lacks)
    await is_innocent(rig)
    await rig.stop()


@pytest.mark.parametrize("row", BROKEN.values(), ids=BROKEN)
async def test_broken_bodies(row: Broken) -> None:
    server = RawServer()
    rig, _ = await rig_with(server)
    reader, writer = await rig.connect()
    writer.write(row.first)
    await rig.until(lambda: bool(server.seen))
    writer.write(row.then)
    assert [status for status, _ in responses(await asyncio.wait_for(reader.read(), 10))] == [400]
    writer.close()
    assert [r.cause for r in rig.records] == [row.cause]
    await is_innocent(rig)
    assert [(seen.target, seen.complete) for seen in server.seen] == [("/a", False), ("/innocent", True)]
    await rig.stop()


@pytest.mark.parametrize("row", RESPONSES.values(), ids=RESPONSES)
async def test_responses(row: Answered) -> None:
    server = RawServer()
    server.hostile["/evil"] = row.raw
    server.close = row.close
    rig, _ = await rig_with(server)
    reader, writer = await rig.connect()
    writer.write(row.request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    try:
        data, broken = await asyncio.wait_for(reader.read(), 10), False
    except ConnectionResetError:
        data, broken = b"", True
    writer.close()
    await rig.until(lambda: bool(rig.records))
    assert [(r.status, r.cause) for r in rig.records] == [(row.status, row.cause)]
    assert len([s for s in server.seen if s.target == "/evil"]) == 1
    assert EVIL not in data and b"garbage" not in data
    if row.broken:
        assert broken or not data.endswith(b"0\r\n\r\n")
    else:
        final = data[data.rindex(b"HTTP/1.1 ") :]
        head, _, body = final.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d" % row.status) and body == row.body
    for _ in range(3):
        await is_innocent(rig)
    await rig.stop()


@pytest.mark.parametrize(("cause", "first", "then"), LATE.values(), ids=LATE)
async def test_responses_that_go_wrong_later(cause: str, first: bytes, then: bytes) -> None:
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        await go.wait()
        writer.write(then + EVIL)
        await reader.read()

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    writer.write(b"GET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n")
    data = await asyncio.wait_for(reader.readuntil(b"ok"), 10)
    go.set()
    with contextlib.suppress(ConnectionResetError):
        data += await asyncio.wait_for(reader.read(), 10)
    assert b"evil" not in data and not data.endswith(b"0\r\n\r\n")
    writer.close()
    await rig.until(lambda: bool(rig.records))
    assert [(r.status, r.cause) for r in rig.records] == [(200, cause)]
    await rig.stop()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_a_server_sends_unasked_is_nobodys_answer(loop: object, method: str) -> None:
    """Request and poison reach the router in one turn of its loop, the request first."""

    async def run() -> None:
        poison: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            poison.append(writer)
            while head := await reader.readuntil(b"\r\n\r\n"):
                target = head.split(b" ")[1]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))

        rig = await Rig.start(serve)
        reader, writer = await rig.connect()
        for i in range(20):
            writer.write(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"/first"), 5)
            raw = b"%b /second HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" % method.encode()
            os.write(writer.get_extra_info("socket").fileno(), raw)
            os.write(poison[-1].get_extra_info("socket").fileno(), EVIL)
            time.sleep(0.002)
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            got = await reader.read(100)
            assert got == b"/second", f"round {i}"
        writer.close()
        await rig.stop()

    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        runner.run(run())


async def test_a_response_before_the_requests_end_is_not_followed_by_another() -> None:
    """The server answers the head; what is left of the body must not become a request."""
    server = RawServer()
    server.early = True
    rig, _ = await rig_with(server)
    reader, writer = await rig.connect()
    writer.write(b"POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5000\r\n\r\nsome")
    assert (await asyncio.wait_for(reader.readuntil(b"own:/a"), 5)).startswith(b"HTTP/1.1 200")
    writer.write(b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    await is_innocent(rig)
    assert [seen.target for seen in server.seen] == ["/a", "/innocent"] and server.connections == 2
    await rig.stop()
