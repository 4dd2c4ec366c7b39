"""Connections of which a test knows what worker has the other end: counting over workers depends on it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from live.toolbox import Reply, Router, exchange, until

WORKERS = 4


@dataclass
class Line:
    """A client's keep-alive connection, and the worker that has the other end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    worker: int = 0

    async def ask(self, path: str = "/") -> Reply:
        async with asyncio.timeout(30):
            return await exchange(self.reader, self.writer, path)


def server_sockets(port: int) -> dict[int, str]:
    """The router's connections on that port: the client's port -> the socket's inode."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].split(":")[1], 16): row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[9] != "0"}


def inodes(pid: int) -> set[str]:
    """Inodes of the sockets that a process has open."""
    found = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(file))
        except OSError:
            continue
        if match:
            found.add(match[1])
    return found


async def open_line(router: Router) -> Line:
    """One that a worker has accepted."""
    line = Line(*await asyncio.open_connection("127.0.0.1", router.port()))
    own = line.writer.get_extra_info("sockname")[1]

    def find() -> bool:
        inode = server_sockets(router.port()).get(own)
        line.worker = next((pid for pid in router.worker_pids() if inode in inodes(pid)), 0)
        return bool(line.worker)

    await until(find, "a worker to accept the connection")
    return line


@dataclass
class Lines:
    """Connections by worker."""

    by_worker: dict[int, list[Line]] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        self.by_worker.setdefault(line.worker, []).append(line)

    def close(self) -> None:
        for lines in self.by_worker.values():
            for line in lines:
                line.writer.close()


async def on_one_worker(router: Router, count: int) -> tuple[Lines, int]:
    """Open connections until one worker has ``count`` and each of the others at least one; the one's process id."""
    lines = Lines()
    async with asyncio.timeout(120):
        while len(lines.by_worker) < WORKERS or max(map(len, lines.by_worker.values())) < count:
            lines.add(await open_line(router))
    return lines, max(lines.by_worker, key=lambda pid: len(lines.by_worker[pid]))


@asynccontextmanager
async def spread(router: Router, count: int) -> AsyncIterator[tuple[list[Line], list[Line]]]:
    """``count`` connections or more on one worker, and one on each of the others."""
    lines, busy = await on_one_worker(router, count)
    try:
        yield lines.by_worker[busy], [of[0] for pid, of in lines.by_worker.items() if pid != busy]
    finally:
        lines.close()
