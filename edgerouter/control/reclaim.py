"""Counters of routers and services that are gone are given back: when, and what each step waits for.

A name that left the plan keeps its number until everybody who collects metrics has done so twice: once more with its
last counts, once without. Then its number is dropped for good; whatever worker still counts under it (its own plan may
be older) gives those blocks back, and the sums of its entry points keep what they counted. A cluster that makes up
names without end therefore costs what its newest names cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from edgerouter.contracts.messages import Retire
from edgerouter.contracts.plan import Plan, RouterEntry, ServiceEntry
from edgerouter.control.build_keys import Keys
from edgerouter.telemetry.reader import Worker
from edgerouter.telemetry.registry import MetricsRegistry

EVERY: Final = 2.0  # seconds between two looks
AT_ONCE: Final = 1000  # blocks: a worker gives back as many within a millisecond
_ROOMS: Final = ("router", "service")

Name = tuple[str, int]  # room and number


class Reclaim:
    """``tell`` sends a message to the worker whose memory it is about; ``busy`` says that a build is under way: it may
    be about to use names that are gone."""

    def __init__(
        self,
        keys: Keys,
        registry: MetricsRegistry,
        tell: Callable[[Worker, Retire], None],
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._keys = keys
        self._registry = registry
        self._tell = tell
        self._busy = busy
        self._gone: dict[Name, Mapping[object, int]] = {}
        self._rests = False

    def take(self, plan: Plan) -> None:
        """The newest plan: whatever name it lacks is gone."""
        used = {("router", e.key) for e in plan.entries.values() if isinstance(e, RouterEntry)}
        used |= {("service", e.key) for e in plan.entries.values() if isinstance(e, ServiceEntry)}
        shown = self._registry.collections()
        known = [(room, key) for room in _ROOMS for key in self._keys.known(room)]
        self._gone = {name: self._gone.get(name, shown) for name in known if name not in used}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await self.look()

    async def look(self) -> None:
        """Drop what is due, and have given back what nobody knows. Costs nothing while no name is gone."""
        if self._drop():
            self._rests = True
        if self._rests:
            found = await asyncio.to_thread(self._sweep)
            self._rests = bool(found)
            for worker, places in found.items():
                for start in range(0, len(places), AT_ONCE):
                    self._tell(worker, Retire(places=tuple(places[start : start + AT_ONCE])))

    def _drop(self) -> bool:
        if self._busy():
            return False
        now = self._registry.collections()
        due = [name for name, then in self._gone.items() if all(now[who] - then.get(who, 0) >= 2 for who in now)]
        for name in due:
            del self._gone[name]
            self._keys.drop(*name)
        return bool(due)

    def _sweep(self) -> dict[Worker, list[int]]:
        routers, services = set(self._keys.known("router")), set(self._keys.known("service"))
        found = self._registry.reader.unknown(routers, services)
        self._registry.reader.forget(routers, services)
        return found
