"""The provider ``docker`` on the real daemon, without a router: events, health, networks, a lost connection."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from live.docker_daemon import (
    Boxes,
    Relay,
    address,
    boxes,  # noqa: F401 - a fixture
    docker,
    servers,
    verdict,
    watching,
    workload,
)
from live.docker_images import checked_server_image
from live.toolbox import CHECKOUT

# Within the start period a failed check leaves the container starting.
QUICK = ("--health-interval=200ms", "--health-timeout=5s", "--health-retries=1", "--health-start-period=600s")


@pytest.fixture
def own(boxes: Boxes) -> Boxes:  # noqa: F811
    """This test's containers."""
    return boxes


async def test_a_container_comes_stops_returns_and_goes(own: Boxes) -> None:
    async with watching(own) as watcher:
        await watcher.until(lambda found: True, "the first snapshot")
        name = own.start("web", environment={"STOP": "graceful", "LINGER": "1s"})
        found = await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its route")
        assert servers(found, name) == [f"http://{address(name)}:80"]
        docker("stop", name)
        await watcher.until(lambda found: verdict(found, name) == "NOT_RUNNING", "its end")
        verdicts = [verdict(snapshot, name) for _, snapshot in watcher.snapshots]
        assert "STOPPING" in verdicts, "it must leave rotation when it gets its stop signal, not when it has ended"
        assert watcher.last.sleeping[name] == f"container {name} is exited with code 0"
        docker("start", name)
        await watcher.until(lambda found: verdict(found, name) == "ROUTED" and not found.sleeping, "its return")
        docker("rm", "-f", name)
        found = await watcher.until(lambda found: not verdict(found, name), "its removal")
        assert name not in found.configuration.http.routers


async def test_the_stop_signal_counts_while_the_container_still_serves(own: Boxes) -> None:
    name = own.start("web", environment={"STOP": "graceful", "LINGER": "3s"})
    async with watching(own) as watcher:
        await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its route")
        docker("kill", "--signal", "TERM", name)
        sent = time.monotonic()
        found = await watcher.until(lambda found: verdict(found, name) == "STOPPING", "its leaving")
        assert servers(found, name) == [] and name in found.sleeping
        assert time.monotonic() - sent < 2.0, "the server goes on for 3 s: the rotation must not wait for its end"


async def test_a_signal_that_does_not_stop_changes_nothing(own: Boxes) -> None:
    name = own.start("web", flags=("--stop-signal=SIGQUIT",))
    async with watching(own) as watcher:
        await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its route")
        docker("kill", "--signal", "WINCH", name)
        other = own.start("other")
        await watcher.until(lambda found: verdict(found, other) == "ROUTED", "the other's route")
        assert all(verdict(snapshot, name) == "ROUTED" for _, snapshot in watcher.snapshots)


async def test_s4_health(own: Boxes) -> None:
    """S4: a starting container waits, a healthy one is routed, an unhealthy one is not and the ledger says why."""
    image = checked_server_image()
    async with watching(own) as watcher:
        name = own.start("web", image=image, flags=QUICK, environment={"HEALTH": "unhealthy"})
        await watcher.until(lambda found: verdict(found, name) == "STARTING", "its start")
        assert all(servers(snapshot, name) == [] for _, snapshot in watcher.snapshots)
        docker("exec", name, "/server", "health", "http://127.0.0.1/_health?set=healthy")
        await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its health")
        docker("exec", name, "/server", "health", "http://127.0.0.1/_health?set=unhealthy")
        found = await watcher.until(lambda found: verdict(found, name) == "UNHEALTHY", "its illness")
        seen = workload(found, name)
        assert seen is not None and "told to be unhealthy" in seen.reason and name in seen.fix
        assert servers(found, name) == [] and name in found.sleeping
        docker("exec", name, "/server", "health", "http://127.0.0.1/_health?set=healthy")
        await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its recovery")


