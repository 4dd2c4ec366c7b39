"""Other daemons than the one at hand: over TLS with client certificates, several in one router, Podman."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import docker_images
from live.docker_daemon import Boxes, Relay, Watcher, boxes, following, servers, verdict  # noqa: F401
from live.tls_peers import Authority
from live.toolbox import Router, fetch, until, wait_until

from edgerouter.clients.docker import ClientTLS
from edgerouter.providers.docker import DockerOptions


@pytest.fixture
def own(boxes: Boxes) -> Boxes:  # noqa: F811
    """This test's containers."""
    return boxes


def daemon_side(authority: Authority) -> ssl.SSLContext:
    """As ``dockerd --tlsverify`` listens: only for who has a certificate of the authority."""
    pair = authority.issue("127.0.0.1", file="daemon")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair["certFile"], pair["keyFile"])
    context.load_verify_locations(str(authority.ca_file))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_two_daemons_one_over_tls_and_one_that_goes_away(own: Boxes, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("router.test")
    own.start("near", {"edgerouter.http.routers.near.rule": "Host(`near.test`)"})
    own.start("far", {"edgerouter.http.routers.far.rule": "Host(`far.test`)", "zone": "far"})
    async with Relay(tmp_path, tls=daemon_side(authority)) as relay:
        tls = {"ca": str(authority.ca_file), "cert": pair["certFile"], "key": pair["keyFile"]}
        far = {"endpoint": f"tcp://127.0.0.1:{relay.port}", "tls": tls}
        daemons = {
            "east": {"constraints": f"{own.constraint} && !Label(`zone`, `far`)"},
            "west": {**far, "constraints": f"{own.constraint} && Label(`zone`, `far`)"},
        }
        static = {"providers": {"docker": daemons}, "api": {"insecure": True}}
        async with Router(tmp_path, static=static) as router:

            async def answers(host: str) -> int:
                return (await fetch(router.port("web"), "/", host=host)).status

            for host in ("near.test", "far.test"):
                while await answers(host) != 200:
                    await asyncio.sleep(0.02)
            seen = {line["provider"] for line in (await fetch(router.port("traefik"), "/api/workloads")).json()}
            assert seen == {"docker-east", "docker-west"}
            relay.refuse()
            await until(lambda: router.find_log("providers.docker.west") or router.find_log("docker-west"), "the loss")
            own.start("new", {"edgerouter.http.routers.new.rule": "Host(`new.test`)"})
            while await answers("new.test") != 200:
                await asyncio.sleep(0.02)
            assert await answers("far.test") == 200, "what a daemon said last goes on while it is away"
            lines = (await fetch(router.port("traefik"), "/api/providers")).json()
            states = {line["name"]: line["state"] for line in lines}
            assert (states["docker-east"], states["docker-west"]) == ("running", "stale"), states


async def test_a_daemon_that_wants_a_certificate_says_so(own: Boxes, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with Relay(tmp_path, tls=daemon_side(authority)) as relay:
        options = DockerOptions(endpoint=f"tcp://127.0.0.1:{relay.port}", tls=ClientTLS(ca=str(authority.ca_file)))
        async with following(Watcher(options)) as watcher:
            failure = await watcher.until_failure()
    said = str(failure).lower().replace("_", " ")
    assert "certificate required" in said or "name one: tls.cert and tls.key" in said, failure


# -- Podman -----------------------------------------------------------------------------------------------------------


class Podman:
    """Podman with a storage of its own, and its API on a socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "podman.sock"
        runtime = shutil.which("runc", path="/usr/bin:/usr/sbin:/sbin") or "crun"
        self._words = ["podman", f"--root={folder}/root", f"--runroot={folder}/run", f"--tmpdir={folder}/tmp"]
        self._words += ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file"]
        self._words += [f"--runtime={runtime}"]
        self._service: subprocess.Popen[bytes] | None = None

    def run(self, *words: str) -> str:
        return docker_images.run([*self._words, *words]).strip()

    def start(self) -> str:
        """Serve the API; the test server's image."""
        image = docker_images.server_image()
        archive = subprocess.run(["docker", "save", image], capture_output=True, check=True).stdout
        docker_images.run([*self._words, "load"], archive)
        self._service = subprocess.Popen([*self._words, "system", "service", "--time=0", f"unix://{self.socket}"])
        wait_until(self.socket.exists, "Podman's socket")
        return image

    def stop(self) -> None:
        subprocess.run([*self._words, "rm", "--all", "--force", "--time=0"], capture_output=True, check=False)
        if self._service is not None:
            self._service.terminate()
            self._service.wait()


@pytest.fixture
def podman() -> Iterator[Podman]:
    """A skip where Podman is not installed."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed: run .ci/live-peers.sh as root")
    folder = Path(tempfile.mkdtemp(prefix="erp-"))
    made = Podman(folder)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def test_podman(podman: Podman) -> None:
    """Its socket is read like Docker's: a container on the host's network comes, gets its stop signal, and is gone."""
    image = await asyncio.to_thread(podman.start)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # As many open files as any machine allows: by default Podman wants more than some do.
    words = ["--network=host", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", f"--env=PORTS={port}"]
    words += ["--env=STOP=graceful", "--env=LINGER=1s", f"--label=edgerouter.port={port}"]
    async with following(Watcher(DockerOptions(endpoint=f"unix://{podman.socket}"))) as watcher:
        await watcher.until(lambda found: True, "the first snapshot")
        await asyncio.to_thread(podman.run, "run", "-d", "--name=web", *words, image)
        found = await watcher.until(lambda found: verdict(found, "web") == "ROUTED", "its route")
        assert servers(found, "web") == [f"http://127.0.0.1:{port}"]
        await asyncio.to_thread(podman.run, "stop", "web")
        await watcher.until(lambda found: verdict(found, "web") == "NOT_RUNNING", "its end")
        verdicts = [verdict(snapshot, "web") for _, snapshot in watcher.snapshots]
        assert "STOPPING" in verdicts, verdicts
        await asyncio.to_thread(podman.run, "rm", "web")
        await watcher.until(lambda found: not verdict(found, "web"), "its removal")
