"""The Docker scenarios S1 to S5 as users meet them: real containers, the real router as a process on the host."""

from __future__ import annotations

import asyncio
import collections
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live import docker_images
from live.docker_daemon import Boxes, address, boxes, docker  # noqa: F401 - a fixture
from live.docker_load import CONNECTIONS, Load, ids_of
from live.toolbox import Router, fetch, until

S1_CATALOG = (
    ("traefik.enable", "true"),
    ("traefik.port", "3000"),
    ("traefik.priority", "10"),
    ("traefik.http.routers.catalog.rule", 'Host("acme.com") && PathPrefix("/catalog")'),
)
S1_ESHOP = (
    ("traefik.enable", "true"),
    ("traefik.port", "5000"),
    ("traefik.priority", "1"),
    ("traefik.http.routers.eshop.rule", 'Host("acme.com")'),
)


@pytest.fixture
def own(boxes: Boxes) -> Boxes:  # noqa: F811
    """This test's containers."""
    return boxes


def with_docker(own: Boxes, **options: Any) -> dict[str, Any]:
    """Static configuration: the Docker provider over this test's containers, the API open."""
    return {"providers": {"docker": {"constraints": own.constraint, **options}}, "api": {"insecure": True}}


async def status(router: Router, host: str, path: str = "/") -> int:
    return (await fetch(router.port("web"), path, host=host)).status


async def until_status(router: Router, host: str, expected: int, path: str = "/") -> float:
    """Wait until the route answers so; returns the seconds that it took."""
    began = time.monotonic()
    while await status(router, host, path) != expected:
        assert time.monotonic() - began < 20, f"{host}{path} never answered {expected}:\n{router.log_text()}"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


# -- S1 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["traefik", "edgerouter"])
async def test_s1_strangler_fig(own: Boxes, tmp_path: Path, prefix: str) -> None:
    for name, labels, port in (("catalog", S1_CATALOG, 3000), ("eshop", S1_ESHOP, 5000)):
        image = docker_images.named_server_image(f"{name}-image", port)
        own.start(name, {key.replace("traefik", prefix, 1): value for key, value in labels}, image=image)
    static = {"providers": {"docker": {"constraints": own.constraint}}}
    async with Router(tmp_path, static=static, flags=["--api.insecure=true"]) as router:
        await until_status(router, "acme.com", 200, "/catalog")
        catalog = (await fetch(router.port("web"), "/catalog?type=bicycles", host="acme.com")).json()
        assert (catalog["name"], catalog["path"], catalog["query"]) == ("catalog", "/catalog", "type=bicycles")
        assert catalog["local"].endswith(":3000")
        eshop = (await fetch(router.port("web"), "/checkout", host="acme.com")).json()
        assert (eshop["name"], eshop["path"]) == ("eshop", "/checkout")
        assert eshop["local"].endswith(":5000")
        assert eshop["host"] == "acme.com" and eshop["headers"]["X-Forwarded-Host"] == ["acme.com"]
        assert await status(router, "other.com") == 404


# -- S2 ---------------------------------------------------------------------------------------------------------------

COMPOSE = """
version: "2.4"
services:
  web:
    image: {image}
    environment: {{STOP: graceful, LINGER: 2s}}
    stop_grace_period: 5s
    network_mode: bridge
    labels:
      {mark}: "{run_id}"
      edgerouter.http.routers.web-{run_id}.rule: "Host(`web.test`)"
"""


@pytest.fixture
def compose(own: Boxes, tmp_path: Path) -> Iterator[Any]:
    """docker-compose over one file, taken down at the end."""
    file = tmp_path / "compose.yaml"
    text = COMPOSE.format(image=docker_images.server_image(), run_id=own.run_id, mark="edgerouter-test")
    file.write_text(text)

    def run(*words: str) -> str:
        return docker_images.run(["docker-compose", "-f", str(file), "-p", f"p{own.run_id}", *words])

    try:
        yield run
    finally:
        subprocess.run(
            ["docker-compose", "-f", str(file), "-p", f"p{own.run_id}", "down", "--timeout=0"],
            capture_output=True,
            check=False,
        )


async def test_s2_scale(own: Boxes, tmp_path: Path, compose: Any) -> None:
    compose("up", "-d", "--no-color")
    async with Router(tmp_path, static=with_docker(own), workers=2) as router:
        await until_status(router, "web.test", 200)
        await asyncio.to_thread(compose, "up", "-d", "--scale", "web=3", "--no-recreate")
        names: set[str] = set()

        async def three() -> bool:
            names.add((await fetch(router.port("web"), "/", host="web.test")).json()["hostname"])
            return len(names) == 3

        began = time.monotonic()
        while not await three():
            assert time.monotonic() - began < 20, f"only {names} answer"
        async with Load(router.port("web"), "web.test", rate=300) as load:
            await until(lambda: len(load.sent) >= 900, "an even share")
            share = load.by_server()
            await asyncio.to_thread(compose, "up", "-d", "--scale", "web=1", "--no-recreate")
            sent = len(load.sent)
            await until(lambda: len(load.sent) >= sent + 300, "requests after the change")
        assert not load.failed(), load.summary()
        assert len(share) == 3 and max(share.values()) - min(share.values()) <= 30, share
        assert len({one.server for one in load.sent[sent + 150 :]}) == 1


