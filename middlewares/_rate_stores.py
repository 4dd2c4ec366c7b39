"""Where the buckets of ``rateLimit`` are kept: in the memory that the workers share, or in Redis for many machines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha1, sha256
from typing import Any, Final

from edgerouter.clients.redis import RedisClient, RedisError, RedisGone
from edgerouter.middlewares._bucket import SECOND, Rate
from edgerouter.telemetry.keyed import Cells
from edgerouter.telemetry.records import SharedRecords

log = logging.getLogger("edgerouter.worker")
_LONG: Final = 100  # characters of a source that stand in a key as they are

# Times in microseconds of the server's clock: the machines' own may differ.
_SCRIPT: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local interval, burst, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = math.max(0, full + interval - now - burst * interval)
if wait <= most then
  full = full + interval
  redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
end
return {string.format('%.3f', wait), string.format('%.3f', full - now)}
"""


class Taken:
    """``wait`` until the request may pass, and until the bucket is ``full``, in nanoseconds. ``passes`` or not."""

    def __init__(self, wait: int, full: int, rate: Rate) -> None:
        self.wait = wait
        self.full = full
        self.passes = wait <= rate.most_wait


class LocalStore:
    """All workers of this machine."""

    def __init__(self, shared: SharedRecords, name: str, rate: Rate, now: Callable[[], float]) -> None:
        self._shared = shared
        self._name = name
        self._rate = rate
        self._now = now
        self._cells: Cells | None = None

    def take(self, source: str) -> Taken:
        """Take one token if there is one soon. Raises RecordBusy."""
        now = int(self._now() * SECOND)
        cells = self._cells
        if cells is None:
            cells = self._cells = Cells(self._shared)
        number = cells.number((self._name + source).encode("utf-8", "surrogateescape"))
        with cells.lock(number):
            at = cells.place(number)
            wait, full_at = self._rate.take(cells.until(at), now)
            if wait <= self._rate.most_wait:
                cells.put(at, full_at)
        return Taken(wait, max(0, full_at - now), self._rate)


class RedisStore:
    """All machines that use the same Redis."""

    def __init__(self, client: RedisClient, name: str, rate: Rate) -> None:
        self._client = client
        self._name = name
        self._rate = rate
        self._sha = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
        self._is_gone = False

    async def take(self, source: str) -> Taken:
        """As ``LocalStore.take``. Raises RedisGone, and RedisError when the server does not take the script."""
        rate = self._rate
        numbers = [f"{rate.interval / 1000:.3f}", str(rate.burst), f"{rate.most_wait / 1000:.3f}"]
        try:
            wait, full = await self._run((self._key(source), *numbers))
        except (RedisGone, RedisError) as error:
            self._tell(error)
            raise
        self._tell(None)
        return Taken(round(float(wait) * 1000), round(float(full) * 1000), rate)

    async def _run(self, words: tuple[str, ...]) -> Any:
        try:
            return await self._client.execute("EVALSHA", self._sha, "1", *words)
        except RedisError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return await self._client.execute("EVAL", _SCRIPT, "1", *words)

    def _key(self, source: str) -> str:
        data = source.encode("utf-8", "surrogateescape")
        shown = source if len(source) <= _LONG and source.isascii() else sha256(data).hexdigest()
        return f"edgerouter:rate:{self._name.replace(chr(10), ':')}{shown}"

    def _tell(self, error: Exception | None) -> None:
        """One line when it goes, one when it is back."""
        if (error is not None) == self._is_gone:
            return
        self._is_gone = error is not None
        who = self._name.replace("\n", " ").strip()
        if error is None:
            log.warning("rateLimit %s: Redis answers again", who)
        else:
            log.error("rateLimit %s: Redis does not answer: %s", who, error)
