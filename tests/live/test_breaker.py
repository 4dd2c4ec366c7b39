"""circuitBreaker before real servers that die: it trips, answers at once, lets them rest, and recovers by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from live.toolbox import EchoServer, Reply, Router, fetch, until

QUICK = {"checkPeriod": "100ms", "fallbackDuration": "2s", "recoveryDuration": "1s"}


def dynamic(*urls: str, page: str = "", **options: Any) -> dict[str, Any]:
    """``/`` is guarded, ``/other`` is another guarded router to the same servers. ``page`` is the fallback's URL."""
    breaker = {"expression": "NetworkErrorRatio() > 0.5", **QUICK, **options}
    services: dict[str, Any] = {"hare": {"loadBalancer": {"servers": [{"url": url} for url in urls]}}}
    if page:
        services["sorry"] = {"loadBalancer": {"servers": [{"url": page}]}}
    common = {"service": "hare", "middlewares": ["guard"], "entryPoints": ["web"]}
    routers = {
        "hare": {"rule": "PathPrefix(`/`)", "priority": 1, **common},
        "other": {"rule": "Path(`/other`)", **common},
    }
    return {"http": {"routers": routers, "services": services, "middlewares": {"guard": {"circuitBreaker": breaker}}}}


async def ask(router: Router, path: str = "/") -> Reply:
    return await fetch(router.port(), path, headers={"Accept": "application/json"})


def tripped(router: Router, status: int = 503) -> Any:
    """A condition: requests until one is answered by the breaker."""

    async def ask_until() -> None:
        async with asyncio.timeout(60):
            while (await ask(router)).status != status:
                await asyncio.sleep(0.02)

    return ask_until()


async def failures(router: Router, cause: str) -> int:
    """What the metrics say of that cause on the entry point."""
    page = (await fetch(router.port("traefik"), "/metrics")).text
    name = f'edgerouter_exchange_failures_total{{cause="{cause}",entrypoint="web"}} '
    return sum(int(float(line.removeprefix(name))) for line in page.splitlines() if line.startswith(name))


async def recovered(router: Router, good: int = 20) -> None:
    """Until that many requests in a row pass."""
    row = 0
    async with asyncio.timeout(60):
        while row < good:
            row = row + 1 if (await ask(router)).status == 200 else 0
            await asyncio.sleep(0.02)


async def test_it_trips_answers_at_once_and_recovers_by_itself(tmp_path: Path) -> None:
    first, second = EchoServer("first"), EchoServer("second")
    async with first, second:
        urls = (first.url, second.url)
        log = tmp_path / "access.log"
        static = {"accessLog": {"filePath": str(log), "format": "json"}}
        async with Router(tmp_path, dynamic(*urls, fallbackDuration="6s"), static) as router:
            assert [(await ask(router)).status for _ in range(6)] == [200] * 6
            await first.__aexit__()
            assert {(await ask(router)).status for _ in range(6)} == {200}, "the living one is tried as well"
            await second.__aexit__()
            assert (await ask(router)).status == 502
            await tripped(router)
            refused = await failures(router, "CONNECT_REFUSED")
            rest = await asyncio.gather(*(ask(router) for _ in range(20)))
            assert {reply.status for reply in rest} == {503}
            assert rest[0].reason == "Service Unavailable"
            assert await failures(router, "CONNECT_REFUSED") == refused, "its servers are left in peace"
            assert await failures(router, "BREAKER_OPEN") >= 20
            assert (await ask(router, "/other")).status == 502, "each router has a breaker of its own"
            async with EchoServer("first", port=first.port), EchoServer("second", port=second.port):
                await recovered(router)
    assert "BREAKER_OPEN" in log.read_text()


async def test_it_trips_again_when_the_servers_are_still_dead(tmp_path: Path) -> None:
    echo = EchoServer()
    async with echo:
        config = dynamic(echo.url, responseCode=418, fallbackDuration="500ms")
    async with Router(tmp_path, config) as router:
        for _ in range(3):
            await tripped(router, 418)
            await probed(router, await failures(router, "CONNECT_REFUSED"))
        async with EchoServer(port=echo.port):
            await recovered(router)


