"""How a worker process is started: exec of this Python with inherited descriptors, never a fork of a running loop."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import msgspec

# The worker imports exactly what this process imports: same path, whatever folder or installation it was started from.
_CODE: Final = (
    "import sys; sys.path[:] = sys.argv[1].split(':'); "
    "from edgerouter.worker.main import main; sys.exit(main(int(sys.argv[2])))"
)


class Spawned(msgspec.Struct):
    """A started process, our end of its channel, and the reading end of its standard error. ``wait`` reaps it: its exit
    code, or the negative number of the signal that ended it."""

    pid: int
    channel: socket.socket
    stderr: int
    wait: Callable[[], int]


def spawn_worker(slot: int, fds: tuple[int, ...]) -> Spawned:
    """Start a worker that inherits ``fds`` under the same numbers. Raises OSError.

    A group of its own keeps a terminal's Ctrl-C away from it: the control process decides when it ends.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    theirs.setblocking(True)
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(writing, True)
    try:
        process = subprocess.Popen(
            command(theirs.fileno(), slot),
            stdin=subprocess.DEVNULL,
            stderr=writing,
            pass_fds=(theirs.fileno(), *fds),
            process_group=0,
        )
    except OSError:
        ours.close()
        os.close(reading)
        raise
    finally:
        theirs.close()
        os.close(writing)
    return Spawned(process.pid, ours, reading, process.wait)


def adopt_worker(pid: int, channel: int, stderr: int) -> Spawned:
    """A worker that the program before this one, in the same process, has started."""
    return Spawned(pid, socket.socket(fileno=channel), stderr, lambda: _reap(pid))


def _reap(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return 0  # somebody else has reaped it


def command(channel_fd: int, slot: int) -> list[str]:
    """The last word is for people who read the list of processes."""
    path = ":".join(os.path.abspath(entry) for entry in sys.path)
    return [sys.executable, "-P", "-c", _CODE, path, str(channel_fd), f"edgerouter-worker-{slot}"]
