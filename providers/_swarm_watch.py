"""One connection to a Swarm manager: listings, events, and how soon to look again. The I/O between client and decide.

A manager tells of services, nodes and networks, and of containers on its own machine; tasks it does not tell of. So
after an event, and while a service is updated or tasks are on their way, listings follow each other closely.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Final

import msgspec

from edgerouter.clients.docker import DockerClient
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.providers._decision import Decoded, Settings
from edgerouter.providers._docker_place import own_id
from edgerouter.providers._docker_watch import stops
from edgerouter.providers._follow import Follow, UnfitDaemon
from edgerouter.providers._swarm_decide import decide
from edgerouter.providers._swarm_facts import (
    COMING,
    Swarm,
    Where,
    read_network,
    read_node,
    read_service,
    read_task,
)

QUICK_SECONDS: Final = 0.2  # between listings right after an event or a change
BUSY_SECONDS: Final = 0.7  # while an update goes on or tasks are on their way
_SLOWER: Final = 1.5  # factor between listings that found nothing new
_MOST_EXPLAINED: Final = 20  # services without a running task of which all tasks are asked for
_BELIEVED: Final = 15.0  # seconds that a stop signal is believed while the manager calls the task running
_EVENTS: Final = json.dumps(
    {
        "type": ["service", "node", "network", "container"],
        "event": [
            *("create", "update", "remove", "start", "kill", "die", "stop", "oom", "destroy", "health_status"),
            *("connect", "disconnect"),
        ],
    }
)
_ENDS: Final = frozenset({"die", "stop", "destroy", "health_status: unhealthy"})


class Known(msgspec.Struct, frozen=True):
    """What ``decide`` needs."""

    swarm: Swarm
    where: Where


def check_manager(info: dict[str, Any], endpoint: str) -> None:
    """Raise UnfitDaemon unless the daemon of this ``GET /info`` can tell of services."""
    swarm = info.get("Swarm") or {}
    if swarm.get("ControlAvailable"):
        return
    state = swarm.get("LocalNodeState") or "inactive"
    if state == "active":
        what = "is a worker of its Swarm, and only managers tell of services"
        fix = "run the router with --constraint node.role==manager, or set providers.swarm.endpoint to a manager"
    elif state == "inactive":
        what = "is in no Swarm"
        fix = "run docker swarm init, or write providers.docker for containers without a Swarm"
    else:
        what = f"is in a Swarm that is {state}: {swarm.get('Error') or 'no leader'}"
        fix = "docker swarm unlock" if state == "locked" else "docker info tells more"
    raise UnfitDaemon(f"the Docker daemon at {endpoint} {what}; {fix}")


class SwarmWatch(Follow):
    """What the manager said. ``refresh`` is the time between listings when nothing happens, in seconds."""

    filters = _EVENTS
    facts = Known

    def __init__(self, client: DockerClient, settings: Settings, endpoint: str, refresh: float) -> None:
        super().__init__(client)
        self.settings = settings
        self.endpoint = endpoint
        self.refresh = refresh
        self.decoded = Decoded(settings)
        self.swarm = Swarm()
        self.where = Where()
        self.leaving: dict[str, float] = {}  # container id -> until when its stop is believed
        self._pause = QUICK_SECONDS
        self._changed = True
        self._checked = False

    def mark(self, event: dict[str, Any]) -> bool:
        """Take tasks out of rotation whose containers got their stop signal; True when there was one."""
        actor = event.get("Actor") or {}
        container, action = str(actor.get("ID", "")), str(event.get("Action", ""))
        if event.get("Type") != "container" or not container:
            return False
        of = str((actor.get("Attributes") or {}).get("com.docker.swarm.service.id", ""))
        service = next((service for service in self.swarm.services if service.id == of), None)
        if service is None or not (action in _ENDS or stops(action, actor, service.stop_signal)):
            return False
        self.leaving[container] = time.monotonic() + _BELIEVED
        tasks = tuple(
            msgspec.structs.replace(task, leaving=task.container in self.leaving) for task in self.swarm.tasks
        )
        self.swarm = msgspec.structs.replace(self.swarm, tasks=tasks)
        return True

    async def renew(self) -> None:
        """See ``Follow``. Raises UnfitDaemon."""
        client = self.client
        if not self._checked:
            check_manager(await client.info(), self.endpoint)
            self._checked = True
        services, tasks, nodes, networks = await asyncio.gather(
            client.services(), client.tasks({"desired-state": ["running"]}), client.nodes(), client.networks()
        )
        tasks += await self._explaining(services, tasks)
        now = time.monotonic()
        self.leaving = {key: until for key, until in self.leaving.items() if until > now}
        self.where = await self._where(tasks)
        found = Swarm(
            services=tuple(read_service(entry) for entry in services),
            tasks=tuple(read_task(entry, self.leaving) for entry in tasks),
            nodes=tuple(read_node(entry) for entry in nodes),
            networks=tuple(read_network(entry) for entry in networks),
        )
        self._changed = found != self.swarm
        self.swarm = found

    async def _explaining(self, services: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All other tasks of services of which none runs: they say why."""
        runs = {task["ServiceID"] for task in tasks if (task.get("Status") or {}).get("State") == "running"}
        silent = [service["ID"] for service in services if service["ID"] not in runs and read_service(service).replicas]
        if not silent:
            return []
        known = {task["ID"] for task in tasks}
        found = await self.client.tasks({"service": silent[:_MOST_EXPLAINED]})
        return [task for task in found if task["ID"] not in known]

    async def _where(self, tasks: list[dict[str, Any]]) -> Where:
        own = own_id()
        if not own:
            return Where(on_host=True)
        for task in tasks:
            container = ((task.get("Status") or {}).get("ContainerStatus") or {}).get("ContainerID", "")
            if container.startswith(own):
                attached = task.get("NetworksAttachments") or ()
                return Where(networks=frozenset(str(one["Network"]["ID"]) for one in attached))
        inspected = await self.client.inspect_if_allowed(own, dict[str, Any])
        if inspected is None:
            return Where()
        networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
        return Where(networks=frozenset(str(one.get("NetworkID", "")) for one in networks.values()))

    def known(self) -> Known:
        """See ``Follow``."""
        return Known(self.swarm, self.where)

    def decide(self, known: Known) -> Snapshot:
        """See ``Follow``."""
        return decide(known.swarm, known.where, self.settings, self.decoded)

    def rest(self, heard: bool) -> float:
        """See ``Follow``: short after events and changes, longer with every listing that found nothing new."""
        if heard or self._changed:
            self._pause = QUICK_SECONDS
        else:
            self._pause = min(self._pause * _SLOWER, BUSY_SECONDS if self._busy() else self.refresh)
        return self._pause

    def _busy(self) -> bool:
        if any(service.updating for service in self.swarm.services):
            return True
        coming = [task for task in self.swarm.tasks if task.desired == "running" and task.state in COMING]
        return any(task.state != "pending" for task in coming)
