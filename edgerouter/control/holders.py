"""Who listens on a port: read from /proc, for the error message of a port that is taken. Nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")


def holder_of(port: int) -> str:
    """``pid 123 (nginx -g ...)`` of the first process that listens on this TCP port; "" when none can be seen."""
    inodes = {inode for table in _TABLES for inode in _listening(table, port)}
    if not inodes:
        return ""
    for pid in _pids():
        if _holds(pid, inodes):
            return f"pid {pid} ({_command(pid)})"
    return ""


def _listening(table: str, port: int) -> list[str]:
    try:
        lines = Path(table).read_text().splitlines()[1:]
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return [row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]


def _pids() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def _holds(pid: int, inodes: set[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return any(_link(f"{folder}/{name}") in wanted for name in names)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "?"
    text = b" ".join(word for word in words if word).decode("utf-8", "replace")
    return text if len(text) <= 120 else text[:117] + "..."
