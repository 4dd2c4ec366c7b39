"""No middleware keeps a worker's loop: the metric ``edgerouter_worker_loop_stall_seconds`` of a router under load with
bcrypt, cache fills of 10 MB, compression of as much, and a first ``jwt`` in a worker that serves.

A loop comes late by its own work and by what the machine does meanwhile. The loop goes before all others here (by the
kernel's account it waited 2 ms for a core in 1.7 s at a load of 8), but a thread of the worker that holds the
interpreter's lock can be put aside for others, and a virtual machine as a whole. That is not so every time, what a
middleware does is: one run of several under the bound is enough, each with a new worker.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from live.toolbox import PATIENCE, Router, fetch

from edgerouter import is_compiled

LONGEST = 0.005 if is_compiled() else 0.03  # seconds that the loop may come late
RUNS = 6
MB = 1 << 20
TEXT = b"".join(b"%d bottles of beer on the wall, %d bottles of beer. " % (n, n) for n in range(25_000))
BODY = (TEXT * 10)[: 10 * MB]
PASSWORD = bcrypt.hashpw(b"p", bcrypt.gensalt(10)).decode()
KEY = ECKey.generate_key("P-384")
CODINGS = ("gzip", "br", "zstd")
Work = Callable[[Router, str], Awaitable[None]]


def configuration(url: str, with_tokens: bool) -> dict[str, Any]:
    """A router for each middleware; ``jwt`` comes while the worker serves."""
    middlewares: dict[str, dict[str, Any]] = {
        "login": {"basicAuth": {"users": [f"ann:{PASSWORD}"]}},
        "cache": {"responseCache": {"maxEntryBytes": 16 * MB, "maxBytes": 64 * MB}},
        "compress": {"compress": {}},
    }
    if with_tokens:
        middlewares["token"] = {"jwt": {"publicKey": KEY.as_pem(private=False).decode(), "algorithms": ["ES384"]}}
    names = {"plain": [], **{name: [name] for name in middlewares}}
    routers = {
        name: {"rule": f"Host(`{name}.test`)", "service": "app", "middlewares": listed, "entryPoints": ["web"]}
        for name, listed in names.items()
    }
    services = {"app": {"loadBalancer": {"servers": [{"url": url}]}}}
    return {"http": {"routers": routers, "services": services, "middlewares": middlewares}}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """``/big...`` is 10 MB that may be kept, everything else two bytes."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            body = BODY if head.startswith(b"GET /big") else b"ok"
            fields = f"Content-Type: text/plain\r\nCache-Control: max-age=60\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n" + fields.encode() + body)
            await writer.drain()
    except (OSError, EOFError):
        writer.close()


def login(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"ann:{password}".encode()).decode()}


def token() -> dict[str, str]:
    made = jwt.encode({"alg": "ES384"}, {"exp": int(time.time()) + 600}, KEY, algorithms=["ES384"])
    return {"Authorization": f"Bearer {made}"}


async def asked(port: int, name: str, path: str, status: int, **headers: str) -> int:
    """The length of an answer that must have this status."""
    reply = await fetch(port, path, f"{name}.test", headers=headers, patience=120)
    assert reply.status == status, f"{name} {path}: {reply.status} {reply.text[:200]}"
    return len(reply.body)


async def bodies(router: Router, url: str) -> None:
    """Fills of the cache, hits that wait for one, and all codings, at once."""
    port = router.port()
    kept = [asked(port, "cache", f"/big{n}", 200) for n in (0, 1, 2, 3, 0, 0)]
    packed = [asked(port, "compress", f"/big{c}", 200, **{"Accept-Encoding": c}) for c in CODINGS]
    sizes = await asyncio.gather(*kept, *packed)
    assert sizes[:6] == [len(BODY)] * 6 and all(0 < size < len(BODY) / 2 for size in sizes[6:])


async def logins(router: Router, url: str) -> None:
    """Passwords that are right and wrong, each by bcrypt of cost 10."""
    port = router.port()
    right = [asked(port, "login", "/", 200, **login("p")) for _ in range(4)]
    wrong = [asked(port, "login", "/", 401, **login(f"no{n}")) for n in range(12)]
    await asyncio.gather(*right, *wrong)


async def tokens(router: Router, url: str) -> None:
    """A first ``jwt`` in a worker that serves, and its first tokens."""
    since = len(router.lines)
    router.write_dynamic(configuration(url, True))
    await asyncio.to_thread(router.wait_log, event="applied", since=since)
    for _ in range(4):
        await asked(router.port(), "token", "/", 200, **token())


async def told(router: Router) -> float:
    """The longest stall, after the worker's next two reports."""
    seen: set[str] = set()
    end = time.monotonic() + PATIENCE
    while len(seen) < 3:
        assert time.monotonic() < end, f"the worker reports nothing new: {seen}"
        page = (await fetch(router.port("traefik"), "/metrics")).text
        seen.add(next(line for line in page.splitlines() if line.startswith("edgerouter_worker_loop_stalled_")))
        await asyncio.sleep(0.05)
    return max(await router.stalls())


async def longest(folder: Path, url: str, work: Work) -> float:
    """Seconds that a new worker's loop came late at most, by its own metric, with other requests beside the work."""
    folder.mkdir()
    async with Router(folder, configuration(url, False)) as router:
        router.put_workers_first()
        working = asyncio.ensure_future(work(router, url))
        while not working.done():
            await asked(router.port(), "plain", "/", 200)
        await working
        return await told(router)


@pytest.mark.parametrize("work", [bodies, logins, tokens])
async def test_the_stall_metric_stays_under_its_bound(work: Work, tmp_path: Path) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    found: list[float] = []
    for number in range(RUNS):
        found.append(await longest(tmp_path / f"run{number}", url, work))
        if found[-1] < LONGEST:
            return
    raise AssertionError(f"the loop was held for {[round(stall * 1000, 1) for stall in found]} ms")
