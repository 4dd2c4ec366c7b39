"""What is known of a Swarm, as frozen plain data made from a manager's answers. Neither I/O nor decisions.

Source: the Docker Engine API's objects Service, Task, Node and Network; task states are those of its ``TaskState``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from edgerouter.providers._docker_facts import signal_number

RUNNING: Final = "running"
# States on the way to running, in their order.
COMING: Final = ("new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting")
_UPDATING: Final = frozenset({"updating", "rollback_started"})


class SwarmNetwork(msgspec.Struct, frozen=True):
    """A network. ``driver`` is overlay, bridge, host ...; the ``ingress`` one carries published ports only."""

    id: str
    name: str
    driver: str = "overlay"
    ingress: bool = False


class TaskAddress(msgspec.Struct, frozen=True):
    """A task's address on one network, "" where the network gives none."""

    network: str  # the network's id
    ip: str = ""


class Node(msgspec.Struct, frozen=True):
    """A machine of the Swarm. ``state``: unknown, down, ready, disconnected; ``availability``: active, pause, drain."""

    id: str
    name: str = ""
    address: str = ""
    state: str = "ready"
    availability: str = "active"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task. ``said`` is the daemon's message or error; ``ports`` are those published on the task's node itself."""

    id: str
    service: str
    slot: int = 0
    node: str = ""
    state: str = RUNNING
    desired: str = RUNNING
    said: str = ""
    container: str = ""
    addresses: tuple[TaskAddress, ...] = ()
    ports: tuple[tuple[int, int], ...] = ()  # (port of the task, port of the node), TCP, mode=host
    at: str = ""  # when it came into its state
    leaving: bool = False  # its container got its stop signal

    @property
    def takes_requests(self) -> bool:
        """True when it runs and is meant to."""
        return self.state == RUNNING and self.desired == RUNNING and not self.leaving


class SwarmService(msgspec.Struct, frozen=True, kw_only=True):
    """One service. ``mode`` is the API's word in lower case; ``vips`` are (network id, address)."""

    id: str
    name: str
    labels: Mapping[str, str] = {}
    mode: str = "replicated"
    replicas: int = 1
    endpoint_mode: str = "vip"
    vips: tuple[tuple[str, str], ...] = ()
    ports: tuple[int, ...] = ()  # TCP ports that it publishes, by their number in the task
    networks: tuple[str, ...] = ()  # ids of networks, as written in its specification
    created: str = ""
    updating: bool = False
    stop_signal: str = "15"


class Swarm(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    services: tuple[SwarmService, ...] = ()
    tasks: tuple[Task, ...] = ()
    nodes: tuple[Node, ...] = ()
    networks: tuple[SwarmNetwork, ...] = ()


class Where(msgspec.Struct, frozen=True):
    """Where the router runs. ``networks`` are ids of its own container's; None: a container that the manager does not
    know, so that any overlay network may be its own."""

    on_host: bool = False
    networks: frozenset[str] | None = None


def _ip(text: object) -> str:
    return str(text).partition("/")[0]


def _mode(spec: Mapping[str, Any]) -> tuple[str, int]:
    mode = spec.get("Mode") or {}
    name = next((key for key in mode if mode[key] is not None), "Replicated")
    replicas = (mode.get(name) or {}).get("Replicas")
    return {"ReplicatedJob": "replicated-job", "GlobalJob": "global-job"}.get(name, name.lower()), int(replicas or 0)


def read_service(data: Mapping[str, Any]) -> SwarmService:
    """Make facts of one entry of ``GET /services``."""
    spec = data.get("Spec") or {}
    template, endpoint = spec.get("TaskTemplate") or {}, data.get("Endpoint") or {}
    mode, replicas = _mode(spec)
    published = [*(endpoint.get("Ports") or ()), *((spec.get("EndpointSpec") or {}).get("Ports") or ())]
    networks = template.get("Networks") or spec.get("Networks") or ()
    return SwarmService(
        id=str(data["ID"]),
        name=str(spec.get("Name", data["ID"])),
        labels={str(key): str(value) for key, value in (spec.get("Labels") or {}).items()},
        mode=mode,
        replicas=replicas,
        endpoint_mode=str((spec.get("EndpointSpec") or {}).get("Mode") or "vip"),
        vips=tuple(
            (str(one.get("NetworkID", "")), _ip(one.get("Addr", ""))) for one in endpoint.get("VirtualIPs") or ()
        ),
        ports=tuple(sorted({int(port["TargetPort"]) for port in published if port.get("Protocol", "tcp") == "tcp"})),
        networks=tuple(str(one.get("Target", "")) for one in networks),
        created=str(data.get("CreatedAt", "")).rstrip("Z"),
        updating=(data.get("UpdateStatus") or {}).get("State") in _UPDATING,
        stop_signal=signal_number((template.get("ContainerSpec") or {}).get("StopSignal") or "15"),
    )


def read_task(data: Mapping[str, Any], left: Iterable[str] = ()) -> Task:
    """Make facts of one entry of ``GET /tasks``; ``left`` are ids of containers that got their stop signal."""
    status = data.get("Status") or {}
    container = str((status.get("ContainerStatus") or {}).get("ContainerID", ""))
    ports = (status.get("PortStatus") or {}).get("Ports") or ()
    return Task(
        id=str(data["ID"]),
        service=str(data.get("ServiceID", "")),
        slot=int(data.get("Slot") or 0),
        node=str(data.get("NodeID", "")),
        state=str(status.get("State", "")).lower(),
        desired=str(data.get("DesiredState", "")).lower(),
        said=" ".join(str(status.get("Err") or status.get("Message") or "").split())[:200],
        container=container,
        addresses=tuple(
            TaskAddress(str((one.get("Network") or {}).get("ID", "")), _ip((one.get("Addresses") or ("",))[0]))
            for one in data.get("NetworksAttachments") or ()
        ),
        ports=tuple(
            (int(port["TargetPort"]), int(port["PublishedPort"]))
            for port in ports
            if port.get("PublishMode") == "host" and port.get("Protocol") == "tcp" and port.get("PublishedPort")
        ),
        at=str(status.get("Timestamp", "")).rstrip("Z"),
        leaving=container in left,
    )


def read_node(data: Mapping[str, Any]) -> Node:
    """Make facts of one entry of ``GET /nodes``. A manager that listens everywhere names its address elsewhere."""
    status, spec = data.get("Status") or {}, data.get("Spec") or {}
    address = str(status.get("Addr", ""))
    if address in ("", "0.0.0.0", "::"):
        address = str((data.get("ManagerStatus") or {}).get("Addr", "")).rpartition(":")[0].strip("[]")
    return Node(
        id=str(data["ID"]),
        name=str((data.get("Description") or {}).get("Hostname", "")),
        address="" if address in ("0.0.0.0", "::") else address,
        state=str(status.get("State", "")).lower(),
        availability=str(spec.get("Availability", "")).lower(),
    )


def read_network(data: Mapping[str, Any]) -> SwarmNetwork:
    """Make facts of one entry of ``GET /networks``."""
    return SwarmNetwork(
        str(data["Id"]), str(data.get("Name", "")), str(data.get("Driver", "")), bool(data.get("Ingress"))
    )
