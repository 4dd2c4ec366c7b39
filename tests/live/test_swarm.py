"""Swarm on a real daemon in Swarm mode: the provider alone, and the scenarios S6 to S9 with the router as a service."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from live import docker_images
from live.docker_daemon import Relay, Watcher, following, has_daemon, servers, verdict, workload
from live.docker_load import Load, ids_of
from live.swarm_daemon import SwarmDaemon, swarm_daemon
from live.toolbox import fetch, until

import edgerouter.config
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.providers._docker_place import own_id
from edgerouter.providers.swarm import SwarmOptions, SwarmProvider

SAMPLES = Path(edgerouter.config.__file__).parent / "samples"
PORT = {"edgerouter.port": "80"}


@pytest.fixture(scope="module")
def daemon() -> Iterator[SwarmDaemon]:
    """One daemon for this file; a skip that names the daemon where there is none."""
    if not has_daemon():
        pytest.skip("no Docker daemon answers: run .ci/live-peers.sh as root")
    with swarm_daemon() as made:
        yield made


@pytest.fixture
async def watcher(daemon: SwarmDaemon) -> AsyncIterator[Watcher]:
    """The provider alone, on the host."""
    options = SwarmOptions(endpoint=daemon.endpoint, use_bind_port_ip=True)
    async with following(Watcher(options, SwarmProvider, "swarm")) as made:
        yield made


async def run(daemon: SwarmDaemon, *words: str) -> str:
    return await asyncio.to_thread(daemon.docker, *words)


def tasks(found: Snapshot, name: str) -> str:
    seen = workload(found, name)
    return seen.detail.get("tasks", "") if seen else ""


# -- the provider alone -----------------------------------------------------------------------------------------------


async def test_no_swarm_is_one_sentence(daemon: SwarmDaemon) -> None:
    """The machine's own daemon is in no Swarm."""
    async with following(Watcher(SwarmOptions(), SwarmProvider, "swarm")) as watcher:
        failure = await watcher.until_failure()
    assert "is in no Swarm" in str(failure) and "docker swarm init" in str(failure)


async def test_the_manager_is_only_read(daemon: SwarmDaemon) -> None:
    """And for no more than the sample's proxy lets through. A container that is no task asks for itself too,
    and does without where that is refused."""
    name = daemon.service("read", PORT, "--publish=mode=host,target=80")
    async with Relay(daemon.folder / "relay.sock", str(daemon.socket)) as relay:
        options = SwarmOptions(endpoint=f"unix://{relay.path}", use_bind_port_ip=True)
        async with following(Watcher(options, SwarmProvider, "swarm")) as watcher:
            await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its route")
            await run(daemon, "service", "scale", "--detach", f"{name}=2")
            await watcher.until(lambda found: len(servers(found, name)) == 2, "two tasks")
    await run(daemon, "service", "rm", name)
    sample = (SAMPLES / "swarm-router.yml").read_text().partition("socket-proxy")[2]
    allowed = {word.lower() for word in re.findall(r"([A-Z]+): 1", sample)}
    assert relay.sections() - ({"containers"} if own_id() else set()) == allowed


async def test_services_come_scale_and_go(daemon: SwarmDaemon, watcher: Watcher) -> None:
    name = daemon.service("scaled", PORT, "--publish=mode=host,target=80", "--replicas=1")
    found = await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its route")
    published = daemon.running(name)[0]["Status"]["PortStatus"]["Ports"][0]
    assert servers(found, name) == [f"http://127.0.0.1:{published['PublishedPort']}"]
    await run(daemon, "service", "scale", "--detach", f"{name}=3")
    await watcher.until(lambda found: len(servers(found, name)) == 3, "three tasks")
    await run(daemon, "service", "scale", "--detach", f"{name}=0")
    found = await watcher.until(lambda found: verdict(found, name) == "SCALED_TO_ZERO", "the scale to 0")
    assert name in found.sleeping
    await run(daemon, "service", "rm", name)
    found = await watcher.until(lambda found: not verdict(found, name), "its end")
    assert name not in found.configuration.http.routers


async def test_a_task_leaves_at_its_stop_signal(daemon: SwarmDaemon, watcher: Watcher) -> None:
    """S7: of two tasks one is stopped, and serves for 2 s more: it gets no new request from then on."""
    name = daemon.service(
        "leaving", PORT, "--publish=mode=host,target=80", "--replicas=2", environment={"STOP": "graceful"}
    )
    await watcher.until(lambda found: len(servers(found, name)) == 2, "two tasks")
    began = time.monotonic()
    await run(daemon, "service", "scale", "--detach", f"{name}=1")
    await watcher.until(lambda found: len(servers(found, name)) == 1, "one task")
    assert time.monotonic() - began < 2.0, "the server goes on for 2 s: the rotation must not wait for its end"
    await run(daemon, "service", "rm", name)


