"""S1 with the router as users run it: the container built from the Dockerfile, the Docker socket mounted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from typing import Any

import pytest
from live import docker_images
from live.docker_daemon import MARK, SOCKET, Boxes, boxes, docker  # noqa: F401 - a fixture
from live.toolbox import fetch, until

pytestmark = pytest.mark.timeout(1800)  # the image may have to be built first

S1 = {
    "catalog": (3000, "10", 'Host("acme.com") && PathPrefix("/catalog")'),
    "eshop": (5000, "1", 'Host("acme.com")'),
}


@pytest.fixture
def own(boxes: Boxes) -> Boxes:  # noqa: F811
    """This test's containers."""
    return boxes


def start_shops(own: Boxes) -> None:
    """The first two of S1's three commands."""
    for name, (port, priority, rule) in S1.items():
        labels = {
            "traefik.enable": "true",
            "traefik.port": str(port),
            "traefik.priority": priority,
            f"traefik.http.routers.{name}.rule": rule,
        }
        own.start(name, labels, image=docker_images.named_server_image(f"{name}-image", port))


def start_router(own: Boxes, *flags: str) -> str:
    """The third one. Ports of the host are the kernel's choice, so that tests can run beside whatever runs."""
    return own.start(
        "edgerouter",
        flags=(
            *("--publish=127.0.0.1::80", "--publish=127.0.0.1::8080", "--health-interval=1s"),
            *(f"--volume={SOCKET}:/var/run/docker.sock", *flags),
        ),
        image=docker_images.router_image(),
        command=("--api.insecure=true", "--providers.docker", f"--providers.docker.constraints={own.constraint}"),
    )


def published(name: str, port: int) -> int:
    return int(docker("port", name, str(port)).splitlines()[0].rsplit(":", 1)[1])


async def until_answer(name: str, port: int, path: str) -> Any:
    """The first 200."""
    end = time.monotonic() + 30
    while True:
        try:
            reply = await fetch(port, path, host="acme.com", patience=5)
            if reply.status == 200:
                return reply.json()
        except (OSError, EOFError, TimeoutError):
            pass
        logs = subprocess.run(["docker", "logs", name], capture_output=True, check=False)
        assert time.monotonic() < end, (logs.stdout + logs.stderr).decode()
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("flags", [(), ("--user=65532:65532", "--group-add=SOCKET")], ids=["root", "uid 65532"])
async def test_s1_as_a_container(own: Boxes, flags: tuple[str, ...]) -> None:
    group = str(os.stat(SOCKET).st_gid)
    start_shops(own)
    name = start_router(own, *(flag.replace("SOCKET", group) for flag in flags))
    web = published(name, 80)
    catalog = await until_answer(name, web, "/catalog?type=bicycles")
    assert (catalog["name"], catalog["path"], catalog["query"]) == ("catalog", "/catalog", "type=bicycles")
    eshop = await until_answer(name, web, "/checkout")
    assert (eshop["name"], eshop["path"]) == ("eshop", "/checkout")
    assert eshop["local"].endswith(":5000")
    await until(lambda: health(name) == "healthy", "healthy by its own HEALTHCHECK")
    overview = await fetch(published(name, 8080), "/api/overview")
    assert overview.status == 200 and "Docker" in overview.json()["providers"]
    docker("stop", name)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"


def health(name: str) -> str:
    return docker("inspect", "--format", "{{.State.Health.Status}}", name)


@pytest.mark.parametrize(
    ("words", "expected"),
    [(("version",), "Version:"), (("--help",), "providers.docker"), (("sh", "-c", "echo $((6*7))"), "42")],
)
def test_the_entry_point_takes_flags_commands_and_programs(own: Boxes, words: tuple[str, ...], expected: str) -> None:
    assert expected in docker("run", "--rm", f"--label={MARK}={own.run_id}", docker_images.router_image(), *words)


def test_wrong_flags_end_with_code_2(own: Boxes) -> None:
    command = ["docker", "run", "--rm", docker_images.router_image(), "--providers.dokker"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2 and b"docker" in done.stderr
