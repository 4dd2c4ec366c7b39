"""Requests for idle connections wait for the end of the loop's turn: who is served, who hears what. Real sockets."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest
from proxy_rig import Rig, answering

from edgerouter.contracts.plugins import Server
from edgerouter.errors import EdgeError
from edgerouter.http.body import Body, BodySink
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.net.clock import Clock
from edgerouter.net.pool import Pool, TransportSettings
from edgerouter.net.session import Session, Upstream
from edgerouter.net.turn import Turn
from edgerouter.net.upstream_connection import UpstreamConnection
from edgerouter.wire.http1 import Limits
from edgerouter.worker.assemble_services import close

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Asking(Session):
    """An exchange that keeps what it hears; ``broken`` raises instead of taking a connection."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.got: list[Upstream] = []
        self.errors: list[EdgeError] = []

    def upstream_ready(self, upstream: Upstream) -> None:
        if self.broken:
            raise RuntimeError("broken on purpose")
        self.got.append(upstream)

    def upstream_failed(self, error: EdgeError, upstream: Upstream | None) -> None:
        self.errors.append(error)


async def with_one_idle() -> tuple[Rig, Pool]:
    rig = await Rig.start(answering(OK))
    assert (await rig.ask(GET)).startswith(b"HTTP/1.1 200")
    pool = rig.servers[0].pool
    assert isinstance(pool, Pool) and len(pool.idle()) == 1
    return rig, pool


async def test_the_first_gets_the_idle_connection_and_the_next_a_new_one() -> None:
    rig, pool = await with_one_idle()
    idle = pool.idle()
    first, second = Asking(), Asking()
    assert pool.acquire(first, False, False) is None and pool.acquire(second, False, False) is None
    assert pool.idle() == idle, "nothing is taken within the turn"
    await rig.until(lambda: bool(first.got and second.got))
    assert first.got == idle and second.got != idle
    await rig.stop()


async def test_who_must_not_be_sent_twice_does_not_wait() -> None:
    rig, pool = await with_one_idle()
    idle = pool.idle()
    assert pool.acquire(Asking(), True, False) is idle[0]
    await rig.stop()


async def test_one_that_breaks_does_not_keep_the_others_waiting() -> None:
    rig, pool = await with_one_idle()
    reported: list[object] = []
    rig.loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))
    others = [Asking() for _ in range(3)]
    for session in (Asking(broken=True), *others):
        pool.acquire(session, False, False)
    await rig.until(lambda: all(other.got for other in others))
    assert [str(error) for error in reported] == ["broken on purpose"]
    await rig.stop()


async def test_a_pool_that_closes_within_the_turn_dials_no_more() -> None:
    rig, pool = await with_one_idle()
    waiting = Asking()
    pool.acquire(waiting, False, False)
    close(rig.servers[0])
    await rig.until(lambda: bool(waiting.errors))
    assert waiting.errors[0].cause == "CONNECT_REFUSED" and not waiting.got
    await rig.stop()


class Slow(Session):
    """Takes a response and wants no more of it for now."""

    def upstream_responded(self, response: Response, upstream: Upstream) -> None:
        body = response.body
        assert isinstance(body, Body)
        body.attach(BodySink())
        body.pause()


@pytest.mark.parametrize("paused", [True, False])
async def test_a_connection_that_was_not_read_all_along_is_looked_at(paused: bool) -> None:
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    server = Server("http://127.0.0.1:1", "http", "127.0.0.1", 1)
    pool = Pool(loop, clock, server, TransportSettings(), Limits(), Turn(loop))
    connection = UpstreamConnection(pool, clock, Limits())
    ours, theirs = socket.socketpair()
    await loop.create_connection(lambda: connection, sock=ours)  # type: ignore[type-var, arg-type, return-value]
    session = Slow()
    connection.send(session, Request("GET", b"/", "x", Headers()))
    if paused:
        connection.data_received(OK[:-1])
        connection.data_received(OK[-1:])
    else:
        connection.data_received(OK)
    assert pool.idle() == [connection]
    assert connection.usable(clock.now, False, False)
    os.write(theirs.fileno(), b"HTTP/1.1 200 OK\r\n")
    assert connection.usable(clock.now, False, False) is not paused
    assert not connection.usable(clock.now, False, True)
    async with asyncio.timeout(5):
        while pool.idle():  # the loop reads it, and closes
            await asyncio.sleep(0)
    theirs.close()