async def test_a_task_waits_for_its_health(daemon: SwarmDaemon, watcher: Watcher) -> None:
    """S7: Swarm holds a task in STARTING until its check passes."""
    name = daemon.service(
        "checked",
        PORT,
        *("--publish=mode=host,target=80", "--health-interval=200ms", "--health-start-period=600s"),
        environment={"HEALTH": "unhealthy"},
        image=docker_images.checked_server_image(),
    )
    found = await watcher.until(lambda found: "is starting" in reason(found, name), "its start")
    assert verdict(found, name) == "STARTING" and servers(found, name) == []
    listing = ("ps", "-q", "--filter", f"label=com.docker.swarm.service.name={name}", "--filter", "status=running")
    container = await until(lambda: daemon.docker(*listing), "its container")
    await run(daemon, "exec", container, "/server", "health", "http://127.0.0.1/_health?set=healthy")
    await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its health")
    await run(daemon, "service", "rm", name)


def reason(found: Snapshot, name: str) -> str:
    seen = workload(found, name)
    return seen.reason if seen else ""


async def test_why_a_service_has_no_task(daemon: SwarmDaemon, watcher: Watcher) -> None:
    daemon.service("nowhere", PORT, "--constraint=node.labels.zone==moon")
    daemon.service("unknown", PORT, "--restart-condition=none", image="edgerouter-test/no-such-image:1")
    found = await watcher.until(lambda found: "no suitable node" in reason(found, "nowhere"), "the constraint")
    assert verdict(found, "nowhere") == "PENDING"
    found = await watcher.until(lambda found: verdict(found, "unknown") == "TASK_FAILED", "the image")
    assert "No such image" in reason(found, "unknown"), reason(found, "unknown")
    await run(daemon, "service", "rm", "nowhere", "unknown")


async def test_a_vip_is_one_server(daemon: SwarmDaemon, watcher: Watcher) -> None:
    """Outside of any container nobody reaches an overlay network, and the ledger says so instead."""
    name = daemon.service("virtual", {**PORT, "edgerouter.swarm.lbswarm": "true"}, "--replicas=2", endpoint_mode="vip")
    (seen,) = [one for one in daemon.ask("/services") if one["Spec"]["Name"] == name]
    (address,) = [one["Addr"].partition("/")[0] for one in seen["Endpoint"]["VirtualIPs"]]
    if own_id():
        await watcher.until(lambda found: servers(found, name) == [f"http://{address}:80"], "the address")
    else:
        await watcher.until(lambda found: verdict(found, name) == "NO_SHARED_NETWORK", "the verdict")
    await run(daemon, "service", "rm", name)


async def test_a_drained_node_takes_its_tasks_along(daemon: SwarmDaemon, watcher: Watcher) -> None:
    name = daemon.service("everywhere", PORT, "--mode=global", "--publish=mode=host,target=80")
    await watcher.until(lambda found: tasks(found, name) == "1 of 1 running", "its task")
    node = daemon.docker("node", "ls", "-q")
    await run(daemon, "node", "update", "--availability=drain", node)
    await watcher.until(lambda found: servers(found, name) == [], "the drain")
    await run(daemon, "node", "update", "--availability=active", node)
    await watcher.until(lambda found: len(servers(found, name)) == 1, "its return")
    await run(daemon, "service", "rm", name)


# -- the router as a service of the Swarm -----------------------------------------------------------------------------

FLAGS = ("--api.insecure=true", "--docker", "--docker.swarmmode")


class Edge:
    """The router in the Swarm, and its published ports."""

    def __init__(self, daemon: SwarmDaemon) -> None:
        self.daemon = daemon
        self.ports = daemon.router(*FLAGS, "--accesslog=true", "--accesslog.format=json")

    async def ask(self, host: str, path: str = "/") -> Any:
        """One request; the answer, or None where nobody answers."""
        try:
            return await fetch(self.ports[80], path, host=host, patience=5, address=self.daemon.address)
        except (OSError, EOFError, TimeoutError):
            return None

    async def until_status(self, host: str, status: int) -> float:
        """Wait until the route answers so; the seconds that it took."""
        began = time.monotonic()
        while True:
            reply = await self.ask(host)
            if reply is not None and reply.status == status:
                return time.monotonic() - began
            assert time.monotonic() - began < 30, f"{host}: {reply}\n{self.daemon.logs('edgerouter')}"
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def edge(daemon: SwarmDaemon) -> Iterator[Edge]:
    """One router for this file, with the 1.x spelling of its flags."""
    yield Edge(daemon)


async def test_s6_dnsrr_global_and_the_ledger(daemon: SwarmDaemon, edge: Edge) -> None:
    rule = {"edgerouter.http.routers.shop.rule": "Host(`shop.test`)", **PORT}
    daemon.service("shop", rule, "--replicas=3")
    daemon.service(
        "agent", {"traefik.http.routers.agent.rule": "Host(`agent.test`)", "traefik.port": "80"}, "--mode=global"
    )
    await edge.until_status("shop.test", 200)
    await edge.until_status("agent.test", 200)
    names: set[str] = set()
    began = time.monotonic()
    while len(names) < 3:
        names.add((await edge.ask("shop.test")).json()["name"])
        assert time.monotonic() - began < 20, names
    assert {name.rsplit(".", 1)[0] for name in names} == {"shop.1", "shop.2", "shop.3"}
    reply = await fetch(edge.ports[8080], "/api/workloads", address=daemon.address)
    seen = {entry["name"]: entry for entry in reply.json()}
    assert seen["shop"]["verdict"] == "ROUTED" and seen["shop"]["kind"] == "service"
    await run(daemon, "service", "scale", "--detach", "shop=0")
    await edge.until_status("shop.test", 503)
    await run(daemon, "service", "scale", "--detach", "shop=1")
    await asyncio.to_thread(daemon.until_running, "shop", 1)
    assert await edge.until_status("shop.test", 200) < 1.0, "a new task must be in rotation within a second"
    await run(daemon, "service", "rm", "shop", "agent")
    await edge.until_status("shop.test", 404)


