"""Requests under way over several machines: one lease each in Redis, renewed while the request lasts. A machine that
died renews nothing, so what it held does not count any more after ``LEASE`` seconds at most."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine
from itertools import count
from typing import Any, Final

from edgerouter.clients.redis import RedisError, RedisGone
from edgerouter.middlewares._shared_store import ScriptClient

LEASE: Final = 30.0  # seconds
_AT_ONCE: Final = 500  # leases that one command renews

# A sorted set for each source: who, until when by the server's clock in milliseconds.
_NOW: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lease = tonumber(ARGV[1])
"""
_TAKE: Final = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + lease, ARGV[3])
redis.call('PEXPIRE', KEYS[1], lease)
return 1
"""
)
_RENEW: Final = (
    _NOW
    + """
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + lease, ARGV[i]) end
return redis.call('PEXPIRE', KEYS[1], lease)
"""
)


class Leases:
    """What this worker holds in one middleware of one router. A lease is (key, id)."""

    def __init__(self, scripts: ScriptClient, lease: float = LEASE) -> None:
        self._scripts = scripts
        self._lease = lease
        self._milliseconds = str(round(lease * 1000))
        self._held: dict[str, set[str]] = {}
        self._own = secrets.token_hex(8)
        self._numbers = count()
        self._renewing: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def take(self, source: str, most: int) -> tuple[str, str] | None:
        """A lease, or None when ``most`` are held. Raises RedisGone, RedisError."""
        key, id = self._scripts.key("inflight", source), f"{self._own}:{next(self._numbers)}"
        try:
            taken = await self._scripts.run(_TAKE, key, self._milliseconds, str(most), id)
        except BaseException:  # a client that left, too: the command may have been carried out
            self._end(self._remove(key, id))
            raise
        if not taken:
            return None
        self._held.setdefault(key, set()).add(id)
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew())
        return key, id

    def give(self, lease: tuple[str, str]) -> None:
        """The request is over. Where Redis does not hear of it the lease runs out."""
        key, id = lease
        ids = self._held.get(key, set())
        ids.discard(id)
        if not ids:
            self._held.pop(key, None)
        self._end(self._remove(key, id))

    def _end(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _remove(self, key: str, id: str) -> None:
        with contextlib.suppress(RedisGone, RedisError):
            await self._scripts.execute("ZREM", key, id)

    async def _renew(self) -> None:
        """While anything is held. A Redis that comes back empty learns of it anew."""
        while self._held:
            await asyncio.sleep(self._lease / 3)
            for key, ids in list(self._held.items()):
                with contextlib.suppress(RedisGone, RedisError):
                    await self._renew_some(key, list(ids))
        self._renewing = None

    async def _renew_some(self, key: str, ids: list[str]) -> None:
        """What has ended meanwhile is left out: its removal may have gone before."""
        for start in range(0, len(ids), _AT_ONCE):
            current = self._held.get(key, set())
            some = [id for id in ids[start : start + _AT_ONCE] if id in current]
            if some:
                await self._scripts.run(_RENEW, key, self._milliseconds, *some)
