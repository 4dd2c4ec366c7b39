"""What a large plan is made of, moved to pages of 2 MB: with ten thousand routers most requests meet memory whose small
page the processor has not looked up lately (docs/decisions/0015). Nothing here knows what the memory holds.

Linux 6.1 and later do it when asked (``MADV_COLLAPSE``); elsewhere, and where the machine's owner has set transparent
huge pages to ``never``, nothing happens. While the kernel copies a range (a millisecond or three of a thread's time)
nobody can read it, so it is done in moments without requests, a range in each.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

SIZE: Final = 2 * 1024 * 1024  # bytes of a huge page on x86-64, and on arm64 with pages of 4 KB
WORTH: Final = 16 * 1024 * 1024  # bytes that the process must have grown by since the last time
PAUSE: Final = 0.05  # seconds between two looks for a moment without requests
_COLLAPSE: Final = 25  # MADV_COLLAPSE, which Python's mmap does not name
_POLICY: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_FULL: Final = 0.75  # share of a mapping that must be in memory, so that little is added
_HEAD: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)")
log = logging.getLogger("edgerouter.worker")


class HugePages:
    """``is_idle`` tells whether nobody waits for an answer now."""

    def __init__(self, loop: asyncio.AbstractEventLoop, is_idle: Callable[[], bool]) -> None:
        self._loop = loop
        self._is_idle = is_idle
        self._wanted = allowed()
        self._seen = resident()
        self._task: asyncio.Task[None] | None = None

    def swapped(self) -> None:
        """A plan is in use: begin, where the process has grown enough for it."""
        if self._wanted and self._task is None and resident() - self._seen >= WORTH:
            self._task = self._loop.create_task(self._work())

    async def _work(self) -> None:
        moved = 0
        for address in await self._loop.run_in_executor(None, candidates):
            while not self._is_idle():  # noqa: ASYNC110 (an event would cost each request its setting)
                await asyncio.sleep(PAUSE)
            moved += await self._loop.run_in_executor(None, collapse, address)
        log.debug("%d MB of this worker's memory are in huge pages now", moved * SIZE // 1024 // 1024)
        self._seen = resident()
        self._task = None


def allowed() -> bool:
    """True unless the machine's owner wants none, or the kernel cannot."""
    try:
        return "[never]" not in _POLICY.read_text() and _madvise(0, 0, _COLLAPSE) == 0
    except OSError:
        return False


def resident() -> int:
    """Bytes of this process that are in memory; 0 where /proc cannot be read."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def candidates() -> list[int]:
    """The ranges of this process, none where /proc cannot be read."""
    try:
        return ranges(Path("/proc/self/smaps").read_text())
    except OSError:
        return []


def ranges(smaps: str) -> list[int]:
    """Where ranges of 2 MB begin that lie in private memory without a file, nearly all of it in use and in small pages.

    ``smaps`` is the text of /proc/PID/smaps.
    """
    found: list[int] = []
    start = end = used = 0
    for line in smaps.splitlines():
        head = _HEAD.fullmatch(line)
        if head is not None:
            start, end = int(head[1], 16), int(head[2], 16)
            if head[3] != "rw-p" or head[4] not in ("", "[heap]"):
                end = start
        elif line.startswith("Rss:"):
            used = int(line.split()[1]) * 1024
        elif line.startswith("AnonHugePages:"):
            huge = int(line.split()[1]) * 1024
            first = -(-start // SIZE) * SIZE
            inside = range(first, end - SIZE + 1, SIZE)
            if used >= _FULL * (end - start) and huge < len(inside) * SIZE:
                found += inside
    return found


def collapse(address: int) -> bool:
    """Ask for one range: True when it is a huge page now. False when the kernel has none to give, or when the range is
    no more what it was: all stays as it is."""
    return bool(_madvise(address, SIZE, _COLLAPSE) == 0)


def _function() -> Any:
    function = ctypes.CDLL(None).madvise
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return function


_madvise: Final[Any] = _function()