async def test_s9_many_versions_of_one_environment(daemon: SwarmDaemon, edge: Edge) -> None:
    """Stacks of the documented sample, told apart by labels alone; removing one leaves the other untouched."""
    for version in ("v1", "v2"):
        await asyncio.to_thread(deploy, daemon, version)
    for version in ("v1", "v2"):
        await edge.until_status(f"{version}.test.example", 200)
        await until_served_by(edge, f"{version}.test.example", "/x")
    await run(daemon, "stack", "rm", "v1")
    statuses = []
    ends = time.monotonic() + 30
    while (await edge.ask("v1.test.example")).status != 404:
        statuses.append((await edge.ask("v2.test.example")).status)
        assert time.monotonic() < ends, daemon.logs("edgerouter")
    statuses.append((await edge.ask("v2.test.example")).status)
    assert set(statuses) == {200}
    await run(daemon, "stack", "rm", "v2")


async def until_served_by(edge: Edge, host: str, path: str) -> None:
    """Wait until the api answers, whose router strips /api; until its task is there, that router sleeps, and the
    environment's other one takes the request."""
    ends = time.monotonic() + 30
    while (reply := await edge.ask(host, f"/api{path}")).status != 200 or reply.json()["path"] != path:
        assert time.monotonic() < ends, (reply.text, edge.daemon.logs("edgerouter"))


def deploy(daemon: SwarmDaemon, version: str) -> None:
    """``docker stack deploy`` of the sample, with the test server for both of its images."""
    sample = SAMPLES / "swarm-versions.yml"
    image = docker_images.server_image()
    environment = {**os.environ, "VERSION": version, "WEB_IMAGE": image, "API_IMAGE": image}
    words = [
        "docker",
        "--host",
        daemon.endpoint,
        "stack",
        "deploy",
        "--resolve-image=never",
        "-c",
        str(sample),
        version,
    ]
    docker_images.run(words, env=environment)


STRATEGIES = [("start-first", "graceful", 2), ("stop-first", "graceful", 2), ("start-first", "at-once", 1)]


@pytest.mark.parametrize(("order", "stop", "parallelism"), STRATEGIES)
async def test_s8_rolling_update_and_scale(
    daemon: SwarmDaemon, edge: Edge, tmp_path: Path, order: str, stop: str, parallelism: int
) -> None:
    """Under 500 requests/s no failed request while another task is up (the scenarios' definition for G and K)."""
    folder = tmp_path / "ids"
    folder.mkdir()
    name = daemon.service(
        f"rolling-{order}-{stop}",
        {
            "edgerouter.http.routers.rolling.rule": "Host(`rolling.test`)",
            "edgerouter.http.services.rolling.loadbalancer.sticky.cookie.name": "shop",
            **PORT,
        },
        *("--replicas=4", f"--update-order={order}", f"--update-parallelism={parallelism}", "--update-delay=500ms"),
        *("--update-monitor=0s", f"--mount=type=bind,source={folder},target=/ids", "--stop-grace-period=5s"),
        environment={"STOP": stop, "LOG": "/ids/{{.Task.ID}}"},
    )
    await asyncio.to_thread(daemon.until_running, name, 4)
    await edge.until_status("rolling.test", 200)
    before = {task["ID"] for task in daemon.running(name)}
    async with Load(edge.ports[80], "rolling.test", sticky=True, address=daemon.address) as load:
        await until(lambda: len(load.sent) >= 250, "the load")
        await run(daemon, "service", "update", "--detach", "--quiet", "--force", name)
        await until(lambda: renewed(daemon, name, before), "four new tasks", 60)
        await run(daemon, "service", "scale", "--detach", f"{name}=2")
        sent = len(load.sent)
        await until(lambda: len(load.sent) >= sent + 1000, "requests after the change")
    await run(daemon, "service", "rm", name)
    assert not load.failed("GET"), load.summary()
    if stop == "graceful":
        assert not load.failed("POST"), load.summary()
    seen = ids_of(*folder.iterdir())
    assert [one.id for one in load.sent if one.method == "POST" and seen[one.id] > 1] == []
    lost = [one for one in load.failed("POST") if not seen[one.id] and "UPSTREAM_RESET" not in one.error]
    assert not lost, load.summary()


def renewed(daemon: SwarmDaemon, name: str, before: set[str]) -> bool:
    now = {task["ID"] for task in daemon.running(name)}
    return len(now) == 4 and not now & before
