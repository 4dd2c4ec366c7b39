"""Live upgrade of the real router: the process becomes another program, and nobody who talks to it notices."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from live.toolbox import EchoServer, Router, exchange, fetch, until

TUNNELS, STREAMS, RATE = 1000, 50, 300  # WebSockets, event streams, requests a second
PATIENT = {"experimental": {"patience": 8.0}, "api": {"insecure": True}}
SOON = 5.0  # seconds until the new version reports, on a machine that has a core to spare

# A program that is EdgeRouter and says that it is another version; what follows makes it worse.
NEXT = """#!{python}
import sys
sys.path[:0] = {path!r}
import edgerouter
edgerouter.__version__ = "99.0.0"
{worse}
from edgerouter.cli import main
sys.exit(main())
"""
LATE = "import edgerouter.app\nif sys.argv[1] != 'check': edgerouter.app.run = lambda *rest: {what}"


def program(folder: Path, worse: str = "") -> Path:
    path = folder / "next" / "edgerouter"
    path.parent.mkdir(exist_ok=True)
    path.write_text(NEXT.format(python=sys.executable, path=[entry for entry in sys.path if entry], worse=worse))
    path.chmod(0o755)
    return path


def routes(url: str) -> dict[str, Any]:
    return {
        "http": {
            "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "app", "entryPoints": ["web"]}},
            "services": {"app": {"loadBalancer": {"servers": [{"url": url}]}}},
        }
    }


def upgrade(router: Router, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [*router.command[:3], "upgrade", f"--pid={router.pid}", *flags]
    return subprocess.run(command, env=router._env, capture_output=True, text=True, timeout=200, check=False)


async def version(router: Router) -> str:
    return str((await fetch(router.port("traefik"), "/api/version")).json()["Version"])


async def counted(router: Router) -> float:
    """Requests of the service, by the metrics."""
    page = (await fetch(router.port("traefik"), "/metrics")).text
    lines = [line for line in page.splitlines() if line.startswith("edgerouter_service_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if "app@file" in line)


# -- a server of tunnels, streams and requests ------------------------------------------------------------------------


class App:
    """``/ws`` echoes after a 101, ``/events`` sends an event whenever ``tell`` is called, the rest is remembered."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.streams: set[asyncio.StreamWriter] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        if path == "/ws":
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            while data := await reader.read(4096):
                writer.write(data)
            return False
        if path == "/events":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.streams.add(writer)
            await reader.read()
            return False
        length = next((int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0)
        body = await reader.readexactly(length)
        self.ids.append(path)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return True

    def tell(self, text: str) -> None:
        for writer in self.streams:
            writer.write(b"%x\r\n%s\r\n" % (len(text), text.encode()))


class Tunnel:
    """One client of ``/ws``."""

    async def open(self, port: int) -> Tunnel:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert b" 101 " in await self.reader.readuntil(b"\r\n\r\n")
        return self

    async def say(self, text: bytes) -> None:
        self.writer.write(text)
        assert await asyncio.wait_for(self.reader.readexactly(len(text)), 30) == text


async def stream(port: int) -> asyncio.StreamReader:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
    reader.opposite = writer  # type: ignore[attr-defined]  # kept open as long as the reader is
    return reader


class Requests:
    """``RATE`` requests a second over some connections, each GET or POST with an id of its own."""

    def __init__(self, port: int, rate: int = RATE) -> None:
        self.port, self.rate = port, rate
        self.sent = 0
        self.failures: list[str] = []
        self._stop = False

    async def run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(20)))

    def stop(self) -> None:
        self._stop = True

    async def _client(self) -> None:
        streams = None
        while not self._stop:
            began = time.monotonic()
            self.sent += 1
            number = self.sent
            body = b"x" * 500 if number % 2 else b""
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self.port)
                reply = await asyncio.wait_for(
                    exchange(*streams, f"/{number}", method="POST" if body else "GET", body=body), 30
                )
                if reply.status != 200 or reply.body != body:
                    self.failures.append(f"{number}: {reply.status} {reply.text}")
                if reply.headers.get("connection") == "close":
                    streams[1].close()
                    streams = None
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.append(f"{number}: {error!r}")
                streams = None
            await asyncio.sleep(max(0.0, 20 / self.rate - (time.monotonic() - began)))


@asynccontextmanager
async def under_load(folder: Path, rate: int = RATE, **options: Any) -> AsyncIterator[tuple[Router, App, Requests]]:
    app = App()
    server = await asyncio.start_server(app, "127.0.0.1", 0, backlog=2048)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with Router(folder, routes(url), {**PATIENT, **options.pop("static", {})}, **options) as router:
            requests = Requests(router.port(), rate)
            load = asyncio.ensure_future(requests.run())
            await until(lambda: requests.sent > rate, "some load")
            yield router, app, requests
            requests.stop()
            await load
    finally:
        server.close()


# -- tests ------------------------------------------------------------------------------------------------------------


