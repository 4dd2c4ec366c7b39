"""Pools: one for an address, however many servers name it; closed with the last of them. Real sockets."""

from __future__ import annotations

import asyncio

import pytest
from proxy_rig import Rig, RoundRobin, answering

from edgerouter.contracts.plugins import Server
from edgerouter.errors import EdgeError
from edgerouter.net.clock import Clock
from edgerouter.net.pool import Pool, TransportSettings
from edgerouter.net.session import Session, Upstream
from edgerouter.net.turn import Turn
from edgerouter.net.upstream_connection import UpstreamConnection
from edgerouter.wire.http1 import Limits
from edgerouter.worker.assemble_services import close

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Counted:
    """A rig whose upstream counts its connections; ``servers`` name it by as many objects."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.opened = 0
        self.open = 0

    @classmethod
    async def start(cls, servers: int) -> Counted:
        counted = cls(await Rig.start())
        first = await counted.rig.add_upstream(counted._serve)
        for _ in range(servers - 1):
            counted.rig.add_server(first.port)
        return counted

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        try:
            await answering(OK)(reader, writer)
        finally:
            self.open -= 1

    async def ask(self, times: int) -> None:
        for _ in range(times):
            assert (await self.rig.ask(GET)).startswith(b"HTTP/1.1 200")


async def test_servers_of_one_address_share_its_connections() -> None:
    counted = await Counted.start(servers=20)
    await counted.ask(40)
    assert counted.opened == 1
    assert len(counted.rig.engine.pools) == 1
    assert {id(server.pool) for server in counted.rig.servers} == {id(counted.rig.servers[0].pool)}
    await counted.rig.stop()


async def test_the_last_server_that_leaves_closes_the_pool() -> None:
    counted = await Counted.start(servers=2)
    rig = counted.rig
    await counted.ask(2)
    one, other = rig.servers
    close(one)
    close(one)  # twice gone is once gone
    rig.servers.remove(one)
    await counted.ask(2)
    assert (counted.opened, counted.open) == (1, 1)
    close(other)
    await rig.until(lambda: counted.open == 0)
    assert len(rig.engine.pools) == 0
    await rig.stop()


async def test_an_address_that_comes_back_gets_a_new_pool() -> None:
    counted = await Counted.start(servers=1)
    rig = counted.rig
    await counted.ask(1)
    gone = rig.servers.pop()
    close(gone)
    rig.add_server(gone.port)
    await counted.ask(2)
    assert counted.opened == 2
    assert rig.servers[0].pool is not gone.pool
    await rig.stop()


async def test_a_retired_server_that_is_asked_late_leaves_nothing_behind() -> None:
    counted = await Counted.start(servers=1)
    rig = counted.rig
    close(rig.servers[0])  # before its first request: an exchange that chose it earlier may still come
    await counted.ask(1)
    assert len(rig.engine.pools) == 0
    await rig.stop()


class Waiting(Session):
    """An exchange that waits for a connection."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[EdgeError] = asyncio.get_running_loop().create_future()

    def upstream_failed(self, error: EdgeError, upstream: Upstream | None) -> None:
        self.outcome.set_result(error)


@pytest.mark.parametrize("begun", [False, True])
async def test_who_waits_for_a_server_that_leaves_hears_of_it_at_once(begun: bool) -> None:
    # A container that was removed answers no SYN; the dial may not even have begun when its server leaves.
    rig = await Rig.start()
    server = Server("http://198.51.100.1:80", "http", "198.51.100.1", 80)  # RFC 5737: nobody's
    pool = rig.engine.make_pool(server)
    waiting = Waiting()
    assert pool.acquire(waiting, False, False) is None
    if begun:
        for _ in range(3):  # turns of the loop
            await asyncio.sleep(0)
    close(server)
    error = await asyncio.wait_for(waiting.outcome, 5)
    assert error.cause == "CONNECT_REFUSED"
    await rig.stop()


async def test_who_comes_late_to_a_server_that_left_gets_one_of_now() -> None:
    counted = await Counted.start(servers=1)
    rig = counted.rig
    rig.services["app@test"] = RoundRobin("app@test", [counted.rig.servers[0]])
    gone = Server("http://198.51.100.1:80", "http", "198.51.100.1", 80)
    rig.service.servers = [gone]  # the service of the request's route, as it was when the request came
    close(gone)
    await counted.ask(1)
    assert gone.pool is None
    await rig.stop()


async def test_other_ways_to_an_address_are_other_pools() -> None:
    rig = await Rig.start()
    settings = TransportSettings()
    rig.engine.transports = {"": settings, "slow@file": TransportSettings()}
    servers = [Server(f"http://{host}:80", "http", host, 80) for host in ("10.0.0.1", "10.0.0.2", "10.0.0.1")]
    servers += [
        Server("https://10.0.0.1:80", "https", "10.0.0.1", 80),
        Server("http://10.0.0.1:80", "http", "10.0.0.1", 80),
    ]
    servers[4].transport = "slow@file"
    pools: list[Pool] = [rig.engine.make_pool(server) for server in servers]
    assert pools[0] is pools[2]
    assert len({id(pool) for pool in pools}) == len(rig.engine.pools) == 4
    await rig.stop()


@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_an_idle_connection_that_closes_leaves_the_others(gone: int) -> None:
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    pool = Pool(
        loop,
        clock,
        Server("http://127.0.0.1:1", "http", "127.0.0.1", 1),
        TransportSettings(max_idle=3),
        Limits(),
        Turn(loop),
    )
    three = [UpstreamConnection(pool, clock, Limits()) for _ in range(3)]
    for connection in three:
        pool.release(connection)
    assert pool.idle() == three[::-1], "the last that came back is taken first"
    pool.release(UpstreamConnection(pool, clock, Limits()))
    assert pool.idle() == three[::-1], "there are as many as there may be"
    three.pop(gone).close()
    assert pool.idle() == three[::-1]
    pool.release(UpstreamConnection(pool, clock, Limits()))
    assert len(pool.idle()) == 3, "its place is free"
    pool.close()
    assert pool.idle() == []
