"""buffering: options, requests and servers' answers in; what reaches servers and clients out, over real sockets."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from on_the_wire import Seen, asked, chunked, fields_of, reply, request, running, serving
from steps import make

from edgerouter.middlewares._retry_expression import Attempt, Expression

BIG = os.urandom(300_000)


def in_chunks(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return request("POST", **{"Transfer-Encoding": "chunked"}) + body


def post(body: bytes) -> bytes:
    return request("POST", body=body)


REQUESTS: list[tuple[str, dict[str, Any], bytes, int]] = [
    ("in memory", {}, post(b"x" * 5000), 5000),
    ("in memory, from chunks", {}, in_chunks(b"a" * 10, b"b" * 5000), 5010),
    ("on disk", {"memRequestBodyBytes": 1000}, post(BIG), len(BIG)),
    ("on disk, from chunks", {"memRequestBodyBytes": 0}, in_chunks(BIG, BIG), 2 * len(BIG)),
    ("just within the bound", {"maxRequestBodyBytes": 5000}, post(b"x" * 5000), 5000),
    ("empty", {"maxRequestBodyBytes": 1}, post(b""), 0),
    ("above the bound by its own word", {"maxRequestBodyBytes": 4999}, post(b"x" * 5000), -1),
    ("above the bound in chunks", {"maxRequestBodyBytes": 4999}, in_chunks(b"x" * 4999, b"x"), -1),
    ("above the bound, on disk", {"maxRequestBodyBytes": 4999, "memRequestBodyBytes": 9}, in_chunks(b"x" * 5000), -1),
    ("in passing, above", {"maxRequestBodyBytes": 10, "disableRequestBuffer": True}, in_chunks(b"x" * 11), -1),
    ("in passing, above, told", {"maxRequestBodyBytes": 10, "disableRequestBuffer": True}, post(b"x" * 11), -1),
    ("in passing, within", {"maxRequestBodyBytes": 10, "disableRequestBuffer": True}, in_chunks(b"x" * 10), 10),
]


@pytest.mark.parametrize(("why", "options", "raw", "size"), REQUESTS, ids=[row[0] for row in REQUESTS])
async def test_requests(why: str, options: dict[str, Any], raw: bytes, size: int) -> None:
    seen: Seen = []
    async with running(serving(reply(200, b"ok"), seen=seen), steps=[make("buffering", options)]) as rig:
        found = await asked(rig, raw)
        await rig.until(lambda: bool(rig.records))
        if size < 0:
            assert (found.status, rig.records[0].cause) == (413, "BODY_TOO_LARGE")
            assert seen == []
        else:
            assert (found.status, len(seen[0][1])) == (200, size)
            assert seen[0][1] in (BIG, BIG + BIG) or size < 6000
            assert fields_of(seen[0][0], "Content-Length") == [str(size)]


RESPONSES: list[tuple[str, dict[str, Any], bytes, int]] = [
    ("in memory", {}, reply(200, b"x" * 5000), 5000),
    ("nothing", {"maxResponseBodyBytes": 1}, reply(200), 0),
    ("from chunks", {}, chunked(b"a" * 10, b"b" * 5000), 5010),
    ("on disk", {"memResponseBodyBytes": 1000}, reply(200, BIG), len(BIG)),
    ("on disk, from chunks", {"memResponseBodyBytes": 0}, chunked(BIG, BIG), 2 * len(BIG)),
    ("just within the bound", {"maxResponseBodyBytes": 5000}, reply(200, b"x" * 5000), 5000),
    ("above the bound", {"maxResponseBodyBytes": 4999}, reply(200, b"x" * 5000), -1),
    ("above the bound in chunks", {"maxResponseBodyBytes": 4999}, chunked(b"x" * 5000), -1),
    ("in passing, above", {"maxResponseBodyBytes": 10, "disableResponseBuffer": True}, reply(200, b"x" * 11), -1),
    ("in passing, chunks", {"maxResponseBodyBytes": 10, "disableResponseBuffer": True}, chunked(b"x" * 11), -1),
]


@pytest.mark.parametrize(("why", "options", "answer", "size"), RESPONSES, ids=[row[0] for row in RESPONSES])
async def test_responses(why: str, options: dict[str, Any], answer: bytes, size: int) -> None:
    async with running(serving(answer), steps=[make("buffering", options)]) as rig:
        found = await asked(rig, request())
        await rig.until(lambda: bool(rig.records))
        if size < 0:
            assert (found.status, rig.records[0].cause) == (500, "RESPONSE_TOO_LARGE")
            assert b"x" not in found.body
        else:
            assert (found.status, len(found.body), found.headers["content-length"]) == (200, size, str(size))
            assert found.body in (BIG, BIG + BIG) or size < 6000
        await rig.until(lambda: all(server.in_flight == 0 for server in rig.servers))


@pytest.mark.parametrize("side", ["request", "response"])
async def test_what_turns_out_too_large_in_passing_is_broken_off(side: str) -> None:
    """No byte beyond the bound gets through, and nobody takes what did for the whole."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if side == "response":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n12345")
            await sent.wait()
            writer.write(b"678901")
        got.append(await reader.read())

    sent = asyncio.Event()
    options = {f"disable{side.title()}Buffer": True, f"max{side.title()}BodyBytes": 10}
    async with running(serve, steps=[make("buffering", options)]) as rig:
        reader, writer = await rig.connect()
        chunk = request("POST", **{"Transfer-Encoding": "chunked"}) + b"5\r\n12345\r\n"
        writer.write(chunk if side == "request" else request())
        if side == "response":
            await asyncio.wait_for(reader.readuntil(b"12345"), 10)
        else:
            await rig.until(lambda: rig.servers[0].in_flight == 1)
            writer.write(b"6\r\n678901\r\n0\r\n\r\n")
        sent.set()
        await rig.until(lambda: bool(rig.records))
        assert rig.records[0].cause == ("BODY_TOO_LARGE" if side == "request" else "RESPONSE_TOO_LARGE")
        await rig.until(lambda: bool(got))
        assert b"678901" not in got[0] and b"0\r\n\r\n" not in got[0]
        writer.close()