# -- S3 ---------------------------------------------------------------------------------------------------------------


def replaceable(own: Boxes, short: str, folder: Path, stop: str) -> str:
    """Start one version of the service ``shop``; its ids go to a file of its own."""
    return own.start(
        short,
        {
            "edgerouter.http.routers.shop.rule": "Host(`shop.test`)",
            "edgerouter.http.services.shop.loadbalancer.server.port": "80",
            "edgerouter.http.services.shop.loadbalancer.sticky.cookie.name": "shop",
        },
        flags=(f"--volume={folder}:/ids",),
        environment={"STOP": stop, "LOG": f"/ids/{short}"},
    )


@pytest.mark.parametrize("stop", ["graceful", "at-once"])
async def test_s3_replace(own: Boxes, tmp_path: Path, stop: str) -> None:
    folder = tmp_path / "ids"
    folder.mkdir()
    first = replaceable(own, "one", folder, stop)
    static = {**with_docker(own), "accessLog": {"format": "json", "filePath": str(tmp_path / "access.log")}}
    async with Router(tmp_path, static=static, workers=2) as router:
        await until_status(router, "shop.test", 200)
        async with Load(router.port("web"), "shop.test", sticky=True) as load:
            await until(lambda: len(load.sent) >= 500, "the load")
            await asyncio.to_thread(replaceable, own, "two", folder, stop)
            await until(lambda: "two" in load.by_server(), "the new one's first request")
            sent = len(load.sent)
            await until(lambda: len(load.sent) >= sent + 250, "requests to both")
            await asyncio.to_thread(docker, "stop", first)
            sent = len(load.sent)
            await until(lambda: len(load.sent) >= sent + 500, "requests after the change")
    assert not load.failed("GET"), load.summary()
    if stop == "graceful":
        assert not load.failed("POST"), load.summary()
    causes = causes_of(tmp_path / "access.log", {one.id for one in load.failed()})
    assert set(causes) <= {"UPSTREAM_RESET"}, (causes, load.summary())
    seen = ids_of(folder / "one", folder / "two")
    twice = [one.id for one in load.sent if one.method == "POST" and seen[one.id] > 1]
    assert twice == []
    assert len(load.stays()) == CONNECTIONS // 2
    assert all(stay == ["one", "two"] for stay in load.stays().values()), "a cookie holds until its server leaves"


def causes_of(log: Path, ids: set[str]) -> list[str]:
    """The causes in the access log of requests that were answered 5xx, as many as ``ids``."""
    found = [json.loads(line) for line in log.read_text().splitlines()]
    causes = [str(line.get("Cause", "")) for line in found if line.get("DownstreamStatus", 0) >= 500]
    assert len(causes) >= len(ids), f"{len(ids)} failed and the log names {len(causes)}"
    return causes


async def test_s3_the_only_one_stops_returns_and_goes(own: Boxes, tmp_path: Path) -> None:
    name = own.start("web", {"edgerouter.http.routers.web.rule": "Host(`web.test`)"})
    async with Router(tmp_path, static=with_docker(own)) as router:
        await until_status(router, "web.test", 200)
        await asyncio.to_thread(docker, "stop", name)
        await until_status(router, "web.test", 503)
        await asyncio.to_thread(docker, "start", name)
        assert await until_status(router, "web.test", 200) < 1.0
        await asyncio.to_thread(docker, "rm", "-f", name)
        await until_status(router, "web.test", 404)


async def test_a_gap_is_bridged_and_what_lasts_too_long_is_told(own: Boxes, tmp_path: Path) -> None:
    """``deploy.hold``: the only container is replaced by stopping it first. Who waits is served by the next; where none
    comes, the answer is 503, and says when to come again."""
    web, brief = held(own, "web", "30s"), held(own, "brief", "2s")
    async with Router(tmp_path, static=with_docker(own), workers=2) as router:
        await until_status(router, "web.test", 200)
        await until_status(router, "brief.test", 200)
        async with Load(router.port("web"), "web.test", rate=200) as load:
            await until(lambda: len(load.sent) >= 100, "the load")
            await asyncio.to_thread(docker, "stop", web)
            await until(lambda: load.waiting() == CONNECTIONS, "every client to wait")
            await asyncio.to_thread(docker, "start", web)
            await until(lambda: not load.waiting() or load.failed(), "the answers")
            sent = len(load.sent)
            await until(lambda: len(load.sent) >= sent + 200, "requests after the gap")
        assert not load.failed(), load.summary()
        await asyncio.to_thread(docker, "stop", brief)
        began = time.monotonic()
        reply = await fetch(router.port("web"), "/", host="brief.test")
        assert (reply.status, reply.headers["retry-after"]) == (503, "2") and time.monotonic() - began >= 1.5


def held(own: Boxes, short: str, hold: str) -> str:
    labels = {
        f"edgerouter.http.routers.{short}.rule": f"Host(`{short}.test`)",
        f"edgerouter.http.services.{short}.loadbalancer.deploy.hold": hold,
    }
    return own.start(short, labels, environment={"STOP": "graceful", "LINGER": "300ms"})


