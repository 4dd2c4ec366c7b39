"""Services over four workers: cookies that hold, servers taken out and brought back, without a lost request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from live.toolbox import EchoServer, Reply, Router, fetch
from services.grpc_server import GrpcServer

API = {"api": {"insecure": True}}
ROOT = Path(__file__).parents[2]


def site(balancer: dict[str, Any], **services: Any) -> dict[str, Any]:
    """Everything goes to the load balancer ``shop``."""
    return {
        "http": {
            "routers": {"shop": {"rule": "PathPrefix(`/`)", "service": "shop", "entryPoints": ["web"]}},
            "services": {"shop": {"loadBalancer": balancer}, **services},
        }
    }


def urls(*servers: EchoServer) -> list[dict[str, Any]]:
    return [{"url": server.url} for server in servers]


@asynccontextmanager
async def three() -> AsyncIterator[list[EchoServer]]:
    async with EchoServer("a") as a, EchoServer("b") as b, EchoServer("c") as c:
        yield [a, b, c]


async def names(router: Router, number: int, cookie: str = "") -> Counter[str]:
    """Who answers; each request has a connection of its own, so that all workers take part."""
    headers = {"Cookie": cookie} if cookie else {}
    replies = await asyncio.gather(*(fetch(router.port("web"), headers=headers) for _ in range(number)))
    return Counter(reply.json()["name"] if reply.status == 200 else str(reply.status) for reply in replies)


async def shown(router: Router, name: str = "shop@file") -> Any:
    reply = await fetch(router.port("traefik"), f"/api/http/services/{name}")
    return reply.json()


async def status(router: Router, url: str) -> str:
    found = (await shown(router))["serverStatus"]
    return str(found[url])


async def becomes(router: Router, url: str, word: str) -> None:
    async with asyncio.timeout(30):
        while await status(router, url) != word:
            await asyncio.sleep(0.05)


async def test_a_cookie_holds_in_all_workers_and_after_a_restart(tmp_path: Path) -> None:
    key = "0123456789abcdef0123456789abcdef"
    cookie = {"name": "lb", "httpOnly": True, "sameSite": "lax", "key": key}
    async with three() as servers:
        dynamic = site({"servers": urls(*servers), "sticky": {"cookie": cookie}})
        async with Router(tmp_path, dynamic, API, workers=4) as router:
            first = await fetch(router.port("web"))
            name, set_cookie = first.json()["name"], first.headers["set-cookie"]
            assert set_cookie.startswith("lb=") and set_cookie.endswith("; Path=/; HttpOnly; SameSite=Lax")
            value = set_cookie.partition(";")[0]
            assert await names(router, 40, value) == {name: 40}
            forged = value[:-1] + ("A" if value[-1] != "A" else "B")
            assert len(await names(router, 40, forged)) == 3
        async with Router(tmp_path, dynamic, API, workers=4) as router:
            assert await names(router, 40, value) == {name: 40}, "after a restart"
            left = [server for server in servers if server.name != name]
            router.write_dynamic(site({"servers": urls(*left), "sticky": {"cookie": cookie}}))
            async with asyncio.timeout(30):
                while name in await names(router, 20):
                    await asyncio.sleep(0.05)
            again = await fetch(router.port("web"), headers={"Cookie": value})
            assert again.status == 200 and again.headers["set-cookie"].startswith("lb=")


async def test_a_health_check_takes_a_server_out_and_brings_it_back(tmp_path: Path) -> None:
    check = {"path": "/health?deep=1", "interval": "100ms", "timeout": "5s"}
    async with three() as servers:
        ill = servers[1]
        lone = {"loadBalancer": {"servers": urls(ill), "healthCheck": check}}
        spare = {"failover": {"service": "lone", "fallback": "shop"}}
        dynamic = site({"servers": urls(*servers), "healthCheck": check}, lone=lone, spare=spare)
        async with Router(tmp_path, dynamic, API, workers=4) as router:
            load = asyncio.ensure_future(steady(router))
            assert set(await names(router, 40)) == {"a", "b", "c"}
            await ill.__aexit__()
            await becomes(router, ill.url, "DOWN")
            assert set(await names(router, 40)) == {"a", "c"}
            async with asyncio.timeout(30):
                while (await shown(router, "spare@file"))["serverStatus"] != {"lone@file": "DOWN", "shop@file": "UP"}:
                    await asyncio.sleep(0.05)
            page = await shown(router)
            assert "refused" in page["serverReasons"][ill.url].lower() or "connect" in page["serverReasons"][ill.url]
            metrics = (await fetch(router.port("traefik"), "/metrics")).text
            assert f'edgerouter_service_server_up{{service="shop@file",url="{ill.url}"}} 0' in metrics
            assert f'edgerouter_service_server_up{{service="shop@file",url="{servers[0].url}"}} 1' in metrics
            # A configuration that leaves the check alone does not make it forget.
            dynamic["http"]["services"]["other"] = {"loadBalancer": {"servers": urls(servers[0])}}
            router.write_dynamic(dynamic)
            await asyncio.to_thread(router.wait_log, event="applied", generation=2)
            assert set(await names(router, 20)) == {"a", "c"}
            async with EchoServer("b", port=ill.port):
                await becomes(router, ill.url, "UP")
                async with asyncio.timeout(30):
                    while set(await names(router, 20)) != {"a", "b", "c"}:
                        await asyncio.sleep(0.05)
                load.cancel()
                answers = await asyncio.gather(load, return_exceptions=True)
                assert answers and not isinstance(answers[0], AssertionError), answers
            assert any(line.get("event") == "server-down" for line in router.lines)


async def test_s11_instead_of_haproxy(tmp_path: Path) -> None:
    """The sample as it is shipped, but for addresses and patience: even turns over checked servers, and a page."""
    dynamic = yaml.safe_load((ROOT / "config/samples/instead-of-haproxy.yml").read_text())
    balancer = dynamic["http"]["services"]["nodes"]["loadBalancer"]
    async with three() as servers:
        assert len(balancer["servers"]) == len(servers)
        balancer["servers"] = urls(*servers)
        balancer["healthCheck"]["interval"] = "100ms"
        async with Router(tmp_path, dynamic, API, workers=1) as router:
            assert await names(router, 30) == {"a": 10, "b": 10, "c": 10}
            await servers[2].__aexit__()
            async with asyncio.timeout(30):
                while (await shown(router, "nodes@file"))["serverStatus"][servers[2].url] != "DOWN":
                    await asyncio.sleep(0.05)
            assert await names(router, 30) == {"a": 15, "b": 15}
            assert (await fetch(router.port("traefik"), "/dashboard/")).status == 200


async def steady(router: Router) -> None:
    """Requests one after the other, none of which may fail."""
    while True:
        reply: Reply = await fetch(router.port("web"))
        assert reply.status == 200, reply


async def test_all_down_is_503_and_a_parent_goes_elsewhere(tmp_path: Path) -> None:
    check = {"path": "/", "interval": "100ms"}
    async with EchoServer("a") as a, EchoServer("b") as b:
        dynamic = site({"servers": urls(a), "healthCheck": check})
        dynamic["http"]["services"]["rest"] = {"loadBalancer": {"servers": urls(b)}}
        both = {"weighted": {"services": [{"name": "shop"}, {"name": "rest"}], "healthCheck": {}}}
        dynamic["http"]["services"]["both"] = both
        dynamic["http"]["routers"]["both"] = {"rule": "Host(`both.test`)", "service": "both", "entryPoints": ["web"]}
        async with Router(tmp_path, dynamic, API, workers=2) as router:
            a.status = 500
            await becomes(router, a.url, "DOWN")
            reply = await fetch(router.port("web"), headers={"Accept": "application/json"})
            assert (reply.status, reply.json()["cause"]) == (503, "NO_SERVER")
            replies = [await fetch(router.port("web"), host="both.test") for _ in range(8)]
            assert {reply.json()["name"] for reply in replies} == {"b"}


async def test_grpc_health(tmp_path: Path) -> None:
    """The server that is asked by gRPC is not the one that answers: the check's port says where."""
    async with EchoServer("a") as a:
        with GrpcServer() as health:
            health.set("SERVING")
            check = {"mode": "grpc", "port": health.port, "interval": "100ms"}
            async with Router(tmp_path, site({"servers": urls(a), "healthCheck": check}), API, workers=2) as router:
                assert (await fetch(router.port("web"))).status == 200
                health.set("NOT_SERVING")
                await becomes(router, a.url, "DOWN")
                assert (await shown(router))["serverReasons"] == {a.url: "it says NOT_SERVING"}
                assert (await fetch(router.port("web"))).status == 503
                health.set("SERVING")
                await becomes(router, a.url, "UP")