async def test_trailers_come_along() -> None:
    answer = chunked(b"abc", trailers="X-Sum: 1\r\n", Trailer="X-Sum")
    for options in ({}, {"memResponseBodyBytes": 0}):
        async with running(serving(answer), steps=[make("buffering", options)]) as rig:
            data = await rig.ask(request(Connection="close"))
            assert data.endswith(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")


@pytest.mark.parametrize("kind", ["text/event-stream", "text/event-stream; charset=utf-8", "application/grpc"])
async def test_streams_are_never_held_back(kind: str) -> None:
    read = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\ndata: 1\n\n".encode())
        await read.wait()
        writer.write(b"data: 2\n\n")

    async with running(serve, steps=[make("buffering", {"maxResponseBodyBytes": 5})]) as rig:
        reader, writer = await rig.connect()
        writer.write(request(Connection="close"))
        await asyncio.wait_for(reader.readuntil(b"data: 1\n\n"), 10)
        read.set()
        assert b"data: 2\n\n" in await asyncio.wait_for(reader.read(), 10)
        writer.close()


RETRIES: list[tuple[str, str, bytes, int, int]] = [
    ("until it is good", "IsNetworkError() && Attempts() < 5", request(), 200, 3),
    ("not longer than asked", "IsNetworkError() && Attempts() < 2", request(), 502, 2),
    ("ten times at most", "ResponseCode() >= 200", request(), 200, 10),
    ("by status", "ResponseCode() == 502", request(), 200, 3),
    ("with a body", 'RequestMethod() == "POST" && IsNetworkError()', post(BIG), 200, 3),
    ("POST only where it is thought of", "IsNetworkError()", post(b"x"), 502, 1),
    ("never", "Attempts() > 5", request(), 502, 1),
]


@pytest.mark.parametrize(("why", "text", "raw", "status", "tries"), RETRIES, ids=[row[0] for row in RETRIES])
@pytest.mark.parametrize("memory", [1 << 20, 100])
async def test_retries(why: str, text: str, raw: bytes, status: int, tries: int, memory: int) -> None:
    seen: Seen = []
    bad = reply(502, b"bad" * 100)
    step = make("buffering", {"retryExpression": text, "memRequestBodyBytes": memory, "memResponseBodyBytes": memory})
    async with running(serving(bad, bad, reply(200, BIG), seen=seen), steps=[step]) as rig:
        found = await asked(rig, raw)
        assert (found.status, len(seen)) == (status, tries)
        assert len({body for _, body in seen}) == 1
        assert found.body == (BIG if status == 200 else b"bad" * 100)


async def test_no_file_is_left_open() -> None:
    options = {"memRequestBodyBytes": 0, "memResponseBodyBytes": 0}

    def temporary() -> int:
        found = 0
        for fd in os.listdir("/proc/self/fd"):
            try:
                found += "(deleted)" in os.readlink(f"/proc/self/fd/{fd}")
            except OSError:
                continue
        return found

    before = temporary()
    async with running(serving(reply(200, BIG)), steps=[make("buffering", options)]) as rig:
        for _ in range(3):
            assert (await asked(rig, post(BIG))).body == BIG
        reader, writer = await rig.connect()
        writer.write(post(BIG))
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        await rig.until(lambda: len(rig.records) == 4)
        await rig.until(lambda: temporary() == before)


@pytest.mark.parametrize(
    ("text", "attempt", "true"),
    [
        ("IsNetworkError()", (1, 502, "GET"), True),
        ("IsNetworkError()", (1, 504, "GET"), True),
        ("IsNetworkError()", (1, 500, "GET"), False),
        ("!IsNetworkError()", (1, 500, "GET"), True),
        ("Attempts() <= 2 && ResponseCode() != 500", (2, 503, "GET"), True),
        ("Attempts() <= 2 && ResponseCode() != 500", (3, 503, "GET"), False),
        ("Attempts() == 1 || Attempts() == 3", (3, 503, "GET"), True),
        ("(Attempts() == 1 || Attempts() == 3) && IsNetworkError()", (3, 503, "GET"), False),
        ('RequestMethod() == "POST"', (1, 200, "POST"), True),
        ("RequestMethod() != `POST`", (1, 200, "POST"), False),
        ("3 > Attempts()", (2, 200, "GET"), True),
    ],
)
def test_expressions(text: str, attempt: tuple[int, int, str], true: bool) -> None:
    assert Expression(text).test(Attempt(*attempt)) is true


@pytest.mark.parametrize(
    "text",
    [
        "Attempts()",
        "Attempts",
        "Attempts() <",
        "Attempts() < 'x'",
        'Attempts() < "x"',
        "Nothing()",
        "IsNetworkError() &&",
        "IsNetworkError() && Attempts()",
        "(IsNetworkError()",
        "IsNetworkError())",
        "!Attempts()",
        "IsNetworkError() IsNetworkError()",
        "(" * 60 + "IsNetworkError()" + ")" * 60,
    ],
)
def test_bad_expressions_are_pointed_at(text: str) -> None:
    with pytest.raises(ValueError, match="retryExpression: "):
        make("buffering", {"retryExpression": text})


@pytest.mark.parametrize("option", ["maxRequestBodyBytes", "memResponseBodyBytes"])
def test_bad_options(option: str) -> None:
    with pytest.raises(ValueError, match=f"buffering: {option} must not be negative"):
        make("buffering", {option: -1})