# -- S4 ---------------------------------------------------------------------------------------------------------------


async def workloads(router: Router) -> dict[str, dict[str, Any]]:
    reply = await fetch(router.port("traefik"), "/api/workloads")
    assert reply.status == 200, reply.text
    found = reply.json()
    entries = found["workloads"] if isinstance(found, dict) else found
    return {entry["name"]: entry for entry in entries}


async def test_s4_health(own: Boxes, tmp_path: Path) -> None:
    # Within the start period a failed check leaves the container starting.
    quick = ("--health-interval=200ms", "--health-timeout=5s", "--health-retries=1", "--health-start-period=600s")
    labels = {"edgerouter.http.routers.web.rule": "Host(`web.test`)"}
    image = docker_images.checked_server_image()
    name = own.start("web", labels, image=image, flags=quick, environment={"HEALTH": "unhealthy"})
    async with Router(tmp_path, static=with_docker(own)) as router:
        await until_status(router, "web.test", 503)
        assert (await workloads(router))[name]["verdict"] == "STARTING"
        await fetch(80, "/_health?set=healthy", address=address(name))
        await until_status(router, "web.test", 200)
        assert (await workloads(router))[name]["verdict"] == "ROUTED"
        await fetch(80, "/_health?set=unhealthy", address=address(name))
        await until_status(router, "web.test", 503)
        entry = (await workloads(router))[name]
        assert entry["verdict"] == "UNHEALTHY" and "told to be unhealthy" in entry["reason"] and entry["fix"]


# -- S5 ---------------------------------------------------------------------------------------------------------------


def coloured(own: Boxes, short: str, weight: int) -> str:
    labels = {
        "edgerouter.http.routers.shop.rule": "PathPrefix(`/`)",
        "edgerouter.http.services.shop.loadbalancer.server.weight": str(weight),
    }
    return own.start(short, labels, environment={"STOP": "graceful"})  # the server of which no request may fail


async def count(name: str) -> int:
    return int((await fetch(80, "/_count", address=address(name))).text)


def flood(port: int, requests: int, keep_alive: bool) -> None:
    """Send so many requests over 40 connections (or one for each request); every one must be answered 200."""
    url = f"http://127.0.0.1:{port}/"
    if keep_alive:
        text = docker_images.run(["h2load", "--h1", "-n", str(requests), "-c", "40", "-t", "1", url])
        assert f"{requests} succeeded, 0 failed, 0 errored" in text and f"{requests} 2xx" in text, text
    else:
        text = docker_images.run(["ab", "-q", "-n", str(requests), "-c", "40", url])
        assert f"Complete requests:      {requests}" in text and "Non-2xx" not in text, text


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_s5_canary_by_labels(own: Boxes, tmp_path: Path, keep_alive: bool) -> None:
    """99 to 1 over 4 workers: of 100,000 requests 1,000 +- 10 reach the canary."""
    stable, canary = coloured(own, "stable", 99), coloured(own, "canary", 1)
    async with Router(tmp_path, static=with_docker(own), workers=4) as router:
        await until_status(router, "any", 200)
        await until(lambda: router.find_log(event="ready"), "the router")
        while await count(canary) == 0:
            await fetch(router.port("web"), "/")
        before = await count(stable), await count(canary)
        await asyncio.to_thread(flood, router.port("web"), 100_000, keep_alive)
        after = await count(stable), await count(canary)
        assert after[0] + after[1] - before[0] - before[1] == 100_000
        assert abs(after[1] - before[1] - 1_000) <= 10, (before, after)


async def test_s5_blue_green_by_labels(own: Boxes, tmp_path: Path) -> None:
    """50 to 50, then 0 to 100: new containers with new weights, no failed request at any switch."""
    async with Router(tmp_path, static=with_docker(own), workers=2) as router:
        blue = coloured(own, "blue", 1)
        await until_status(router, "any", 200)
        async with Load(router.port("web"), "any", rate=300) as load:
            await asyncio.to_thread(coloured, own, "green", 1)
            # From then on both workers know of it: a second's worth of each one's requests.
            await until(lambda: load.by_server().get("green", 0) >= 150, "green's first requests")
            sent = len(load.sent)
            await until(lambda: len(load.sent) >= sent + 600, "half and half")
            share = [one.server for one in load.sent[sent : sent + 600]]
            green_again = await asyncio.to_thread(coloured, own, "lime", 1)
            await until(lambda: "lime" in load.by_server(), "the third one's first request")
            zero = await asyncio.to_thread(coloured, own, "zero", 0)
            await asyncio.to_thread(docker, "stop", blue)
            sent = len(load.sent)
            await until(lambda: len(load.sent) >= sent + 600, "requests after the switch")
        assert abs(share.count("blue") - share.count("green")) <= 20, collections.Counter(share)
        assert not load.failed(), load.summary()
        assert {one.server for one in load.sent[sent + 300 :]} == {"green", "lime"}
        assert green_again and zero and "zero" not in load.by_server()