async def test_nobody_notices_that_the_router_becomes_another_version(tmp_path: Path) -> None:
    async with under_load(tmp_path, workers=2) as (router, app, requests):
        port, pid = router.port(), router.pid
        tunnels = [await Tunnel().open(port) for _ in range(TUNNELS)]
        streams = [await stream(port) for _ in range(STREAMS)]
        old = router.worker_pids()
        before = await counted(router)
        done = await asyncio.to_thread(upgrade, router, f"--program={program(tmp_path)}")
        assert done.returncode == 0, done.stderr
        assert "99.0.0" in done.stdout
        assert await version(router) == "99.0.0"
        line = router.find_log(event="upgraded")
        assert line is not None and (line["seconds"] < SOON or len(os.sched_getaffinity(0)) < 4)
        assert router.process.poll() is None and router.pid == pid
        assert set(old) < set(router.worker_pids()), "old workers keep what they hold"
        assert await counted(router) >= before + 1
        await asyncio.gather(*(tunnel.say(b"still there %d" % n) for n, tunnel in enumerate(tunnels)))
        app.tell("after")
        events = await asyncio.gather(*(asyncio.wait_for(reader.readexactly(10), 30) for reader in streams))
        assert set(events) == {b"5\r\nafter\r\n"}
        assert requests.failures == []
        assert len(app.ids) == len(set(app.ids)), "a request reached its server twice"
        for tunnel in tunnels:
            tunnel.writer.close()
        for writer in app.streams:
            writer.write(b"0\r\n\r\n")
        await until(lambda: not set(old) & set(router.worker_pids()), "the old workers' end", 60)
        requests.stop()
        await until(lambda: router.find_log("of the version before ended") is not None, "the log's line")
    ended = [line["message"] for line in router.lines if "of the version before ended" in line["message"]]
    assert len(ended) == 2 and all("exit code 0" in text for text in ended)
    assert requests.failures == []


async def test_sums_go_on_and_usr2_upgrades_again_and_again(tmp_path: Path) -> None:
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url), PATIENT, workers=2) as router:
        for count in (1, 2, 3):
            for _ in range(10):
                assert (await fetch(router.port(), "/x")).status == 200
            assert await counted(router) == 10 * count
            since, old = len(router.lines), router.worker_pids()
            router.process.send_signal(signal.SIGUSR2)
            await until(lambda since=since: router.find_log(event="upgraded", since=since), "the next one", 120)
            await until(lambda old=old: not set(old) & set(router.worker_pids()), "the old workers' end", 60)
            assert await counted(router) == 10 * count
        page = (await fetch(router.port("traefik"), "/metrics")).text
        assert "\nedgerouter_config_reloads_total 4\n" in page
        assert "\nedgerouter_workers 2\n" in page


@pytest.mark.parametrize(
    ("worse", "why"),
    [
        ("sys.exit('no good')", "no good"),
        ("import edgerouter.control.handover as h; h.FORMAT = 7", "form 7"),
        ("import edgerouter.worker.main as m; from edgerouter.control import spawn; spawn._CODE = '1/0'", "Zero"),
        (LATE.format(what="5 / 0"), "division by zero"),
    ],
    ids=["exits", "format", "worker", "late"],
)
async def test_a_broken_version_leaves_the_old_one_running(tmp_path: Path, worse: str, why: str) -> None:
    async with under_load(tmp_path, 100, workers=1) as (router, _, requests):
        tunnel = await Tunnel().open(router.port())
        before = await version(router)
        done = await asyncio.to_thread(upgrade, router, f"--program={program(tmp_path, worse)}")
        assert done.returncode == 1
        assert why in done.stderr
        assert await version(router) == before
        await tunnel.say(b"still there")
        sent = requests.sent
        await until(lambda: requests.sent > sent + 50, "more requests")
        assert requests.failures == []
        assert router.find_log(event="upgradeFailed") is not None
        tunnel.writer.close()


@pytest.mark.parametrize(
    "worse",
    ["import time; time.sleep(600)", "import time\n" + LATE.format(what="time.sleep(600)")],
    ids=["check", "start"],
)
async def test_a_version_that_hangs_is_given_up(tmp_path: Path, worse: str) -> None:
    static = {"experimental": {"patience": 0.8}} if "argv" not in worse else {}
    async with under_load(tmp_path, 100, workers=1, static=static) as (router, _, requests):
        before = await version(router)
        done = await asyncio.to_thread(upgrade, router, f"--program={program(tmp_path, worse)}")
        assert done.returncode == 1
        assert "within" in done.stderr
        assert await version(router) == before
        assert requests.failures == []


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("EDGEROUTER_CI"), reason="needs root: unshare(1)")
async def test_it_works_as_process_1_of_a_container(tmp_path: Path) -> None:
    """Process 1 has no default signal handling, and ends its whole namespace when it ends."""
    unshare = shutil.which("unshare")
    assert unshare is not None
    async with EchoServer() as echo:
        router = Router(tmp_path, routes(echo.url), PATIENT, workers=1)
        router.command = [unshare, "--pid", "--fork", "--kill-child", "--mount-proc", *router.command]
        async with router:
            tunnel_pid = int(Path(f"/proc/{router.pid}/task/{router.pid}/children").read_text())
            status = Path(f"/proc/{tunnel_pid}/status").read_text()
            assert "\t1\n" in next(line + "\n" for line in status.splitlines() if line.startswith("NSpid"))
            reader, writer = await asyncio.open_connection("127.0.0.1", router.port())
            assert (await exchange(reader, writer, "/1")).status == 200
            os.kill(tunnel_pid, signal.SIGUSR2)
            await until(lambda: router.find_log(event="upgraded"), "the new program", 120)
            assert (await exchange(reader, writer, "/2", method="POST", body=b"x")).status == 200
            assert (await fetch(router.port(), "/3")).status == 200
            writer.close()
            await until(lambda: router.find_log("of the version before ended"), "the old worker's end")
            os.kill(tunnel_pid, signal.SIGTERM)
            await asyncio.to_thread(router.wait_exit, 0)
