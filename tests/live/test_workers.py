"""Workers of the real router: even under load a killed or hung one costs at most what it held, and is replaced."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from live.toolbox import PATIENCE, EchoServer, Reply, Router, exchange, fetch, until

CLIENTS = 8


def routes(url: str) -> dict[str, Any]:
    return {
        "http": {
            "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "echo", "entryPoints": ["web"]}},
            "services": {"echo": {"loadBalancer": {"servers": [{"url": url}]}}},
        }
    }


class Load:
    """Clients that each keep one request going: on a new connection every tenth time, or when theirs broke."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.good = 0
        self.failures: list[str] = []
        self.slowest = 0.0
        self._stop = False

    async def run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(CLIENTS)))

    def stop(self) -> None:
        self._stop = True

    async def _client(self) -> None:
        streams = None
        count = 0
        while not self._stop:
            began = time.monotonic()
            try:
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self.port)
                reply = await asyncio.wait_for(exchange(*streams, "/load"), PATIENCE)
                self._note(reply)
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.append(repr(error))
                count = 9
            self.slowest = max(self.slowest, time.monotonic() - began)
            count += 1
            if count % 10 == 0 and streams is not None:
                streams[1].close()
                streams = None
            await asyncio.sleep(0.005)

    def _note(self, reply: Reply) -> None:
        if reply.status == 200:
            self.good += 1
        else:
            self.failures.append(f"{reply.status} {reply.text}")


@asynccontextmanager
async def under_load(folder: Path, workers: int) -> AsyncIterator[tuple[Router, Load]]:
    async with EchoServer() as echo, Router(folder, routes(echo.url), workers=workers) as router:
        load = Load(router.port())
        task = asyncio.ensure_future(load.run())
        try:
            await until(lambda: load.good > 50, "some answers")
            yield router, load
        finally:
            load.stop()
            await task


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_killed_worker_costs_at_most_what_it_held(tmp_path: Path, workers: int) -> None:
    async with under_load(tmp_path, workers) as (router, load):
        old = router.worker_pids()
        assert len(old) == workers
        os.kill(old[0], signal.SIGKILL)
        await until(lambda: len(set(router.worker_pids()) - set(old)) == 1, "a replacement")
        good = load.good
        await until(lambda: load.good > good + 100, "answers as before")
        assert len(load.failures) <= CLIENTS, load.failures
        assert load.slowest < PATIENCE, "somebody waited in vain"
        await until(lambda: router.find_log(f"worker 0 (pid {old[0]}) ended"), "the log's line")
        assert "SIGKILL" in router.wait_log(f"worker 0 (pid {old[0]}) ended")["message"]


async def test_a_hung_worker_is_replaced_and_its_queue_is_served(tmp_path: Path) -> None:
    async with under_load(tmp_path, 2) as (router, load):
        old = router.worker_pids()
        os.kill(old[1], signal.SIGSTOP)
        stopped = time.monotonic()
        await until(lambda: old[1] not in router.worker_pids() and len(router.worker_pids()) == 2, "a replacement")
        assert time.monotonic() - stopped > 1.0
        good = load.good
        await until(lambda: load.good > good + 100, "answers as before")
        assert len(load.failures) <= CLIENTS, load.failures
        silence = re.search(r"no sign of life for (\S+) s", router.wait_log("ended after")["message"])
        assert silence and 1.0 < float(silence[1]) < 4.0, "by the router's own clock, which stands still when it does"


async def test_all_workers_killed_at_once_come_back(tmp_path: Path) -> None:
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url), workers=2) as router:
        old = router.worker_pids()
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        replies = await asyncio.gather(*(fetch(router.port(), "/x") for _ in range(20)))
        assert [reply.status for reply in replies] == [200] * 20
        await until(lambda: len(router.worker_pids()) == 2 and not set(router.worker_pids()) & set(old), "two new ones")


async def test_workers_end_when_the_control_process_is_gone(tmp_path: Path) -> None:
    async with EchoServer() as echo:
        router = Router(tmp_path, routes(echo.url), workers=2).start()
        try:
            pids = router.worker_pids()
            slow = asyncio.ensure_future(fetch(router.port(), "/x?delay=2"))
            await until(lambda: echo.requests == 1, "the request to reach its server")
            router.kill()
            assert (await slow).status == 200
            await until(lambda: not any(alive(pid) for pid in pids), "the workers' end")
        finally:
            router.kill()


def alive(pid: int) -> bool:
    """Whoever has ended and waits to be noticed by a parent is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_the_counts_of_a_killed_worker_stay(tmp_path: Path) -> None:
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url), workers=2) as router:
        for _ in range(30):
            assert (await fetch(router.port(), "/x")).status == 200
        await counted(router, 30)  # the last one's client may be quicker than its worker's account of it
        for pid in router.worker_pids():
            os.kill(pid, signal.SIGKILL)
        await until(lambda: router.find_log("worker 1 (pid") and router.find_log("worker 0 (pid"), "the log's lines")
        for _ in range(10):
            assert (await fetch(router.port(), "/x")).status == 200
        await counted(router, 40)


async def counted(router: Router, wanted: int) -> None:
    """Until the metrics count that many requests of the service, and no more."""
    async with asyncio.timeout(PATIENCE):
        found = -1.0
        while found < wanted:
            page = (await fetch(router.port("traefik"), "/metrics")).text
            lines = [line for line in page.splitlines() if line.startswith("edgerouter_service_requests_total{")]
            found = sum(float(line.rpartition(" ")[2]) for line in lines if "echo@file" in line)
    assert found == wanted
