"""What is known of containers and of the router's own place, as frozen plain data made from the daemon's answers.

Reading answers lives here. Neither I/O nor decisions do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from signal import SIGTERM, Signals
from typing import Any, Final

import msgspec

_EXITED: Final = re.compile(r"\((\d+)\)")
_HEALTH: Final = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")
SECONDS_TO_STOP: Final = 10.0  # the daemon's default between the stop signal and SIGKILL
_SIGRTMIN: Final = 34


class Attachment(msgspec.Struct, frozen=True):
    """One network of a container. ``driver`` is bridge, overlay, macvlan ... ("" unknown)."""

    name: str
    id: str = ""
    ip: str = ""
    ip6: str = ""
    gateway: str = ""
    driver: str = ""


class Binding(msgspec.Struct, frozen=True):
    """A port of the container that is published on the host."""

    port: int
    host_ip: str
    host_port: int


class Container(msgspec.Struct, frozen=True):
    """One container. ``created`` is the daemon's timestamp (RFC 3339, so that text order is time order)."""

    id: str
    name: str
    state: str = "running"  # created, running, paused, restarting, removing, exited, dead
    health: str = ""  # starting, healthy, unhealthy; "" has no check
    exit_code: str = ""  # of a container that has exited
    labels: Mapping[str, str] = {}
    network_mode: str = "default"
    attachments: tuple[Attachment, ...] = ()
    ports: tuple[int, ...] = ()  # exposed TCP ports, ascending
    bindings: tuple[Binding, ...] = ()
    created: str = ""
    last_check: str = ""  # what the last failing health check printed
    stop_signal: str = "15"
    stop_seconds: float = SECONDS_TO_STOP
    leaving: bool = False  # got its stop signal

    @property
    def running(self) -> bool:
        """True when requests can be sent to it, its health aside."""
        return self.state == "running" and not self.leaving


class Place(msgspec.Struct, frozen=True):
    """Where the router itself runs. ``networks`` are ids of those that it is attached to, unused on a host."""

    in_container: bool = False
    networks: frozenset[str] = frozenset()
    host_address: str = "127.0.0.1"  # how the host is reached from here


class Check(msgspec.Struct, frozen=True, rename="pascal"):
    """One run of a health check."""

    exit_code: int = 0
    output: str = ""


class Health(msgspec.Struct, frozen=True, rename="pascal"):
    """What health checks found."""

    status: str = ""
    log: tuple[Check, ...] | None = None


class State(msgspec.Struct, frozen=True, rename="pascal"):
    """A container's state."""

    health: Health | None = None


class Config(msgspec.Struct, frozen=True, rename="pascal"):
    """What a container was made with. Podman tells signals as numbers."""

    exposed_ports: dict[str, Any] | None = None
    stop_signal: str | int | None = None
    stop_timeout: float | None = None


class HostConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """The same, of the host's side."""

    network_mode: str = "default"


class Inspection(msgspec.Struct, frozen=True, rename="pascal"):
    """Of an inspection what the listing does not tell. All else (a hundred values) is skipped while it is read."""

    created: str = ""
    state: State | None = None
    config: Config | None = None
    host_config: HostConfig | None = None


_NO_CONFIG: Final = Config()


def health_of(listed: Mapping[str, Any]) -> str:
    """Return starting, healthy, unhealthy or "" from a listing's Status."""
    found = _HEALTH.search(str(listed.get("Status", "")))
    return found.group(1) if found else ""


def _health(listed: Mapping[str, Any], inspected: Inspection) -> str:
    """As ``health_of``; Podman's listings do not tell it, its inspections do."""
    health = inspected.state.health if inspected.state is not None else None
    status = health.status if health is not None else ""
    return health_of(listed) or (status if status in ("starting", "healthy", "unhealthy") else "")


def _network_mode(listed: Mapping[str, Any], inspected: Inspection) -> str:
    told = listed.get("HostConfig")
    if told:
        return str(told.get("NetworkMode", "default"))
    return inspected.host_config.network_mode if inspected.host_config is not None else "default"  # Podman


def _exit_code(listed: Mapping[str, Any]) -> str:
    """The code only: the rest of Status tells the time and would make every listing a change."""
    found = _EXITED.search(str(listed.get("Status", ""))) if listed.get("State") == "exited" else None
    return found.group(1) if found else ""


