"""Names come and go without end: counters of what is gone make room for what comes, and every request stays counted.

``benchmarks/soak.py`` is the long run of this, with resident memory.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

from live.toolbox import EchoServer, Router, fetch, until

from edgerouter.telemetry.memory import HEADER_WORDS

NEW = 40  # routers a change, each with a service of its own
CHANGES = 12
FIRST = 64  # blocks that a counters' memory begins with; it doubles


def dynamic(url: str, change: int) -> dict[str, Any]:
    names = ["stays", *(f"n{change}-{number}" for number in range(NEW))]
    routers = {name: {"rule": f"Host(`{name}.test`)", "service": name, "entryPoints": ["web"]} for name in names}
    services = {name: {"loadBalancer": {"servers": [{"url": url}]}} for name in names}
    return {"http": {"routers": routers, "services": services}}


async def test_names_without_end_need_no_room(tmp_path: Path) -> None:
    static = {
        "metrics": {"prometheus": {"addRoutersLabels": True}},
        "providers": {"providersThrottleDuration": "10ms"},
    }
    async with EchoServer() as echo, Router(tmp_path, dynamic(echo.url, 0), static, workers=1) as router:
        sent = 0
        for change in range(CHANGES):
            sent += await _change(router, echo.url, change)
            if change % 4 == 3:
                await _until_given_back(router)
        counted = await _page(router)
        assert _shown(counted) <= {"stays", *(f"n{CHANGES - 1}-{number}" for number in range(NEW))}
        assert _total(counted, "edgerouter_entrypoint_requests_total", 'entrypoint="web"') == sent
        assert _total(counted, "edgerouter_router_requests_total", 'router="stays@file"', 'code="200"') == CHANGES
        assert _total(counted, "edgerouter_metrics_lost_total", "") == 0
        # four changes' series, and what the loop asks: not those of all that ever were
        assert _blocks(router.worker_pids()[0]) <= 4 * FIRST < CHANGES * NEW


async def _change(router: Router, url: str, change: int) -> int:
    """New names in place of the old; each is asked once. How many requests were sent to the entry point."""
    await asyncio.to_thread(router.write_dynamic, dynamic(url, change))
    sent = 1
    while (await fetch(router.port(), "/", host=f"n{change}-{NEW - 1}.test")).status != 200:
        sent += 1
    for number in range(NEW - 1):
        assert (await fetch(router.port(), "/", host=f"n{change}-{number}.test")).status == 200
    assert (await fetch(router.port(), "/", host="stays.test")).status == 200
    return sent + NEW


async def _until_given_back(router: Router) -> None:
    """Two scrapes, and the worker has been told what to give back: its memory then has blocks that say nothing."""
    for _ in range(2):
        await _page(router)
    if await _page(router):
        await until(lambda: _active(router.worker_pids()[0]) <= NEW + 8, "the blocks of gone routers to be free")


async def _page(router: Router) -> str:
    return (await fetch(router.port("traefik"), "/metrics")).text


def _shown(page: str) -> set[str]:
    return set(re.findall(r'router="([^"@]+)@file"', page))


def _total(page: str, name: str, *labels: str) -> int:
    rows = (line.rpartition(" ") for line in page.splitlines() if line.startswith(name))
    return int(sum(float(value) for start, _, value in rows if all(label in start for label in labels)))


def _memory(pid: int) -> bytes:
    """The counters of a worker, as anybody may read them who may see its descriptors."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if "edgerouter-counters" in os.readlink(link):
            return link.read_bytes()
    raise AssertionError("the worker has no counters")


def _words(data: bytes) -> memoryview:
    return memoryview(data).cast("Q")


def _blocks(pid: int) -> int:
    """How many blocks there is room for."""
    words = _words(_memory(pid))
    return (len(words) - HEADER_WORDS) // words[2]


def _active(pid: int) -> int:
    """How many blocks of traffic are in use, given back ones not counted."""
    words = _words(_memory(pid))
    end = HEADER_WORDS + words[3] * words[2]
    return sum(1 for at in range(HEADER_WORDS, end, words[2]) if words[at] & 15)