async def probed(router: Router, seen: int) -> None:
    """Until a request got through to the dead server again."""
    async with asyncio.timeout(60):
        while await failures(router, "CONNECT_REFUSED") == seen:
            await ask(router)
            await asyncio.sleep(0.02)


async def test_a_server_that_resets_or_stays_silent_counts_as_well(tmp_path: Path) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for number, (play, status) in enumerate([(reset, 502), (silent, 504)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        server = await asyncio.start_server(play, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        config = dynamic(f"http://127.0.0.1:{port}", fallbackDuration="60s")
        config["http"]["services"]["hare"]["loadBalancer"]["serversTransport"] = "quick"
        config["http"]["serversTransports"] = {"quick": {"forwardingTimeouts": {"responseHeaderTimeout": "200ms"}}}
        async with server, Router(folder, config) as router:
            assert (await ask(router)).status == status
            await tripped(router)
            assert {(await ask(router)).status for _ in range(5)} == {503}


async def test_it_trips_on_codes_and_on_latency(tmp_path: Path) -> None:
    expressions = {
        "codes": ("ResponseCodeRatio(500, 600, 0, 600) > 0.5", "/?status=500"),
        "latency": ("LatencyAtQuantileMS(50.0) > 100", "/?delay=0.3"),
    }
    async with EchoServer() as echo:
        for name, (expression, path) in expressions.items():
            folder = tmp_path / name
            folder.mkdir()
            async with Router(folder, dynamic(echo.url, expression=expression, fallbackDuration="60s")) as router:
                assert (await ask(router, "/")).status == 200
                await until_status(router, path, 503)
                seen = echo.requests
                assert {(await ask(router, "/")).status for _ in range(5)} == {503}
                assert echo.requests == seen


async def until_status(router: Router, path: str, status: int) -> None:
    async with asyncio.timeout(60):
        while (await ask(router, path)).status != status:
            await asyncio.sleep(0.02)


async def test_another_service_answers_while_it_is_tripped(tmp_path: Path) -> None:
    async with EchoServer("hare") as hare, EchoServer("sorry") as sorry:
        config = dynamic(hare.url, page=sorry.url, fallbackService="sorry", fallbackDuration="4s")
        async with Router(tmp_path, config) as router:
            assert (await ask(router)).json()["name"] == "hare"
            await hare.__aexit__()
            async with asyncio.timeout(60):
                while not sorry.requests:
                    await ask(router)
            reply = await fetch(router.port(), "/x?y=1", method="POST", body=b"kept", headers={"X-Own": "1"})
            assert (reply.status, reply.json()["name"], reply.json()["method"]) == (200, "sorry", "POST")
            assert (reply.json()["path"], reply.json()["body"]) == ("/x?y=1", "kept")
            assert ["X-Own", "1"] in reply.json()["headers"]
            async with EchoServer("hare", port=hare.port) as back:
                await until_name(router, "hare")
                assert back.requests > 0


async def until_name(router: Router, name: str) -> None:
    """Until twenty answers in a row come from that server."""
    row = 0
    async with asyncio.timeout(60):
        while row < 20:
            reply = await ask(router)
            row = row + 1 if reply.status == 200 and reply.json()["name"] == name else 0
            await asyncio.sleep(0.02)


async def test_a_change_elsewhere_does_not_reset_it(tmp_path: Path) -> None:
    async with EchoServer() as echo:
        config = dynamic(echo.url, fallbackDuration="60s")
        async with Router(tmp_path, config) as router:
            await echo.__aexit__()
            await tripped(router)
            seen = len(router.lines)
            config["http"]["routers"]["new"] = {"rule": "Path(`/new`)", "service": "hare", "entryPoints": ["web"]}
            router.write_dynamic(config)
            await until(lambda: router.find_log(event="applied", since=seen), "the configuration to be live")
            assert (await ask(router)).status == 503
            assert (await ask(router, "/new")).status == 502
