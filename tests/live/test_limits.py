"""Limits of the running router: exact over four workers, exact over two routers with Redis, and sane without it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from live.lines import WORKERS, Line, spread
from live.toolbox import EchoServer, Router, fetch, until, wait_until

from edgerouter.config.types import Secret
from edgerouter.middlewares._in_flight_store import Leases
from edgerouter.middlewares._shared_store import RedisOptions, ScriptClient

TRIES = 4  # runs in which a busy machine may take more away than the burst makes up for; none may pass too many


def dynamic(url: str, **middlewares: Any) -> dict[str, Any]:
    """A router for each middleware, on the path of its name."""
    routers = {
        name: {"rule": f"PathPrefix(`/{name}`)", "service": "app", "middlewares": [name], "entryPoints": ["web"]}
        for name in middlewares
    }
    services = {"app": {"loadBalancer": {"servers": [{"url": url}]}}}
    return {"http": {"routers": routers, "middlewares": middlewares, "services": services}}


async def test_exactly_one_passes_of_all_workers_connections(tmp_path: Path) -> None:
    async with EchoServer() as echo:
        config = dynamic(
            echo.url,
            rate={"rateLimit": {"average": 1, "burst": 1, "period": "1m"}},
            few={"inFlightReq": {"amount": 1}},
        )
        async with Router(tmp_path, config, workers=WORKERS) as router, spread(router, 4) as (busy, others):
            lines = [*busy, *others]
            assert len({line.worker for line in lines}) == WORKERS
            statuses = [reply.status for reply in await asyncio.gather(*(line.ask("/rate") for line in lines))]
            assert sorted(statuses) == [200] + [429] * (len(lines) - 1)
            config["http"]["middlewares"]["other"] = {"addPrefix": {"prefix": "/x"}}
            seen = len(router.lines)
            router.write_dynamic(config)
            await until(lambda: router.find_log(event="applied", since=seen), "the configuration to be live")
            assert (await lines[0].ask("/rate")).status == 429, "the change does not touch the limit"
            await one_in_flight(echo, lines)


async def one_in_flight(echo: EchoServer, lines: list[Line]) -> None:
    """One is held at its server; all others are refused meanwhile; then one passes again."""
    before = echo.requests
    first = asyncio.ensure_future(lines[0].ask("/few?delay=2"))
    await until(lambda: echo.requests == before + 1, "the first request to reach its server")
    answers = await asyncio.gather(*(line.ask("/few") for line in lines[1:]))
    assert [answer.status for answer in answers] == [429] * len(answers)
    assert answers[0].text == "max connections reached: 1"
    assert (await first).status == 200
    await until_passes(lines[1])
    assert echo.requests == before + 2


async def until_passes(line: Line) -> None:
    async with asyncio.timeout(30):
        while (await line.ask("/few")).status != 200:
            await asyncio.sleep(0.01)


async def test_a_hundred_a_second_with_all_connections_on_one_worker(tmp_path: Path) -> None:
    burst = 30  # what comes in while the machine is busy with something else
    limit = {"rateLimit": {"average": 100, "burst": burst}}
    async with (
        EchoServer() as echo,
        Router(tmp_path, dynamic(echo.url, rate=limit), workers=WORKERS) as router,
        spread(router, 6) as (busy, others),
    ):
        for lines in (busy, [busy[0], *others]):
            shares: list[float] = []
            while max(shares, default=0.0) < 0.95 and len(shares) < TRIES:
                passed, seconds = await passing(lines, 4.0)
                shares.append((passed - burst - 2) / (100 * seconds))
                assert shares[-1] <= 1.05, (passed, seconds, len(lines))
                await asyncio.sleep(burst / 100 + 0.1)  # until the bucket is full again: part of what is measured
            assert shares[-1] >= 0.95, (shares, len(lines))


async def passing(lines: list[Line], seconds: float) -> tuple[int, float]:
    """How many requests pass in that time, when there are always more."""
    began = time.monotonic()
    passed = 0

    async def ask_on(line: Line) -> None:
        nonlocal passed
        while time.monotonic() - began < seconds:
            if (await line.ask("/rate")).status == 200:
                passed += 1
            else:
                await asyncio.sleep(0.002)

    await asyncio.gather(*(ask_on(line) for line in lines))
    return passed, time.monotonic() - began


# -- Redis ------------------------------------------------------------------------------------------------------------


@contextmanager
def redis(folder: Path, port: int) -> Iterator[None]:
    """A Redis of our own, killed in the end."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed: run .ci/live-peers.sh as root"
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), "--requirepass", "s3cret"]
    process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), "Redis to listen")
        yield
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_two_routers_share_a_limit_by_redis_and_live_without_it(tmp_path: Path) -> None:
    port = free_port()
    shared = {"endpoints": ["127.0.0.1:1", f"127.0.0.1:{port}"], "password": "s3cret", "db": 3, "readTimeout": "5s"}
    limit = {"average": 1, "period": "1h", "burst": 3}
    async with EchoServer() as echo:
        config = dynamic(
            echo.url,
            strict={"rateLimit": {**limit, "redis": shared}},
            lenient={"rateLimit": {**limit, "redis": {**shared, "onFailure": "allow"}}},
            few={"inFlightReq": {"amount": 2, "redis": shared}},
            fewer={"inFlightReq": {"amount": 1, "redis": {**shared, "onFailure": "allow"}}},
        )
        folders = [tmp_path / "a", tmp_path / "b"]
        for folder in folders:
            folder.mkdir()
        with redis(tmp_path, port):
            async with Router(folders[0], config, workers=2) as one, Router(folders[1], config, workers=2) as two:
                routers = [one, two]
                answers = await asyncio.gather(*(fetch(routers[n % 2].port(), "/strict") for n in range(10)))
                assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 7
                refused = next(answer for answer in answers if answer.status == 429)
                assert 3500 < int(refused.headers["retry-after"]) <= 3600
                assert (await fetch(one.port(), "/lenient")).status == 200
                await in_flight_over_two(echo, one, two)
                await without_redis(tmp_path, port, one)


