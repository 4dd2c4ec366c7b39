"""What a daemon last said: kept 0600 without secrets, served once while the daemon is away, never instead of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerouter.config.static import EntryPoint, StaticConfiguration
from edgerouter.contracts.snapshot import ProviderContext, Snapshot
from edgerouter.control.build import Inputs, build
from edgerouter.providers._docker_facts import Attachment, Container, Place
from edgerouter.providers._docker_watch import Known
from edgerouter.providers._last_known import load, save, secret_words
from edgerouter.providers._swarm_facts import Swarm, SwarmService, Task, Where
from edgerouter.providers._swarm_watch import Known as KnownSwarm
from edgerouter.providers.docker import DockerOptions, DockerProvider
from edgerouter.providers.swarm import SwarmOptions, SwarmProvider
from edgerouter.registry import load as load_room

SECRETS = {
    "edgerouter.http.middlewares.auth.basicauth.users": "joe:$apr1$hidden",
    "traefik.http.middlewares.auth.forwardauth.tls.key": "hidden",
    "traefik.frontend.auth.basic": "joe:hidden",
    "edgerouter.http.services.web.loadbalancer.sticky.cookie.key": "hidden",
}
OPEN = {
    "edgerouter.http.routers.web.rule": "Host(`web.test`)",
    "edgerouter.http.routers.safe.rule": "Host(`safe.test`)",
    "edgerouter.http.routers.safe.middlewares": "auth",
    "edgerouter.http.middlewares.strip.stripprefix.prefixes": "/a",
}


def kinds() -> dict[str, dict[str, Any]]:
    rooms = ("services", "middlewares")
    return {room: {name: plugin.options for name, plugin in load_room(room).items()} for room in rooms}


def known() -> Known:
    attached = (Attachment("bridge", "n", "172.17.0.2", driver="bridge"),)
    box = Container("c1", "web", labels={**OPEN, **SECRETS}, attachments=attached, ports=(80,), last_check="hidden")
    return Known((box,), Place())


def test_the_file_is_private_and_holds_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "docker.json"
    save(str(file), known(), secret_words(kinds()))
    assert file.stat().st_mode & 0o777 == 0o600
    assert "hidden" not in file.read_text() and [path.name for path in tmp_path.iterdir()] == ["docker.json"]
    found = load(str(file), Known)
    assert found is not None and dict(found[0].containers[0].labels) == OPEN
    save(str(file), known(), secret_words(kinds()))  # a second time


@pytest.mark.parametrize("text", ["", "{}", '{"saved":"x","facts":{"containers":3}}', "\0"])
def test_a_file_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "docker.json"
    file.write_text(text)
    assert load(str(file), Known) is None and load(str(tmp_path / "absent"), Known) is None


async def taken(provider: DockerProvider | SwarmProvider) -> tuple[list[Snapshot], str]:
    found = []
    try:
        async for snapshot in provider.watch():
            found.append(snapshot)
    except ConnectionError as error:
        return found, str(error)
    raise AssertionError("nobody listens there")


async def test_a_start_without_the_daemon_serves_what_was_known(tmp_path: Path) -> None:
    file = tmp_path / "docker.json"
    save(str(file), known(), secret_words(kinds()))
    options = DockerOptions(endpoint=f"unix://{tmp_path}/nobody.sock", state_file=str(file))
    provider = DockerProvider(options, ProviderContext(name="docker", kinds=kinds()))
    (snapshot,), error = await taken(provider)
    assert "nobody.sock" in error
    assert [server.url for server in snapshot.configuration.http.services["web"].options.servers] == [
        "http://172.17.0.2:80"
    ]
    assert any("has not answered since the start" in problem.message for problem in snapshot.problems)
    assert (await taken(provider))[0] == [], "once: the supervisor keeps it"
    static = StaticConfiguration(entry_points={"web": EntryPoint(address=":80")})
    built = build(Inputs(static=static, snapshots={"docker": snapshot}))
    assert built.routers["web@docker"].refused == ""
    assert built.routers["safe@docker"].refused, "its users are not on disk: it must refuse, not serve open"


async def test_the_same_for_a_swarm(tmp_path: Path) -> None:
    file = tmp_path / "swarm.json"
    service = SwarmService(id="s", name="web", labels={"edgerouter.port": "80"}, networks=("n",))
    swarm = Swarm(services=(service,), tasks=(Task(id="t", service="s"),))
    save(str(file), KnownSwarm(swarm, Where()), secret_words(kinds()))
    options = SwarmOptions(endpoint=f"unix://{tmp_path}/nobody.sock", state_file=str(file))
    (snapshot,), _ = await taken(SwarmProvider(options, ProviderContext(name="swarm", kinds=kinds())))
    assert [workload.name for workload in snapshot.workloads] == ["web"]


async def test_without_a_file_nothing_is_recalled(tmp_path: Path) -> None:
    options = DockerOptions(endpoint=f"unix://{tmp_path}/nobody.sock")
    assert (await taken(DockerProvider(options, ProviderContext(name="docker", kinds=kinds()))))[0] == []
