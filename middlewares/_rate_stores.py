"""Where the buckets of ``rateLimit`` are kept: in the memory that the workers share, or in Redis for many machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edgerouter.middlewares._bucket import SECOND, Rate
from edgerouter.middlewares._shared_store import ScriptClient
from edgerouter.telemetry.keyed import Cells
from edgerouter.telemetry.records import SharedRecords

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
        number = cells.number_of(self._name, source)
        with cells.lock(number):
            at = cells.place(number)
            wait, full_at = self._rate.take(cells.until(at), now)
            if wait <= self._rate.most_wait:
                cells.put(at, full_at)
        return Taken(wait, max(0, full_at - now), self._rate)


class RedisStore:
    """All machines that use the same Redis."""

    def __init__(self, scripts: ScriptClient, rate: Rate) -> None:
        self._scripts = scripts
        self._rate = rate

    async def take(self, source: str) -> Taken:
        """As ``LocalStore.take``. Raises RedisGone, and RedisError when the server does not take the script."""
        rate = self._rate
        numbers = [f"{rate.interval / 1000:.3f}", str(rate.burst), f"{rate.most_wait / 1000:.3f}"]
        wait, full = await self._scripts.run(_SCRIPT, self._scripts.key("rate", source), *numbers)
        return Taken(round(float(wait) * 1000), round(float(full) * 1000), rate)
