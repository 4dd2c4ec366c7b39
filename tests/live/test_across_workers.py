"""Four workers act as one: breakers and counters are right wherever the connections are, and when one dies."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live.lines import WORKERS, Line, spread
from live.toolbox import PATIENCE, EchoServer, Router, exchange, fetch, until

ERRORS = {"expression": "NetworkErrorRatio() > 0.5", "fallbackDuration": "5s", "recoveryDuration": "2s"}


def dynamic(url: str, **breaker: Any) -> dict[str, Any]:
    return {
        "http": {
            "routers": {
                "all": {"rule": "PathPrefix(`/`)", "service": "app", "middlewares": ["guard"], "entryPoints": ["web"]}
            },
            "middlewares": {"guard": {"circuitBreaker": {**ERRORS, **breaker}}},
            "services": {"app": {"loadBalancer": {"servers": [{"url": url}]}}},
        }
    }


@asynccontextmanager
async def running(folder: Path, count: int) -> AsyncIterator[tuple[EchoServer, Router, list[Line], list[Line]]]:
    """A server, the router, and ``spread``."""
    async with (
        EchoServer() as echo,
        Router(folder, dynamic(echo.url), workers=WORKERS) as router,
        spread(router, count) as (busy, others),
    ):
        yield echo, router, busy, others


# -- metrics ----------------------------------------------------------------------------------------------------------


async def metrics(router: Router) -> dict[str, float]:
    """The page, by name with labels. A worker may die under the question: it is asked again."""
    async with asyncio.timeout(60):
        while True:
            try:
                reply = await fetch(router.port("traefik"), "/metrics")
            except (OSError, EOFError):
                continue
            if reply.status == 200:
                break
    rows = [line.rpartition(" ") for line in reply.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in rows}


def total(page: dict[str, float], start: str, *parts: str) -> int:
    """Sum of the samples with that name and those labels."""
    return int(sum(v for name, v in page.items() if name.startswith(start + "{") and all(p in name for p in parts)))


async def until_metric(router: Router, start: str, value: int, *parts: str) -> None:
    page: dict[str, float] = {}
    async with asyncio.timeout(60):
        while (found := total(page, start, *parts)) != value or not page:
            page = await metrics(router)
            await asyncio.sleep(0.05)
    assert found == value


WEB = ('entrypoint="web"',)


# -- one worker has all the connections -------------------------------------------------------------------------------


async def test_a_breaker_that_one_worker_trips_is_tripped_for_all(tmp_path: Path) -> None:
    async with running(tmp_path, 4) as (echo, router, busy, others):
        for line in [*busy, *others]:
            assert (await line.ask()).status == 200
        await echo.__aexit__()
        async with asyncio.timeout(60):
            while (await busy[0].ask()).status != 503:
                await asyncio.sleep(0.01)
        page = await metrics(router)
        answers = [(await line.ask()).status for line in [*others, *busy]]
        assert answers == [503] * len(answers)
        after = await metrics(router)
        refused = ('cause="CONNECT_REFUSED"', *WEB)
        name = "edgerouter_exchange_failures_total"
        assert total(after, name, *refused) == total(page, name, *refused) > 0
        assert total(after, name, 'cause="BREAKER_OPEN"') == 1 + len(answers)
        async with EchoServer(port=echo.port):
            await only_one_asks_until_it_is_well(busy[0])
            for line in [*others, *busy]:
                assert (await line.ask()).status == 200


async def only_one_asks_until_it_is_well(line: Line) -> None:
    """Long enough that no request is refused any more: the recovery is over for all, whoever saw it."""
    row = 0
    async with asyncio.timeout(60):
        while row < 60:
            row = row + 1 if (await line.ask()).status == 200 else 0
            await asyncio.sleep(0.02)


async def test_errors_spread_over_all_workers_trip_it_together(tmp_path: Path) -> None:
    """No worker alone has seen enough responses for the threshold; all together have."""
    expression = "NetworkErrorRatio() > 0.5 && RequestThreshold() >= 40"
    async with EchoServer() as echo:
        config = dynamic(echo.url, expression=expression, fallbackDuration="60s", checkPeriod="1ms")
        async with Router(tmp_path, config, workers=WORKERS) as router, spread(router, 1) as (busy, others):
            await echo.__aexit__()
            asked = {line.worker: 0 for line in [busy[0], *others]}
            statuses = []
            for turn in range(400):
                line = [busy[0], *others][turn % WORKERS]
                asked[line.worker] += 1
                statuses.append((await line.ask()).status)
                if statuses[-1] == 503:
                    break
            assert statuses[:-1] == [502] * (len(statuses) - 1)
            assert statuses[-1] == 503
            assert len(statuses) > 40, "the threshold is of all"
            assert max(asked.values()) < 40, "none had seen it alone"


async def test_counters_are_exact_with_all_connections_on_one_worker(tmp_path: Path) -> None:
    async with EchoServer() as echo, Router(tmp_path, dynamic(echo.url), workers=WORKERS) as router:
        async with spread(router, 8) as (busy, others):
            assert len({line.worker for line in busy}) == 1
            await asyncio.gather(*(ask_often(line, 25) for line in busy))
            sent = 25 * len(busy)
            service = ("edgerouter_service_requests_total", 'service="app@file"', 'code="200"')
            page = await metrics(router)
            assert total(page, *service) == sent == echo.requests
            assert total(page, "edgerouter_open_connections", *WEB) >= len(busy) + len(others)
            for number, line in enumerate(others, 1):
                await ask_often(line, number)
            sent += 1 + 2 + 3
            page = await metrics(router)
            assert total(page, *service) == sent == echo.requests
            assert total(page, "edgerouter_entrypoint_requests_total", *WEB) == sent
            assert total(page, "edgerouter_service_request_duration_seconds_count", 'service="app@file"') == sent
            opened = total(page, "edgerouter_connections_opened_total", *WEB)
        await until_metric(router, "edgerouter_open_connections", 0, *WEB)
        assert total(await metrics(router), "edgerouter_connections_opened_total", *WEB) == opened


async def ask_often(line: Line, times: int) -> None:
    for _ in range(times):
        assert (await line.ask()).status == 200


# -- one worker dies --------------------------------------------------------------------------------------------------


async def test_gauges_of_a_killed_worker_go_to_zero(tmp_path: Path) -> None:
    async with running(tmp_path, 5) as (echo, router, busy, others):
        victim = busy[0].worker
        held = [asyncio.ensure_future(line.ask("/?delay=300")) for line in busy]
        await until(lambda: echo.requests == len(busy), "the requests to reach their server")
        async with asyncio.timeout(PATIENCE):  # gauges are shown a few times a second
            while (page := await metrics(router))["edgerouter_exchanges_in_flight"] < len(busy):
                await asyncio.sleep(0.05)
        before = total(page, "edgerouter_open_connections", *WEB)
        assert before >= len(busy) + len(others)
        os.kill(victim, signal.SIGKILL)
        ended = await asyncio.gather(*held, return_exceptions=True)
        assert all(isinstance(end, OSError | EOFError) for end in ended), ended
        await until_metric(router, "edgerouter_open_connections", before - on(victim, busy), *WEB)
        async with asyncio.timeout(PATIENCE):  # but for the question itself
            while (await metrics(router))["edgerouter_exchanges_in_flight"] > 1:
                await asyncio.sleep(0.05)
        assert [(await line.ask()).status for line in others] == [200] * len(others)
        await until(lambda: replaced(router, victim), "a replacement")
        await until_restarts(router)


def on(worker: int, lines: list[Line]) -> int:
    return sum(line.worker == worker for line in lines)


def replaced(router: Router, victim: int) -> bool:
    pids = router.worker_pids()
    return len(pids) == WORKERS and victim not in pids


async def until_restarts(router: Router) -> None:
    async with asyncio.timeout(60):
        while (await metrics(router))["edgerouter_worker_restarts_total"] != 1:
            await asyncio.sleep(0.05)


class Watch:
    """Reads /metrics all the time: no counter may ever go down."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.pages = 0
        self.went_down: list[str] = []

    async def __aenter__(self) -> Watch:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        last: dict[str, float] = {}
        while True:
            page = await metrics(self.router)
            counters = {name: value for name, value in page.items() if re.search(r"_(total|count|sum|bucket)\b", name)}
            self.went_down += [f"{n}: {last[n]} -> {counters.get(n)}" for n in last if counters.get(n, -1) < last[n]]
            last = counters
            self.pages += 1
            await asyncio.sleep(0.05)


