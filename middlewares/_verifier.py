"""Checks passwords without holding the loop: a few threads behind a short queue, and a memory of what was checked.

A hash that was made to be slow is checked once for each user and password; what is remembered is a keyed hash of both
and of the stored hash, never the password. Right and wrong ones are remembered apart, so that a flood of wrong ones
does not push the right ones out. When the queue is full, ``Busy`` is raised: the client may come again, and the loop,
the other requests and those who were checked before do not wait.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Final

from edgerouter.middlewares._passwords import is_slow, matches

THREADS: Final = 2
MOST_WAITING: Final = 64  # checks under way and waiting in one worker
_MOST_RIGHT: Final = 8192
_MOST_WRONG: Final = 1024


class Busy(Exception):
    """So many passwords are being checked that this one is not."""


class Verifier:
    """One for a worker. ``check`` answers at once where it can."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Future[bool]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def check(self, user: str, password: bytes, stored: str) -> bool | Awaitable[bool]:
        """Whether the password belongs to the hash. Raises Busy."""
        if not is_slow(stored):
            return matches(password, stored)
        mark = self._mark(user, password, stored)
        if mark in self._right:
            self._right.move_to_end(mark)
            return True
        if mark in self._wrong:
            self._wrong.move_to_end(mark)
            return False
        future = self._under_way.get(mark)
        if future is None:
            future = self._begin(mark, password, stored)
        return asyncio.shield(future)

    def _mark(self, user: str, password: bytes, stored: str) -> bytes:
        name = user.encode("utf-8", "surrogateescape")
        data = b"%d:%b%d:%b%b" % (len(name), name, len(stored), stored.encode(), password)
        return blake2b(data, digest_size=32, key=self._key).digest()

    def _begin(self, mark: bytes, password: bytes, stored: str) -> asyncio.Future[bool]:
        if len(self._under_way) >= MOST_WAITING:
            raise Busy
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, matches, password, stored)
        self._under_way[mark] = future
        future.add_done_callback(lambda done: self._finish(mark, done))
        return future

    def _finish(self, mark: bytes, future: asyncio.Future[bool]) -> None:
        self._under_way.pop(mark, None)
        if future.cancelled() or future.exception() is not None:
            return
        memory, most = (self._right, _MOST_RIGHT) if future.result() else (self._wrong, _MOST_WRONG)
        memory[mark] = None
        if len(memory) > most:
            memory.popitem(last=False)


verifier: Final = Verifier()