async def test_networks(own: Boxes) -> None:
    edge = own.network("edge")
    name = own.start("web", {"edgerouter.docker.network": edge})
    async with watching(own) as watcher:
        found = await watcher.until(lambda found: found.problems, "the problem")
        assert edge in found.problems[0].message
        docker("network", "connect", edge, name)
        found = await watcher.until(lambda found: not found.problems, "the connected network")
        form = f'{{{{(index .NetworkSettings.Networks "{edge}").IPAddress}}}}'
        assert servers(found, name) == [f"http://{docker('inspect', '--format', form, name)}:80"]


@pytest.mark.parametrize(
    ("flags", "code"), [(("--network=none",), "NO_SHARED_NETWORK"), (("--network=host",), "ROUTED")]
)
async def test_network_modes(own: Boxes, flags: tuple[str, ...], code: str) -> None:
    name = own.start("web", {"edgerouter.port": "81"}, flags=flags, environment={"PORTS": "0"})
    async with watching(own) as watcher:
        found = await watcher.until(lambda found: verdict(found, name) == code, code)
        expected = "http://127.0.0.1:81" if code == "ROUTED" else f"unix:/no-shared-network/{name}"
        assert servers(found, name) == [expected]


async def test_container_mode(own: Boxes) -> None:
    owner = own.start("vpn", {"edgerouter.enable": "false"}, environment={"PORTS": "81"})
    name = own.start("web", {"edgerouter.port": "80"}, flags=(f"--network=container:{owner}",))
    async with watching(own) as watcher:
        found = await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its route")
        assert servers(found, name) == [f"http://{address(owner)}:80"]


async def test_published_ports(own: Boxes) -> None:
    name = own.start("web", flags=("--publish=127.0.0.1::80",))
    async with watching(own, use_bind_port_ip=True) as watcher:
        found = await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its route")
        assert servers(found, name) == [f"http://{docker('port', name, '80')}"]


async def test_snapshots_come_for_changes_only(own: Boxes) -> None:
    async with watching(own) as watcher:
        name = own.start("web")
        await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its route")
        before = len(watcher.snapshots)
        for _ in range(5):  # events that change nothing: a listing each, and no snapshot
            docker("kill", "--signal", "WINCH", name)
        other = own.start("other")
        await watcher.until(lambda found: verdict(found, other) == "ROUTED", "the other's route")
        assert {verdict(snapshot, other) for _, snapshot in watcher.snapshots[before:]} <= {"NOT_RUNNING", "ROUTED"}
        assert len(watcher.snapshots) - before <= 3


async def test_the_daemon_is_only_read_and_a_lost_stream_is_told(own: Boxes, tmp_path: Path) -> None:
    name = own.start("web")
    async with Relay(tmp_path / "relay.sock") as relay:
        endpoint: dict[str, Any] = {"endpoint": f"unix://{relay.path}"}
        async with watching(own, **endpoint) as watcher:
            await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its route")
            docker("stop", "--time=1", name)
            await watcher.until(lambda found: verdict(found, name) == "NOT_RUNNING", "its end")
            relay.hang_up()
            failure = await watcher.until_failure()
            assert str(relay.path) in str(failure)
        # What changed meanwhile is in the first snapshot of the next connection.
        docker("start", name)
        async with watching(own, **endpoint) as again:
            found = await again.until(lambda found: found.workloads, "the first snapshot")
            assert verdict(found, name) == "ROUTED"
        example = (
            (CHECKOUT / "README.md").read_text().partition("docker.sock:ro \\\n  -e ")[2].partition("tecnativa")[0]
        )
        assert relay.sections() == {word.lower() for word in re.findall(r"([A-Z]+)=1", example)}


async def test_watch_off_reads_once(own: Boxes) -> None:
    name = own.start("web")
    async with watching(own, watch=False) as watcher:
        await watcher.until(lambda found: verdict(found, name) == "ROUTED", "its route")
    assert len(watcher.snapshots) == 1 and watcher.failure is None


async def test_no_daemon_is_one_sentence(own: Boxes, tmp_path: Path) -> None:
    async with watching(own, endpoint=f"unix://{tmp_path}/nobody.sock") as watcher:
        failure = await watcher.until_failure()
    assert "nobody.sock" in str(failure) and isinstance(failure, ConnectionError)
