"""Never a riddle: ten and more broken containers beside ten good ones, each named; explain and ledger as commands."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live import docker_images
from live.docker_daemon import Boxes, has_daemon
from live.toolbox import CHECKOUT, Router, fetch

GOOD = 10
R = "edgerouter.http.routers."
CHECK = ("--health-interval=200ms", "--health-timeout=5s", "--health-retries=1")


@pytest.fixture
def own() -> Iterator[Boxes]:
    """This test's containers; a skip that names the daemon where there is none."""
    if not has_daemon():
        pytest.skip("no Docker daemon answers: run .ci/live-peers.sh as root")
    made = Boxes()
    yield made
    made.close()


def rule(name: str, **others: str) -> dict[str, str]:
    return {f"{R}{name}.rule": f"Host(`{name}.test`)", **{f"{R}{name}.{key}": value for key, value in others.items()}}


def start_all(own: Boxes) -> None:
    """All at once: starting one takes half a second."""
    checked, portless = docker_images.checked_server_image(), docker_images.named_server_image("portless-image", 80)
    sick = {"image": checked, "environment": {"HEALTH": "unhealthy"}}
    wanted = [
        ("disabled", {**rule("disabled"), "edgerouter.enable": "false"}, {}),
        ("exited", rule("exited"), {"command": ("health", "http://127.0.0.1:1/")}),
        ("starting", rule("starting"), {**sick, "flags": (*CHECK, "--health-start-period=600s")}),
        ("sick", rule("sick"), {**sick, "flags": CHECK}),
        ("portless", rule("portless"), {"image": portless}),
        ("isolated", rule("isolated"), {"flags": ("--network=none",)}),
        ("misspelt", {**rule("misspelt"), f"{R}misspelt.entrypoint": "web"}, {}),
        ("guarded", rule("guarded", middlewares="nobody"), {}),
        ("lame", {f"{R}lame.rule": "Host(`lame.test`"}, {}),
        ("nowhere", rule("nowhere", entrypoints="webb"), {}),
        ("shadow", {f"{R}shadow.rule": "Host(`good0.test`)", f"{R}shadow.priority": "1"}, {}),
    ]
    wanted += [(f"good{number}", rule(f"good{number}"), {}) for number in range(GOOD)]
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(own.start, name, labels, **more) for name, labels, more in wanted]:
            future.result()


CODES = {
    "disabled": "NOT_ENABLED",
    "exited": "NOT_RUNNING",
    "starting": "STARTING",
    "sick": "UNHEALTHY",
    "portless": "NO_PORT",
    "isolated": "NO_SHARED_NETWORK",
    "misspelt": "BAD_LABEL",
    "guarded": "BAD_MIDDLEWARE",
    "lame": "BAD_RULE",
    "nowhere": "NO_ENTRY_POINT",
    "shadow": "SHADOWED",
}
NO_FIX = ("starting",)  # but to wait


async def command(router_folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "RUNTIME_DIRECTORY": str(router_folder)}
    line = [sys.executable, "-m", "edgerouter", *words]
    return await asyncio.to_thread(
        subprocess.run, line, capture_output=True, text=True, env=environment, cwd=router_folder, check=False
    )


async def test_broken_containers_beside_good_ones(own: Boxes, tmp_path: Path) -> None:
    static = {"providers": {"docker": {"constraints": own.constraint}}, "api": {"insecure": True}}
    async with Router(tmp_path, static=static, env={"RUNTIME_DIRECTORY": str(tmp_path)}) as router:
        await asyncio.to_thread(start_all, own)
        answered: set[int] = set()

        async def codes() -> dict[str, str]:
            for number in range(GOOD):
                status = (await fetch(router.port("web"), "/", host=f"good{number}.test")).status
                assert status == 200 or number not in answered, f"good{number} answered, and then {status}"
                if status == 200:
                    answered.add(number)
            lines = (await fetch(router.port("traefik"), "/api/workloads")).json()
            return {line["name"].removesuffix(f"-{own.run_id}"): line["verdict"] for line in lines if not line["left"]}

        found = await codes()
        for _ in range(200):
            if len(answered) == GOOD and all(found.get(name) == code for name, code in CODES.items()):
                break
            await asyncio.sleep(0.05)
            found = await codes()
        assert {name: found.get(name) for name in CODES} == CODES
        assert len(set(CODES.values())) == len(CODES) >= 10
        assert len(answered) == GOOD
        lines = (await fetch(router.port("traefik"), "/api/workloads")).json()
        for line in lines:
            name = line["name"].removesuffix(f"-{own.run_id}")
            assert name not in CODES or (line["reason"] and (line["fix"] or name in NO_FIX)), line
        await told(router, tmp_path, own)


async def told(router: Router, folder: Path, own: Boxes) -> None:
    """The same by commands, which need no port."""
    listed = await command(folder, "ledger")
    assert listed.returncode == 0, listed.stderr
    for name, code in CODES.items():
        assert f"{code:<18} container {own.name(name)}@docker" in listed.stdout, listed.stdout
    port = router.port("web")
    for name, code in CODES.items():
        if name in ("shadow", "misspelt"):
            continue
        found = await fetch(router.port("traefik"), f"/api/explain?url=http://{name}.test:{port}/")
        assert found.json()["findings"][0]["code"] == code, (name, found.text)
    answer = await command(folder, "explain", f"http://sick.test:{port}/")
    assert answer.returncode == 1 and "  UNHEALTHY: " in answer.stdout, (answer.stdout, answer.stderr)
    served = await command(folder, "explain", f"http://127.0.0.1:{port}/", "-H", "Host: good3.test", "--json")
    assert served.returncode == 0 and '"router":"good3@docker"' in served.stdout
    assert (await command(folder, "explain")).returncode == 2
    typo = await fetch(router.port("traefik"), f"/api/explain?url=http://god3.test:{port}/")
    assert [found["code"] for found in typo.json()["findings"]] == ["HOST_TYPO"]
    assert (await fetch(router.port("traefik"), "/api/explain?url=nonsense://")).status == 400
    await by_id(router, folder)


async def by_id(router: Router, folder: Path) -> None:
    """The id of a 404 page stands for the very request, and is known half a second later at most."""
    page = await fetch(router.port("web"), "/cart", host="god3.test", headers={"Cookie": "token=secret"})
    assert page.status == 404 and page.text.startswith("404 page not found\n"), page.text
    reference = page.text.split()[-1]
    ends = time.monotonic() + 20
    while (answer := await command(folder, "explain", reference)).returncode == 2:
        assert "begins anew" in answer.stderr and time.monotonic() < ends, answer.stderr
    assert answer.returncode == 1 and "HOST_TYPO" in answer.stdout and "secret" not in answer.stdout, answer.stdout
    assert "got 404 at" in answer.stdout and "GET http://god3.test/cart  on entry point web" in answer.stdout
    told = (await fetch(router.port("traefik"), f"/api/explain?id={reference}")).json()
    assert told["findings"][0]["code"] == "HOST_TYPO" and told["url"] == "http://god3.test/cart"