async def test_passive_health_over_all_workers(tmp_path: Path) -> None:
    passive = {"failureWindow": "3s", "maxFailedAttempts": 2}
    async with EchoServer("good") as good, EchoServer("bad", status=500) as bad:
        dynamic = site({"servers": urls(good, bad), "passiveHealthCheck": passive})
        async with Router(tmp_path, dynamic, API, workers=4) as router:
            async with asyncio.timeout(30):
                while await status(router, bad.url) != "DOWN":
                    await names(router, 4)
            seen = bad.requests
            bad.status = 200
            assert await names(router, 40) == {"good": 40}
            assert bad.requests == seen
            async with asyncio.timeout(30):
                while "bad" not in await names(router, 4):
                    await asyncio.sleep(0.05)
            await becomes(router, bad.url, "UP")


async def test_mirroring_of_large_bodies_with_a_slow_mirror(tmp_path: Path) -> None:
    async with EchoServer("main") as main, EchoServer("slow", delay=2.0) as slow:
        dynamic = site({"servers": urls(main)}, slow={"loadBalancer": {"servers": urls(slow)}})
        dynamic["http"]["services"]["top"] = {
            "mirroring": {"service": "shop", "mirrors": [{"name": "slow", "percent": 100}]}
        }
        dynamic["http"]["routers"]["shop"]["service"] = "top"
        body = b"x" * 1_000_000
        async with Router(tmp_path, dynamic, API, workers=2) as router:
            replies = await asyncio.gather(
                *(fetch(router.port("web"), "/upload", method="POST", body=body) for _ in range(10))
            )
            assert [reply.status for reply in replies] == [200] * 10
            assert {len(reply.json()["body"]) for reply in replies} == {len(body)}
            async with asyncio.timeout(60):
                while slow.requests < 10:
                    await asyncio.sleep(0.05)
            assert len(slow.last["body"]) == len(body)
            sent = 'edgerouter_service_mirrors_total{service="top@file",result="sent"} 10'
            async with asyncio.timeout(30):
                while sent not in (await fetch(router.port("traefik"), "/metrics")).text:
                    await asyncio.sleep(0.1)


async def test_failover_by_health_and_status(tmp_path: Path) -> None:
    async with EchoServer("main") as main, EchoServer("backup") as backup:
        check = {"path": "/", "interval": "100ms"}
        dynamic = site({"servers": urls(main), "healthCheck": check})
        services = dynamic["http"]["services"]
        services["backup"] = {"loadBalancer": {"servers": urls(backup)}}
        services["top"] = {"failover": {"service": "shop", "fallback": "backup", "errors": {"status": ["418"]}}}
        dynamic["http"]["routers"]["shop"]["service"] = "top"
        async with Router(tmp_path, dynamic, API, workers=2) as router:
            assert await names(router, 4) == {"main": 4}
            replies = [await fetch(router.port("web"), "/?status=418", method="POST", body=b"hello") for _ in range(2)]
            assert {reply.json()["name"] for reply in replies} == {"backup"}
            main.status = 500
            await becomes(router, main.url, "DOWN")
            assert await names(router, 4) == {"backup": 4}
            main.status = 200
            await becomes(router, main.url, "UP")
            assert await names(router, 4) == {"main": 4}