@dataclass
class Counting:
    """Clients that know exactly what they got: ``good`` answers, and requests that were ``cut``."""

    router: Router
    good: int = 0
    cut: int = 0
    stopped: bool = False

    async def run(self, clients: int) -> None:
        await asyncio.gather(*(self._client() for _ in range(clients)))

    async def _client(self) -> None:
        streams = None
        while not self.stopped:
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self.router.port())
            except OSError:
                continue
            try:
                async with asyncio.timeout(30):
                    reply = await exchange(*streams, "/counted")
            except (OSError, EOFError):
                self.cut += 1
                streams = None
                continue
            assert reply.status == 200
            self.good += 1
        if streams is not None:
            streams[1].close()


async def test_sums_stay_exact_when_workers_are_killed_under_load(tmp_path: Path) -> None:
    clients = 16
    async with EchoServer() as echo, Router(tmp_path, dynamic(echo.url), workers=WORKERS) as router:
        load = Counting(router)
        task = asyncio.ensure_future(load.run(clients))
        async with Watch(router) as watch:
            for _ in range(3):
                good = load.good
                await until(lambda good=good: load.good > good + 300, "answers")
                victim = router.worker_pids()[0]
                os.kill(victim, signal.SIGKILL)
                await until(lambda victim=victim: replaced(router, victim), "a replacement")
            good = load.good
            await until(lambda: load.good > good + 300, "answers as before")
            load.stopped = True
            await task
            await until_metric(router, "edgerouter_open_connections", 0, *WEB)
        assert watch.pages > 5 and not watch.went_down
        counted = total(await metrics(router), "edgerouter_entrypoint_requests_total", *WEB, 'code="200"')
        assert load.cut <= 3 * clients
        assert abs(counted - load.good) <= load.cut, "what was in flight on the killed ones, at most"
        assert counted <= echo.requests


