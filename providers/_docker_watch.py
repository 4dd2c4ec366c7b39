"""One connection to a daemon: listings, events, and who is about to stop. The I/O between client and ``decide``."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import msgspec

from edgerouter.clients.docker import DockerClient
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.providers._docker_decide import Decoded, Settings, decide
from edgerouter.providers._docker_facts import (
    Container,
    find_place,
    health_of,
    read_container,
    read_drivers,
    signal_number,
)
from edgerouter.providers._docker_place import host_address, own_id

RELIST_SECONDS: Final = 30.0  # a listing without any event: a net for what no event tells
INSPECT_AT_ONCE: Final = 16
_EVENTS: Final = json.dumps(
    {
        "type": ["container", "network"],
        "event": [
            *("create", "start", "restart", "kill", "die", "stop", "oom", "pause", "unpause", "rename", "destroy"),
            *("health_status", "update", "connect", "disconnect", "remove"),
        ],
    }
)
_ENDS: Final = frozenset({"die", "stop", "destroy", "pause"})
_STARTS: Final = frozenset({"start", "unpause"})
_KILLING: Final = frozenset({"9", "15"})
_STOP_GRACE: Final = 5.0  # seconds beyond the time that the daemon gives a container to stop


class Watch:
    """One connection's life: what the daemon said, and who is about to stop.

    Three things go on at once: events are heard, containers are listed, snapshots are yielded. So an event that takes
    a container out of rotation counts at once, were it in the middle of a listing.
    """

    def __init__(self, client: DockerClient, settings: Settings) -> None:
        self.client = client
        self.settings = settings
        self.decoded = Decoded(settings)
        self.containers: list[Container] = []
        self.inspected: dict[str, tuple[tuple[str, str], dict[str, Any]]] = {}
        self.leaving: dict[str, float] = {}  # container id -> when its stop is no longer believed
        self.last: Snapshot | None = None
        self._stale = asyncio.Event()  # an event came that the listing at hand may not show
        self._news = asyncio.Event()  # there is something to decide on

    async def run(self, follow: bool) -> AsyncIterator[Snapshot]:
        """Yield snapshots that differ from the one before; raises what listing or hearing failed with."""
        if not follow:
            await self._list()
            yield self._decide()
            return
        tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._keep_listed())]
        try:
            while True:
                await self._until_news(tasks)
                snapshot = self._decide()
                if snapshot != self.last:
                    self.last = snapshot
                    yield snapshot
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_news(self, tasks: list[asyncio.Task[None]]) -> None:
        news = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait([news, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        for task in tasks:
            if task.done():
                task.result()
        self._news.clear()

    async def _hear(self) -> None:
        async for event in self.client.events(_EVENTS):
            if self._mark(event):
                self._news.set()
            self._stale.set()
        raise ConnectionResetError("the event stream ended")

    async def _keep_listed(self) -> None:
        while True:
            self._stale.clear()
            began = time.monotonic()
            await self._list()
            self._news.set()
            # Never spend more than half of the time on listings, however many events come.
            await asyncio.sleep(min(time.monotonic() - began, 1.0))
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stale.wait(), RELIST_SECONDS)

    def _mark(self, event: dict[str, Any]) -> bool:
        """Note who leaves and who comes back; True when a container has just left."""
        if event.get("Type") != "container":
            return False
        action = str(event.get("Action", ""))
        actor = event.get("Actor") or {}
        container_id = str(actor.get("ID", ""))
        if action in _STARTS:
            self.leaving.pop(container_id, None)
            return False
        known = next((container for container in self.containers if container.id == container_id), None)
        if known is None or not (action in _ENDS or self._stops(action, actor, known)):
            return False
        self.leaving[container_id] = time.monotonic() + known.stop_seconds + _STOP_GRACE
        self._apply_leaving()
        return True

    @staticmethod
    def _stops(action: str, actor: dict[str, Any], known: Container) -> bool:
        """A kill event is any signal: only those that end the container count."""
        number = signal_number((actor.get("Attributes") or {}).get("signal", "15"))
        return action == "kill" and number in (*_KILLING, known.stop_signal)

    def _apply_leaving(self) -> None:
        now = time.monotonic()
        self.leaving = {key: until for key, until in self.leaving.items() if until > now}
        self.containers = [
            msgspec.structs.replace(container, leaving=container.id in self.leaving) for container in self.containers
        ]

    async def _list(self) -> None:
        listed, networks = await asyncio.gather(self.client.containers(), self.client.networks())
        drivers = read_drivers(networks)
        await self._inspect(listed)
        self.containers = [
            read_container(entry, self.inspected[entry["Id"]][1], drivers)
            for entry in listed
            if entry["Id"] in self.inspected
        ]
        self._apply_leaving()

    async def _inspect(self, listed: list[dict[str, Any]]) -> None:
        """Inspect what is new or changed its state; all else is known."""
        gate = asyncio.Semaphore(INSPECT_AT_ONCE)
        wanted = {entry["Id"]: (str(entry.get("State")), health_of(entry)) for entry in listed}
        self.inspected = {key: kept for key, kept in self.inspected.items() if key in wanted}

        async def one(container_id: str) -> None:
            async with gate:
                found = await self.client.inspect(container_id)
            if found is not None:
                self.inspected[container_id] = (wanted[container_id], found)

        changed = [key for key, state in wanted.items() if self.inspected.get(key, ("",))[0] != state]
        await asyncio.gather(*(one(container_id) for container_id in changed))

    def _decide(self) -> Snapshot:
        place = find_place(own_id(), self.containers, host_address())
        return decide(self.containers, place, self.settings, self.decoded)
