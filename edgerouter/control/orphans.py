"""The duty of process 1 in a container: wait for children that others left behind. Ours are waited for elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable


def is_init() -> bool:
    """Do orphans become this process's children?"""
    return os.getpid() == 1


def reap_orphans(own: Callable[[], set[int]]) -> int:
    """Wait for every ended child that is not one of ``own()``; how many there were. Never blocks."""
    reaped = 0
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return reaped
        if ended is None or ended.si_pid in own():
            return reaped  # one of ours stands first in line: its own watcher takes it away, the rest waits a turn
        os.waitpid(ended.si_pid, os.WNOHANG)
        reaped += 1
