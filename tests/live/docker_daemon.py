"""Containers for live tests on the real daemon: started under names of their own, removed at the end.

Lives here: the daemon's fixture, ``Box`` (what a test runs), ``Watcher`` (the provider itself, without a router), and
a relay that records what is asked of the daemon. Images are ``docker_images``'.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from live import docker_images

from edgerouter.contracts.snapshot import Provider, ProviderContext, Snapshot, Workload
from edgerouter.providers._daemon_options import DaemonOptions
from edgerouter.providers.docker import DockerOptions, DockerProvider
from edgerouter.registry import load

SOCKET = "/var/run/docker.sock"
MARK = "edgerouter-test"  # the label that tells one test's containers from everybody else's
PATIENCE = 20.0
_REQUEST = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.1\r\n")


def docker(*words: str) -> str:
    """Run the docker program; its output, or AssertionError with its errors."""
    return docker_images.run(["docker", *words]).strip()


def has_daemon() -> bool:
    """True when a daemon answers."""
    if not shutil.which("docker"):
        return False
    return not subprocess.run(["docker", "version"], capture_output=True, timeout=60).returncode


class Boxes:
    """The containers and networks of one test."""

    def __init__(self) -> None:
        self.run_id = uuid.uuid4().hex[:8]
        self._names: list[str] = []
        self._networks: list[str] = []

    @property
    def constraint(self) -> str:
        """The constraint that takes this test's containers only."""
        return f"Label(`{MARK}`, `{self.run_id}`)"

    def name(self, short: str) -> str:
        """A container's name that no other test has."""
        return f"{short}-{self.run_id}"

    def start(
        self,
        short: str,
        labels: dict[str, str] | None = None,
        *,
        flags: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        image: str = "",
        command: tuple[str, ...] = (),
    ) -> str:
        """``docker run -d``; returns the container's name."""
        name = self.name(short)
        self._names.append(name)
        words = ["run", "-d", "--name", name, *flags]
        for key, value in {MARK: self.run_id, **(labels or {})}.items():
            words += ["--label", f"{key}={value}"]
        for key, value in {"NAME": short, **(environment or {})}.items():
            words += ["--env", f"{key}={value}"]
        docker(*words, image or docker_images.server_image(), *command)
        return name

    def keep(self, name: str) -> str:
        """Remove this container too at the end."""
        self._names.append(name)
        return name

    def network(self, short: str, *flags: str) -> str:
        """Make a network; returns its name."""
        name = self.name(short)
        self._networks.append(name)
        docker("network", "create", *flags, name)
        return name

    def close(self) -> None:
        """Remove all."""
        for name in self._names:
            subprocess.run(["docker", "rm", "-f", name], capture_output=True, timeout=60)
        for name in self._networks:
            subprocess.run(["docker", "network", "rm", name], capture_output=True, timeout=60)


def address(name: str) -> str:
    """A container's address on its first network."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    return docker("inspect", "--format", form, name).split()[0]


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    """Containers of this test; a skip that names the daemon where there is none."""
    if not has_daemon():
        pytest.skip("no Docker daemon answers: run .ci/live-peers.sh as root")
    made = Boxes()
    try:
        yield made
    finally:
        made.close()


class Watcher:
    """The provider, followed: every snapshot with the time when it came."""

    def __init__(self, options: DaemonOptions, cls: type[Provider] = DockerProvider, name: str = "docker") -> None:
        rooms = ("services", "middlewares")
        kinds = {room: {name: plugin.options for name, plugin in load(room).items()} for room in rooms}
        self.provider = cls(options, ProviderContext(name=name, kinds=kinds))
        self.snapshots: list[tuple[float, Snapshot]] = []
        self.failure: BaseException | None = None
        self._news = asyncio.Event()

    async def follow(self) -> None:
        """Collect until the provider ends or fails."""
        try:
            async for snapshot in self.provider.watch():
                self.snapshots.append((time.monotonic(), snapshot))
                self._news.set()
        except ConnectionError as error:
            self.failure = error
            self._news.set()

    @property
    def last(self) -> Snapshot:
        """The newest snapshot."""
        return self.snapshots[-1][1]

    async def until(self, condition: Callable[[Snapshot], Any], what: str) -> Snapshot:
        """Wait for a newest snapshot of which the condition is true."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not (self.snapshots and condition(self.last)):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"waited {PATIENCE} s in vain for {what}; last: {self.snapshots[-1:]}") from None
        return self.last

    async def until_failure(self) -> BaseException:
        """Wait until the provider gives up."""
        async with asyncio.timeout(PATIENCE):
            while self.failure is None:
                self._news.clear()
                await self._news.wait()
        return self.failure


@asynccontextmanager
async def watching(boxes: Boxes, **options: Any) -> AsyncIterator[Watcher]:
    """Follow the provider over this test's containers."""
    watcher = Watcher(DockerOptions(**{"constraints": boxes.constraint, **options}))
    async with following(watcher):
        yield watcher


@asynccontextmanager
async def following(watcher: Watcher) -> AsyncIterator[Watcher]:
    """Follow a provider."""
    task = asyncio.create_task(watcher.follow())
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def workload(snapshot: Snapshot, name: str) -> Workload | None:
    """A container's entry in the ledger."""
    return next((workload for workload in snapshot.workloads if workload.name == name), None)


def verdict(snapshot: Snapshot, name: str) -> str:
    """A container's verdict, "" while it is not seen."""
    found = workload(snapshot, name)
    return found.verdict if found else ""


def servers(snapshot: Snapshot, service: str) -> list[str]:
    """The servers' addresses of a service."""
    found = snapshot.configuration.http.services.get(service)
    return [server.url for server in found.options.servers] if found else []


class Relay:
    """A socket in front of a daemon's: records requests, can hang up. With a TLS context it listens on a TCP port."""

    def __init__(self, path: Path, target: str = SOCKET, tls: ssl.SSLContext | None = None) -> None:
        self.path = path
        self.port = 0
        self._target = target
        self._tls = tls
        self.requests: list[tuple[str, str]] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Relay:
        if self._tls is not None:
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
        else:
            self._server = await asyncio.start_unix_server(self._accepted, str(self.path))
        return self

    def sections(self) -> set[str]:
        """What was asked for, by the first part of its path: ``containers``, ``networks`` ... GET and HEAD only."""
        assert {method for method, _ in self.requests} <= {"GET", "HEAD"}, self.requests
        paths = [re.sub(r"^/v1\.\d+", "", path.partition("?")[0]) for _, path in self.requests]
        return {path.split("/")[1] for path in paths}

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """Close all connections at once, as a daemon that restarts does."""
        for writer in list(self._writers):
            writer.transport.abort()

    def refuse(self) -> None:
        """Hang up, and accept nobody any more: the daemon is away."""
        self._server.close()
        self.hang_up()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream_reader, upstream = await asyncio.open_unix_connection(self._target)
        self._writers |= {writer, upstream}
        try:
            await asyncio.gather(self._pass(reader, upstream, True), self._pass(upstream_reader, writer, False))
        finally:
            self._writers -= {writer, upstream}
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asks: bool) -> None:
        try:
            while data := await reader.read(65536):
                if asks and (found := _REQUEST.match(data)):
                    self.requests.append((found.group(1).decode(), found.group(2).decode()))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