async def test_sums_agree_with_wrk_when_a_worker_is_killed(tmp_path: Path) -> None:
    wrk = shutil.which("wrk")
    assert wrk, "wrk is not installed: run .ci/live-peers.sh as root"
    connections = 32
    config = dynamic("http://127.0.0.1:9")
    config["http"]["routers"]["all"] |= {"service": "ping@internal", "middlewares": []}
    static = {"log": {"level": "INFO"}, "metrics": {"addInternals": True}}
    async with Router(tmp_path, config, static, workers=WORKERS) as router:
        command = (wrk, "-t1", f"-c{connections}", "-d300s", "--timeout", "60s", f"http://127.0.0.1:{router.port()}/x")
        load = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            async with Watch(router) as watch:
                await until_counted(router, 1000)
                victim = router.worker_pids()[1]
                os.kill(victim, signal.SIGKILL)
                await until(lambda: replaced(router, victim), "a replacement")
                await until_counted(router, await until_counted(router, 0) + 1000)
        finally:
            load.send_signal(signal.SIGINT)
            output = (await asyncio.wait_for(load.communicate(), 60))[0].decode()
        await until_metric(router, "edgerouter_open_connections", 0, *WEB)
        found = re.search(r"(\d+) requests in", output)
        assert found and "Non-2xx" not in output, output
        assert watch.pages > 1 and not watch.went_down
        # under way when the worker died, and when wrk stopped: at most one a connection each time
        assert abs(await until_counted(router, 0) - int(found[1])) <= 2 * connections


async def until_counted(router: Router, least: int) -> int:
    """Until so many requests of the entry point are counted; how many there are then."""
    async with asyncio.timeout(60):
        while True:
            counted = total(await metrics(router), "edgerouter_entrypoint_requests_total", *WEB)
            if counted >= least:
                return counted
            await asyncio.sleep(0.05)
