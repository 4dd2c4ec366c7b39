"""The control process ends in time, whatever hangs in it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

CODE = """
import asyncio, pathlib, sys, time
from edgerouter.control.end_anyway import end_within

async def live(hang, folder):
    deaf = asyncio.create_task(asyncio.to_thread(time.sleep, hang))
    await asyncio.sleep(0.05)
    end_within(0.5, 7, folder)
    return 3

sys.exit(asyncio.run(live(float(sys.argv[1]), pathlib.Path(sys.argv[2]))))
"""


@pytest.mark.parametrize(("hang", "code"), [(60.0, 7), (0.0, 3)])
def test_a_thread_that_hangs_does_not_hold_the_end_up(tmp_path: Path, hang: float, code: int) -> None:
    """``asyncio.run`` waits for the thread; who has not ended in time is ended, and who has keeps its exit code."""
    folder = tmp_path / "run"
    folder.mkdir()
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", CODE, str(hang), str(folder)], capture_output=True, timeout=50)
    assert done.returncode == code, done.stderr.decode()
    assert folder.exists() is (code == 3) and time.monotonic() - began < 50
    assert (b"ending without what has not ended in 0.5 s: threads" in done.stderr) is (code == 7)
