"""One connection to a daemon: listings, events, and who is about to stop. The I/O between client and ``decide``."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from edgerouter.clients.docker import DockerClient
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.providers._decision import Decoded, Settings
from edgerouter.providers._docker_decide import decide
from edgerouter.providers._docker_facts import (
    Container,
    Inspection,
    Listed,
    Place,
    find_place,
    health_of,
    read_container,
    read_drivers,
    signal_number,
)
from edgerouter.providers._docker_place import host_address, own_id
from edgerouter.providers._follow import Follow

RELIST_SECONDS: Final = 30.0  # a listing without any event: a net for what no event tells
INSPECT_AT_ONCE: Final = 16
_EVENTS: Final = json.dumps(
    {
        "type": ["container", "network"],
        "event": [
            *("create", "start", "restart", "kill", "die", "stop", "oom", "pause", "unpause", "rename", "destroy"),
            *("health_status", "update", "connect", "disconnect", "remove"),
            "died",  # Podman's filter knows "die" by this name only, though its events say "die"
        ],
    }
)
_ENDS: Final = frozenset({"die", "stop", "destroy", "pause"})
_STARTS: Final = frozenset({"start", "unpause"})
_KILLING: Final = frozenset({"9", "15"})
_STOP_GRACE: Final = 5.0  # seconds beyond the time that the daemon gives a container to stop


def stops(action: str, actor: Mapping[str, Any], stop_signal: str) -> bool:
    """True for a kill event that ends the container: such an event is any signal."""
    number = signal_number((actor.get("Attributes") or {}).get("signal", "15"))
    return action == "kill" and number in (*_KILLING, stop_signal)


class Known(msgspec.Struct, frozen=True):
    """What ``decide`` needs."""

    containers: tuple[Container, ...]
    place: Place


class Watch(Follow):
    """What the daemon said of its containers, and who of them is about to stop."""

    filters = _EVENTS
    facts = Known

    def __init__(self, client: DockerClient, settings: Settings) -> None:
        super().__init__(client)
        self.settings = settings
        self.decoded = Decoded(settings)
        self.containers: list[Container] = []
        self.inspected: dict[str, tuple[tuple[str, str], Inspection]] = {}
        self.doubtful: set[str] = set()  # containers whose health changed: not every daemon's listing shows it
        self.leaving: dict[str, float] = {}  # container id -> when its stop is no longer believed

    def rest(self, heard: bool) -> float:
        """See ``Follow``."""
        return RELIST_SECONDS

    def mark(self, event: dict[str, Any]) -> bool:
        """Note who leaves and who comes back; True when a container has just left."""
        if event.get("Type") != "container":
            return False
        action = str(event.get("Action", ""))
        actor = event.get("Actor") or {}
        container_id = str(actor.get("ID", ""))
        if action.startswith("health_status"):
            self.doubtful.add(container_id)
        if action in _STARTS:
            self.leaving.pop(container_id, None)
            return False
        known = next((container for container in self.containers if container.id == container_id), None)
        if known is None or not (action in _ENDS or stops(action, actor, known.stop_signal)):
            return False
        self.leaving[container_id] = time.monotonic() + known.stop_seconds + _STOP_GRACE
        self._apply_leaving()
        return True

    def _apply_leaving(self) -> None:
        now = time.monotonic()
        self.leaving = {key: until for key, until in self.leaving.items() if until > now}
        self.containers = [
            container
            if container.leaving == (container.id in self.leaving)
            else msgspec.structs.replace(container, leaving=not container.leaving)
            for container in self.containers
        ]

    async def renew(self) -> None:
        """See ``Follow``."""
        listed, networks = await asyncio.gather(self.client.containers(Listed), self.client.networks())
        drivers = read_drivers(networks)
        await self._inspect(listed)
        self.containers = [
            read_container(entry, self.inspected[entry.id][1], drivers)
            for entry in listed
            if entry.id in self.inspected
        ]
        self._apply_leaving()

    async def _inspect(self, listed: Sequence[Listed]) -> None:
        """Inspect what is new or changed its state; all else is known."""
        gate = asyncio.Semaphore(INSPECT_AT_ONCE)
        wanted = {entry.id: (entry.state, health_of(entry)) for entry in listed}
        self.inspected = {key: kept for key, kept in self.inspected.items() if key in wanted}

        async def one(container_id: str) -> None:
            async with gate:
                found = await self.client.inspect(container_id, Inspection)
            if found is not None:
                self.inspected[container_id] = (wanted[container_id], found)

        changed = [key for key, state in wanted.items() if self._differs(key, state)]
        self.doubtful.clear()
        await asyncio.gather(*(one(container_id) for container_id in changed))

    def _differs(self, container_id: str, state: tuple[str, str]) -> bool:
        return self.inspected.get(container_id, ("",))[0] != state or container_id in self.doubtful

    def known(self) -> Known:
        """See ``Follow``."""
        return Known(tuple(self.containers), find_place(own_id(), self.containers, host_address()))

    def decide(self, known: Known) -> Snapshot:
        """See ``Follow``."""
        return decide(known.containers, known.place, self.settings, self.decoded)
