"""A signal that comes while a program becomes another one reaches that one, or is heard before: whichever thread took
it. Real programs, a real ``execve``."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

# It becomes ``argv[1]``, and is sent SIGTERM at the moment ``argv[3]``, as ``docker stop`` may.
OLD = """
import asyncio, os, signal, sys, time
import uvloop
from edgerouter.control.handover import Handover
from edgerouter.control.upgrade import Outcome, Upgrading
from edgerouter.telemetry.reader import Counted

program, loop, moment = sys.argv[1:]
records, stop = os.memfd_create("records"), None

def sent(now):
    if now == moment:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.02)  # whoever takes it has taken it

def leave():
    sent("leaving" if upgrading.outcome.state == "checking" and begun else "")
    return Handover(version="1", program=("x",), points=(), workers=(), pages={}, folder="", records=records, keys={},
                    counted=Counted(bounds=[], traffic=[], opened={}),
                    generation=1, restarts=0, upgrades=0, started=0.0)

async def quiet():
    begun.append(1)
    sent("quiet")

async def resume():
    print("resumed")

upgrading = Upgrading(Outcome("1"), lambda: "it ends" if stop.is_set() else "", leave, quiet, resume)
begun = []

async def main():
    global stop
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(3)))  # threads that do nothing now
    assert upgrading.ask(program) == ""
    sent("checking")
    await stop.wait()
    await upgrading.stop()
    print("heard")

with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop) as runner:
    runner.run(main())
"""
NEW = """#!{python}
import signal, sys
if sys.argv[1:2] == ["check"]:
    print("handover: OK")
else:
    print("waits" if signal.SIGTERM in signal.sigpending() else "lost")
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(("moment", "end"), [("checking", "heard"), ("quiet", "waits"), ("leaving", "waits")])
def test_a_signal_is_not_lost(tmp_path: Path, loop: str, moment: str, end: str) -> None:
    program = tmp_path / "next"
    program.write_text(NEW.format(python=sys.executable))
    program.chmod(0o755)
    command = [sys.executable, "-c", OLD, str(program), loop, moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"{end}\n"), done.stderr


def test_who_does_not_become_another_hears_of_it(tmp_path: Path) -> None:
    """The program is gone between its check and the exec."""
    program = tmp_path / "next"
    program.write_text('#!/bin/sh\nrm "$0"\necho handover: OK\n')
    program.chmod(0o755)
    command = [sys.executable, "-c", OLD, str(program), "asyncio", "leaving"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "resumed\nheard\n"), done.stderr


def test_the_old_program_is_told_what_the_new_one_was_asked() -> None:
    """Who takes over, hears SIGTERM and then cannot start, leaves the signal to who comes back."""
    script = (
        "import signal, sys, threading\n"
        "from edgerouter.control.held_signals import SIGNALS, keep\n"
        "def end():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)\n"
        "    keep(signal.SIGTERM)\n"
        "    import os\n"
        "    os.execv(sys.executable, [sys.executable, '-c', 'import signal; print(*signal.sigpending())'])\n"
        "threading.Thread(target=end).start()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"{signal.SIGTERM}\n"), done.stderr
