"""The router's own life: configuration that changes under way, signals, the end, and starts that must fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from live.toolbox import EchoServer, Router, exchange, fetch, until


def routes(url: str, path: str = "/", **routers: Any) -> dict[str, Any]:
    return {
        "http": {
            "routers": {"all": {"rule": f"PathPrefix(`{path}`)", "service": "echo"}, **routers},
            "services": {"echo": {"loadBalancer": {"servers": [{"url": url}]}}},
        }
    }


async def test_a_changed_file_is_live_at_once_and_breaks_no_connection(tmp_path: Path) -> None:
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url, "/old"), workers=2) as router:
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port())
        assert (await exchange(reader, writer, "/old")).status == 200
        assert (await exchange(reader, writer, "/new")).status == 404
        seen = len(router.lines)
        router.write_dynamic(routes(echo.url, "/new"))
        await until(lambda: router.find_log(event="applied", since=seen), "the configuration to be live")
        assert (await exchange(reader, writer, "/new")).status == 200
        assert (await exchange(reader, writer, "/old")).status == 404
        writer.close()


async def test_a_broken_object_is_named_once_and_spoils_nothing(tmp_path: Path) -> None:
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url, "/good"), workers=1) as router:
        broken = {"rule": "Path(`/bad`", "service": "echo"}
        router.write_dynamic(routes(echo.url, "/good", bad=broken))
        line = await until(lambda: router.find_log(event="problem"), "the problem's line")
        assert "bad" in line["path"]
        assert (await fetch(router.port(), "/good")).status == 200
        router.write_dynamic(routes(echo.url, "/good"))
        await until(lambda: router.find_log(event="solved"), "the problem to be gone")
        assert len([line for line in router.lines if line.get("event") == "problem"]) == 1


async def test_sighup_reads_the_file_again(tmp_path: Path) -> None:
    static = {"providers": {"file": {"watch": False}}}
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url, "/old"), static=static) as router:
        router.write_dynamic(routes(echo.url, "/new"))
        seen = len(router.lines)
        router.process.send_signal(signal.SIGHUP)
        await until(lambda: router.find_log(event="applied", since=seen), "the configuration to be live")
        assert (await fetch(router.port(), "/new")).status == 200


async def test_sigusr1_opens_the_access_log_anew(tmp_path: Path) -> None:
    static = {"accessLog": {"filePath": str(tmp_path / "access.log")}}
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url), static=static, workers=2) as router:
        file, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
        await fetch(router.port(), "/before")
        await until(lambda: "/before" in file.read_text(), "the first line")
        file.rename(rotated)
        router.process.send_signal(signal.SIGUSR1)
        await until(file.exists, "a new file")
        await fetch(router.port(), "/after")
        await until(lambda: "/after" in file.read_text(), "the second line")
        assert "/after" not in rotated.read_text()


async def test_sigterm_lets_requests_in_flight_end(tmp_path: Path) -> None:
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url), workers=2) as router:
        slow = [asyncio.ensure_future(fetch(router.port(), f"/{n}?delay=1.5")) for n in range(6)]
        idle = await asyncio.open_connection("127.0.0.1", router.port())
        await until(lambda: echo.requests == 6, "the requests to reach their server")
        router.process.send_signal(signal.SIGTERM)
        assert [(await reply).status for reply in slow] == [200] * 6
        await asyncio.to_thread(router.wait_exit, 0)
        assert await idle[0].read() == b""


async def test_sigterm_keeps_accepting_for_the_grace_time_and_ping_says_so(tmp_path: Path) -> None:
    cycle = {"transport": {"lifeCycle": {"requestAcceptGraceTimeout": "2s"}}}
    static = {"entryPoints": {"web": cycle}, "ping": {"terminatingStatusCode": 410}}
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url), static=static) as router:
        assert (await fetch(router.port("traefik"), "/ping")).status == 200
        router.process.send_signal(signal.SIGTERM)
        await until(lambda: router.find_log("still accepting"), "the end to begin")
        ping, other = router.port("traefik"), router.port()
        reply = await fetch(ping, "/ping")
        while reply.status == 200:
            reply = await fetch(ping, "/ping")
        assert reply.status == 410
        assert (await fetch(other, "/x")).status == 200
        await asyncio.to_thread(router.wait_exit, 0)


async def test_each_entry_point_has_a_grace_period_of_its_own(tmp_path: Path) -> None:
    short = {"address": "127.0.0.1:0", "transport": {"lifeCycle": {"graceTimeOut": "1s"}}}
    log = {"accessLog": {"filePath": str(tmp_path / "access.log"), "format": "json"}}
    async with (
        EchoServer() as echo,
        Router(tmp_path, routes(echo.url), {"entryPoints": {"hasty": short}, **log}, workers=2) as router,
    ):
        cut = asyncio.ensure_future(fetch(router.port("hasty"), "/cut?delay=4"))
        kept = asyncio.ensure_future(fetch(router.port("web"), "/kept?delay=4"))
        await until(lambda: echo.requests == 2, "the requests to reach their server")
        router.process.send_signal(signal.SIGTERM)
        with pytest.raises((OSError, EOFError)):
            await cut
        assert (await kept).status == 200
        await asyncio.to_thread(router.wait_exit, 0)
        assert router.find_log("1 requests were not over in time") is not None
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    causes = {line["RequestPath"]: line.get("Cause", "") for line in lines}
    assert causes == {"/cut?delay=4": "SHUTTING_DOWN", "/kept?delay=4": ""}


async def test_clients_that_keep_their_connections_lose_nothing_at_the_end(tmp_path: Path) -> None:
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url), workers=2) as router:
        told = asyncio.Event()

        async def client() -> None:
            """Asks again and again, until an answer says that it was the last."""
            streams = await asyncio.open_connection("127.0.0.1", router.port())
            for number in range(10_000):
                reply = await exchange(*streams, f"/{number}", method="POST", body=b"x")
                assert reply.status == 200
                if reply.headers.get("connection") == "close":
                    break
                if number == 20:
                    told.set()
                await asyncio.sleep(0.01)
            assert reply.headers.get("connection") == "close"
            streams[1].close()

        clients = [asyncio.ensure_future(client()) for _ in range(40)]
        await told.wait()
        router.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*clients)
        await asyncio.to_thread(router.wait_exit, 0)


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url)) as router:
        slow = asyncio.ensure_future(fetch(router.port(), "/x?delay=30"))
        await until(lambda: echo.requests == 1, "the request to reach its server")
        router.process.send_signal(signal.SIGINT)
        await until(lambda: router.find_log(event="ending"), "the end to begin")
        router.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(router.wait_exit, 0, 8.0)
        with pytest.raises((OSError, EOFError)):
            await slow


async def test_connections_that_wait_in_the_queue_at_the_end_are_answered(tmp_path: Path) -> None:
    async with EchoServer() as echo, Router(tmp_path, routes(echo.url), workers=2) as router:
        for pid in router.worker_pids():
            os.kill(pid, signal.SIGSTOP)
        waiting = [asyncio.ensure_future(fetch(router.port(), f"/{n}")) for n in range(20)]
        await asyncio.sleep(0.2)
        router.process.send_signal(signal.SIGTERM)
        for pid in router.worker_pids():
            os.kill(pid, signal.SIGCONT)
        assert [(await reply).status for reply in waiting] == [200] * 20
        await asyncio.to_thread(router.wait_exit, 0)


def test_a_port_in_use_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        router = Router(tmp_path, static={"entryPoints": {"web": {"address": f"127.0.0.1:{port}"}}})
        router.start(ready=False)
        router.wait_exit(2)
    assert f"127.0.0.1:{port}" in router.log_text()
    assert f"pid {os.getpid()}" in router.log_text()


@pytest.mark.parametrize(
    ("static", "complaint"),
    [
        ({"workers": -1}, "workers"),
        ({"providers": {"file": {"filname": "x"}}}, "filname"),
        ({"providers": {"nosuch": {}}}, "nosuch"),
        ({"user": "nobody-of-this-name"}, "nobody-of-this-name"),
        ({"accessLog": {"filePath": "/nonexistent/access.log"}}, "accessLog.filePath"),
    ],
)
def test_a_bad_static_option_ends_with_2_and_binds_nothing(
    tmp_path: Path, static: dict[str, Any], complaint: str
) -> None:
    router = Router(tmp_path, static=static).start(ready=False)
    router.wait_exit(2)
    assert complaint in router.log_text()
    assert router.find_log(event="listening") is None


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with Router(tmp_path, env={"XDG_RUNTIME_DIR": str(tmp_path), "RUNTIME_DIRECTORY": ""}) as router:
        (folder,) = tmp_path.glob("edgerouter-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        pids = router.worker_pids()
    assert list(tmp_path.glob("edgerouter-*")) == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
