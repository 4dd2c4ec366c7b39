"""deploy.hold: requests wait for a server that is on its way, bounded in time and number, and are sent once."""

from __future__ import annotations

import asyncio
import os
import time

from proxy_rig import OneRoute, Rig, Serve, answering

from edgerouter.proxy.holding import MOST_HELD, Holding
from edgerouter.telemetry.records import SharedRecords, create_records

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"


def reading(received: list[bytes]) -> Serve:
    """An upstream that takes requests with their bodies."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            received.append(await reader.readexactly(5) if head.startswith(b"POST") else b"")
            writer.write(OK)

    return serve


async def held(rig: Rig, count: int) -> None:
    await rig.until(lambda: rig.engine.holding.held("app@test") == count)


async def test_a_request_waits_for_its_first_server() -> None:
    rig = await Rig.start()
    rig.service.hold = 30.0
    asked = [asyncio.create_task(rig.ask(raw)) for raw in (GET, POST)]
    await held(rig, 2)
    await rig.add_upstream(reading(rig.received))
    rig.engine.holding.wake()
    for answer in await asyncio.gather(*asked):
        assert answer.startswith(b"HTTP/1.1 200 ")
    await rig.until(lambda: len(rig.records) == 2)
    assert rig.engine.holding.held("app@test") == 0 and {record.cause for record in rig.records} == {""}
    assert sorted(rig.received) == [b"", b"hello"]
    await rig.stop()


async def test_a_router_that_sleeps_is_waited_for() -> None:
    rig = await Rig.start(answering(OK))
    assert isinstance(rig.engine.table, OneRoute)
    rig.service.hold = 30.0
    rig.engine.table.route.asleep = "container web is starting"
    asked = asyncio.create_task(rig.ask(GET))
    await held(rig, 1)
    rig.engine.table.route.asleep = ""
    rig.engine.holding.wake()
    assert (await asked).startswith(b"HTTP/1.1 200 ")
    await rig.stop()


async def test_a_server_that_refuses_is_tried_again() -> None:
    rig = await Rig.start(answering(OK))
    rig.service.hold = 30.0
    server = rig.upstreams.pop()
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    asked = asyncio.create_task(rig.ask(GET))
    await held(rig, 1)
    rig.upstreams.append(await asyncio.start_server(answering(OK), "127.0.0.1", port))
    assert (await asked).startswith(b"HTTP/1.1 200 ")
    await rig.stop()


async def test_when_the_time_is_over_503_says_when_to_come_again() -> None:
    rig = await Rig.start()
    rig.service.hold = 0.3
    began = time.monotonic()
    answer = await rig.ask(GET)
    assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1\r\n" in answer
    assert time.monotonic() - began >= 0.3
    await rig.until(lambda: bool(rig.records))
    assert rig.records[0].cause == "NO_SERVER"
    await rig.stop()


async def test_without_hold_the_answer_comes_at_once() -> None:
    rig = await Rig.start()
    answer = await rig.ask(GET)
    assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After" not in answer
    assert rig.engine.holding.held("app@test") == 0
    await rig.stop()


async def test_only_so_many_wait() -> None:
    rig = await Rig.start()
    rig.service.hold = 30.0
    asked = [asyncio.create_task(rig.ask(GET)) for _ in range(MOST_HELD)]
    await held(rig, MOST_HELD)
    answer = await rig.ask(GET)
    assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 30\r\n" in answer
    await rig.add_upstream(answering(OK))
    rig.engine.holding.wake()
    assert all(one.startswith(b"HTTP/1.1 200 ") for one in await asyncio.gather(*asked))
    await rig.stop()


async def test_all_workers_together_hold_so_many_and_what_a_dead_one_held_is_free_again() -> None:
    memory = create_records(1 << 20, workers=2)
    try:
        shared = [SharedRecords(memory, slot) for slot in range(2)]
        one, other = [Holding(asyncio.get_running_loop(), records) for records in shared]
        assert all(one.enter("app@test") for _ in range(MOST_HELD - 1)) and other.enter("app@test")
        assert not other.enter("app@test") and not one.enter("app@test")
        assert other.enter("another@test"), "each service by itself"
        other.leave("app@test")
        assert one.enter("app@test") and one.held("app@test") == other.held("app@test") == MOST_HELD
        shared[1].zero_gauges(0)
        assert other.held("app@test") == 0 and other.enter("app@test")
    finally:
        os.close(memory)


async def test_a_client_that_leaves_is_not_held() -> None:
    rig = await Rig.start()
    rig.service.hold = 30.0
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(GET)
    await held(rig, 1)
    writer.close()
    await held(rig, 0)
    assert reader is not None
    await rig.until(lambda: bool(rig.records))
    assert rig.records[0].cause == "CLIENT_GONE"
    await rig.stop()
