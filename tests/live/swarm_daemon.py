"""A Docker daemon of the tests' own, in Swarm mode: the machine's daemon, which others use, stays as it is.

It has its own data, its own socket and its own network namespace: every daemon calls its gateway to the overlay
networks ``docker_gwbridge``, and two in one namespace take addresses and ports from each other. The overlay networks
are real. This kernel may have no IP_VS: the services here are reached at their tasks' addresses (dnsrr), and ports are
published with mode=host.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from live import docker_images
from live.toolbox import CHECKOUT, wait_until

EDGE = "edge"  # the overlay network that everything here shares
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ssl")


def _program(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or name


def _ip(*words: str) -> None:
    docker_images.run([_program("ip"), *words])


class SwarmDaemon:
    """The daemon and what tests do with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.namespace = f"edgerouter-{os.getpid()}"
        self._link = f"er{os.getpid()}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where the machine reaches the ports that services publish here."""
        return f"{self._network}.2"

    @property
    def _network(self) -> str:
        """Three numbers of a network of its own, by the process: two tests at once must not meet."""
        return f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"

    @property
    def endpoint(self) -> str:
        """As in ``providers.swarm.endpoint``."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and make it a Swarm of one node."""
        self._connect()
        flags = ["--iptables=false", "--ip-forward=false", "--ip-masq=false", "--log-level=warn"]
        flags += [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/pid"]
        # Not "ip netns exec": that mounts /sys anew, without the control groups that containers need.
        within = [_program("nsenter"), f"--net=/run/netns/{self.namespace}"]
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*within, "dockerd", f"--host={self.endpoint}", *flags], stdout=log, stderr=log, env=environment
            )
        wait_until(self._answers, "the second Docker daemon", 60)
        self.docker("swarm", "init", "--advertise-addr=127.0.0.1", "--listen-addr=127.0.0.1")
        self.docker("network", "create", "--driver=overlay", "--attachable", EDGE)

    def _connect(self) -> None:
        """A namespace, and a line to it."""
        _ip("netns", "add", self.namespace)
        _ip("-netns", self.namespace, "link", "set", "lo", "up")
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "outside", "netns", self.namespace)
        _ip("address", "add", f"{self._network}.1/24", "dev", self._link)
        _ip("link", "set", self._link, "up")
        _ip("-netns", self.namespace, "address", "add", f"{self.address}/24", "dev", "outside")
        _ip("-netns", self.namespace, "link", "set", "outside", "up")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()[-3000:]
        return self._attempt("version").returncode == 0

    def _attempt(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """The docker program against this daemon, however it ends; TimeoutExpired after a minute."""
        return subprocess.run(["docker", "--host", self.endpoint, *words], capture_output=True, timeout=60)

    def stop(self) -> None:
        """End all that runs there, and the daemon."""
        with suppress(subprocess.TimeoutExpired):  # it hangs: it is killed
            for listing, remove in ((("service", "ls", "-q"), ("service", "rm")), (("ps", "-aq"), ("rm", "-f"))):
                for name in self._attempt(*listing).stdout.decode().split():
                    self._attempt(*remove, name)
            self._attempt("swarm", "leave", "--force")
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for words in (("link", "delete", self._link), ("netns", "delete", self.namespace)):
            subprocess.run([_program("ip"), *words], capture_output=True, timeout=60)

    def docker(self, *words: str) -> str:
        """Run the docker program against this daemon; its output, or AssertionError with its errors."""
        return docker_images.run(["docker", "--host", self.endpoint, *words]).strip()

    def load(self, *images: str) -> None:
        """Bring images of the machine's daemon here."""
        archive = subprocess.run(["docker", "save", *images], capture_output=True, check=True, timeout=120).stdout
        docker_images.run(["docker", "--host", self.endpoint, "load"], archive)

    def ask(self, path: str) -> Any:
        """GET of the API, decoded."""
        command = ["curl", "-sS", "--fail", "--unix-socket", str(self.socket), f"http://docker{path}"]
        return json.loads(docker_images.run(command))

    # -- services -------------------------------------------------------------------------------------------------

    def service(
        self,
        name: str,
        labels: dict[str, str] | None = None,
        *flags: str,
        environment: dict[str, str] | None = None,
        image: str = "",
        endpoint_mode: str = "dnsrr",
    ) -> str:
        """``docker service create``; its name."""
        words = ["service", "create", "--detach", "--quiet", "--no-resolve-image", "--name", name]
        words += [f"--network={EDGE}", f"--endpoint-mode={endpoint_mode}", *flags]
        for key, value in (labels or {}).items():
            words += ["--label", f"{key}={value}"]
        for key, value in {"NAME": "{{.Task.Name}}", **(environment or {})}.items():
            words += ["--env", f"{key}={value}"]
        self.docker(*words, image or docker_images.server_image())
        return name

    def remove(self, *names: str) -> None:
        """``docker service rm``, and until the containers are gone."""
        self.docker("service", "rm", *names)
        wait_until(lambda: not self._left(names), f"the end of {names}", 60)

    def _left(self, names: tuple[str, ...]) -> list[str]:
        found: list[str] = []
        for name in names:
            found += self.docker("ps", "-q", "--filter", f"label=com.docker.swarm.service.name={name}").split()
        return found

    def running(self, name: str) -> list[dict[str, Any]]:
        """The tasks of a service that run and are meant to."""
        tasks = self.ask("/tasks?filters=" + quote(json.dumps({"service": [name]})))
        wanted = [task for task in tasks if task["DesiredState"] == "running"]
        return [task for task in wanted if task["Status"]["State"] == "running"]

    def until_running(self, name: str, count: int) -> None:
        """Wait for so many tasks."""
        wait_until(lambda: len(self.running(name)) == count, f"{count} tasks of {name}", 60)

    def router(self, *flags: str, name: str = "edgerouter") -> dict[int, int]:
        """The router as a service of this Swarm, run from this checkout by this Python; published port of each port.

        Its container holds the machine's own files, read-only, in place of an image that would have to be built.
        """
        places = {place for place in (*_SYSTEM, sys.prefix, sys.base_prefix, str(CHECKOUT)) if Path(place).exists()}
        places = {place for place in places if not any(place.startswith(f"{other}/") for other in places)}
        words = [f"--mount=type=bind,source={place},target={place},readonly" for place in sorted(places)]
        words += [
            f"--mount=type=bind,source={self.socket},target=/var/run/docker.sock",
            "--mount=type=tmpfs,target=/tmp",
        ]
        words += ["--constraint=node.role==manager", "--entrypoint", sys.executable, "--workdir=/"]
        words += [f"--publish=mode=host,target={port}" for port in (80, 8080)]
        words += [
            "--env",
            f"PYTHONPATH={os.pathsep.join(path for path in sys.path if path)}",
            "--env=PYTHONDONTWRITEBYTECODE=1",
        ]
        create = ["service", "create", "--detach", "--quiet", "--no-resolve-image", "--name", name, f"--network={EDGE}"]
        self.docker(*create, *words, docker_images.server_image(), "-m", "edgerouter", *flags)
        self.until_running(name, 1)
        ports = self.running(name)[0]["Status"]["PortStatus"]["Ports"]
        return {int(port["TargetPort"]): int(port["PublishedPort"]) for port in ports}

    def logs(self, name: str) -> str:
        """What a service's containers printed."""
        done = self._attempt("service", "logs", name)
        return (done.stdout + done.stderr).decode(errors="replace")[-4000:]


@contextmanager
def swarm_daemon() -> Iterator[SwarmDaemon]:
    """A daemon in Swarm mode with the test servers' images, ended at the end."""
    folder = Path(tempfile.mkdtemp(prefix="edgerouter-swarm-"))
    daemon = SwarmDaemon(folder)
    try:
        daemon.start()
        daemon.load(docker_images.server_image(), docker_images.checked_server_image())
        yield daemon
    finally:
        daemon.stop()
        _clear(folder)


def _clear(folder: Path) -> None:
    """Unmount what the daemon left, and remove its data."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], capture_output=True, timeout=60)
    end = time.monotonic() + 10
    while folder.exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