def signal_number(text: object) -> str:
    """Return a signal as its number; names come with or without SIG, real-time ones as RTMIN+n."""
    name = str(text).upper()
    if name.isdigit():
        return name
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name.startswith("SIGRTMIN+"):
        return str(_SIGRTMIN + int(name.removeprefix("SIGRTMIN+") or 0))
    return str(int(Signals.__members__.get(name, SIGTERM)))


def _exposed(listed: Mapping[str, Any], config: Config) -> tuple[int, ...]:
    ports = {int(entry["PrivatePort"]) for entry in listed.get("Ports") or () if entry.get("Type") == "tcp"}
    for text in config.exposed_ports or ():
        number, _, protocol = text.partition("/")
        if protocol in ("", "tcp") and number.isdigit():
            ports.add(int(number))
    return tuple(sorted(ports))


def _bindings(listed: Mapping[str, Any]) -> tuple[Binding, ...]:
    return tuple(
        Binding(int(entry["PrivatePort"]), str(entry.get("IP", "")), int(entry["PublicPort"]))
        for entry in listed.get("Ports") or ()
        if entry.get("Type") == "tcp" and entry.get("PublicPort")
    )


def _attachments(listed: Mapping[str, Any], drivers: Mapping[str, str]) -> tuple[Attachment, ...]:
    networks = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    return tuple(
        Attachment(
            name=name,
            id=str(entry.get("NetworkID", "")),
            ip=str(entry.get("IPAddress", "")),
            ip6=str(entry.get("GlobalIPv6Address", "")),
            gateway=str(entry.get("Gateway", "")),
            driver=drivers.get(str(entry.get("NetworkID", "")), ""),
        )
        for name, entry in sorted(networks.items())
    )


def _last_check(inspected: Inspection) -> str:
    health = inspected.state.health if inspected.state is not None else None
    failed = [check for check in (health.log or () if health is not None else ()) if check.exit_code]
    return " ".join(failed[-1].output.split())[:200] if failed else ""


def read_container(
    listed: Mapping[str, Any], inspected: Inspection, drivers: Mapping[str, str], leaving: bool = False
) -> Container:
    """Make facts of one entry of the listing and its inspection; ``drivers`` is network id -> driver."""
    config = inspected.config or _NO_CONFIG
    names = sorted(listed.get("Names") or (), key=lambda name: str(name).count("/"))  # links are /other/alias
    state = str(listed.get("State", ""))
    return Container(
        id=str(listed["Id"]),
        name=str(names[0]).lstrip("/") if names else str(listed["Id"])[:12],
        state=state,
        health=_health(listed, inspected) if state == "running" else "",
        exit_code=_exit_code(listed),
        labels={str(key): str(value) for key, value in (listed.get("Labels") or {}).items()},
        network_mode=_network_mode(listed, inspected),
        attachments=_attachments(listed, drivers),
        ports=_exposed(listed, config),
        bindings=_bindings(listed),
        created=inspected.created.rstrip("Z"),  # "5.1Z" would sort after "5.12Z"
        last_check=_last_check(inspected),
        stop_signal=signal_number(config.stop_signal or "15"),
        stop_seconds=config.stop_timeout or SECONDS_TO_STOP,
        leaving=leaving,
    )


def read_drivers(networks: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return network id -> driver."""
    return {str(network["Id"]): str(network.get("Driver", "")) for network in networks}


def find_place(own_id: str, containers: Iterable[Container], host_address: str = "") -> Place:
    """Return where the router runs: ``own_id`` is its container's id or the start of it, "" on a host.

    A container that shares the host's network counts as the host; one that shares another's has that one's networks.
    An id that this daemon does not know means a daemon elsewhere: then as from its host.
    """
    known = list(containers)
    own = next((container for container in known if own_id and container.id.startswith(own_id)), None)
    if own is not None and own.network_mode.startswith("container:"):
        owner = own.network_mode.removeprefix("container:")
        own = next((container for container in known if container.id == owner or container.name == owner), None)
    if own is None or own.network_mode == "host":
        return Place()
    gateways = [attachment.gateway for attachment in own.attachments if attachment.gateway]
    return Place(
        in_container=True,
        networks=frozenset(attachment.id for attachment in own.attachments),
        host_address=host_address or (gateways[0] if gateways else "127.0.0.1"),
    )
