"""``make run`` for a new user: what it prints is there, and it ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

from live.toolbox import PATIENCE, Reply, _python_path, fetch


async def printed(reader: asyncio.StreamReader) -> dict[str, str]:
    """What it says, by the first word of each line, until it says how to stop."""
    said: dict[str, str] = {}
    while not (line := (await reader.readline()).decode()).startswith("stop with"):
        assert line, f"it ended; so far it had said {said}"
        name, _, rest = line.strip().partition(" ")
        said[name] = rest.strip()
    return said


async def asked(url: str, **more: object) -> Reply:
    """One request to a URL that was printed, as soon as somebody listens there."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)(/\S*)", url)
    assert found is not None, url
    while True:
        try:
            reply = await fetch(int(found[1]), found[2], **more)  # type: ignore[arg-type]
        except ConnectionError:
            reply = Reply(0, "", {}, b"")
        if reply.status in (200, 302):
            return reply
        await asyncio.sleep(0.05)


async def test_it_prints_what_can_be_opened(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(_python_path()), "TMPDIR": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        demo = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edgerouter.demo", cwd=tmp_path, env=env, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    try:
        async with asyncio.timeout(PATIENCE * 2):
            assert demo.stdout is not None
            said = await printed(demo.stdout)
            assert (await asked(said["demo"])).json()["service"] == "demo"
            for _ in range(3):  # on connections that are kept: a body must not be taken for the next request
                sent = await asked(said["demo"], method="POST", body=b"GET /not-a-request HTTP/1.1\r\n\r\n")
                assert sent.json()["request"] == "POST / HTTP/1.1"
            assert "edgerouter_config_reloads_total" in (await asked(said["metrics"])).text
            assert "<title>" in (await asked(said["dashboard"])).text
            demo.send_signal(signal.SIGTERM)
            assert await demo.wait() == 0, (tmp_path / "log").read_text()
    finally:
        if demo.returncode is None:
            demo.kill()