async def in_flight_over_two(echo: EchoServer, one: Router, two: Router) -> None:
    """Two of five over both routers; a client that leaves gives its place back."""
    before = echo.requests
    held = [asyncio.ensure_future(fetch(router.port(), "/few?delay=3")) for router in (one, two)]
    await until(lambda: echo.requests == before + 2, "two requests to reach their server")
    answers = await asyncio.gather(*(fetch(router.port(), "/few") for router in (one, two, one)))
    assert [answer.status for answer in answers] == [429] * 3
    assert answers[0].text == "max connections reached: 2"
    assert [(await reply).status for reply in held] == [200, 200]
    _, writer = await asyncio.open_connection("127.0.0.1", one.port())
    writer.write(b"GET /fewer?delay=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: echo.requests == before + 3, "the request of a client that will leave")
    assert (await fetch(two.port(), "/fewer")).status == 429
    writer.close()
    async with asyncio.timeout(60):
        for path in ("/fewer", "/few"):
            while (await fetch(two.port(), path)).status != 200:
                await asyncio.sleep(0.05)


async def test_leases_are_renewed_and_those_of_the_dead_run_out(tmp_path: Path) -> None:
    port = free_port()
    options = RedisOptions(endpoints=(f"127.0.0.1:{port}",), password=Secret("s3cret"))

    def machine(name: str = "r") -> Leases:
        return Leases(ScriptClient("inFlightReq", options, f"{name}\nm\n"), lease=2.0)

    with redis(tmp_path, port):
        lives, dead = machine(), machine()
        kept, lost = await lives.take("a", 2), await dead.take("a", 2)
        assert kept and lost and await machine().take("a", 2) is None
        assert await machine("other").take("a", 1) and await machine().take("b", 1), "counted for themselves"
        dead._held.clear()  # as a machine that lost its power: it renews nothing, and tells nobody
        async with asyncio.timeout(60):
            while (second := await lives.take("a", 2)) is None:
                await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 4.5:  # more than two leases
            assert await machine().take("a", 2) is None, "what lasts is renewed"
            await asyncio.sleep(0.1)
        lives.give(second)
        async with asyncio.timeout(60):
            while not await lives.take("a", 2):
                await asyncio.sleep(0.05)


async def without_redis(folder: Path, port: int, router: Router) -> None:
    """It is killed, and comes back empty."""
    subprocess.run(["redis-cli", "-p", str(port), "-a", "s3cret", "shutdown", "nosave"], capture_output=True)
    wait_until(lambda: not _listens(port), "Redis to end")
    for _ in range(8):
        reply = await fetch(router.port(), "/strict", headers={"Accept": "text/plain"})
        assert reply.status == 500
        assert (await fetch(router.port(), "/lenient")).status == 200
        assert (await fetch(router.port(), "/few")).status == 500
        assert (await fetch(router.port(), "/fewer")).status == 200
    page = (await fetch(router.port("traefik"), "/metrics")).text
    assert 'cause="LIMIT_STORE_GONE"' in page
    router.wait_log("Redis does not answer: ")
    with redis(folder, port):
        async with asyncio.timeout(60):
            while (await fetch(router.port(), "/strict")).status == 500:
                await asyncio.sleep(0.05)
        router.wait_log("Redis answers again")
        statuses = [(await fetch(router.port(), "/strict")).status for _ in range(8)]
        assert statuses.count(200) == 2 and statuses.count(429) == 6, "one has passed already"
