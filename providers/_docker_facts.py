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

    network_mode: str = ""


class Port(msgspec.Struct, frozen=True, rename="pascal"):
    """A port that is exposed (``private_port``), or published too."""

    private_port: int
    public_port: int = 0
    type: str = ""
    ip: str = msgspec.field(default="", name="IP")


class Endpoint(msgspec.Struct, frozen=True, rename="pascal"):
    """A container's place in a network."""

    network_id: str = msgspec.field(default="", name="NetworkID")
    ip_address: str = msgspec.field(default="", name="IPAddress")
    global_ipv6_address: str = msgspec.field(default="", name="GlobalIPv6Address")
    gateway: str = ""


class NetworkSettings(msgspec.Struct, frozen=True, rename="pascal"):
    """A container's networks by name."""

    networks: dict[str, Endpoint] | None = None


class Listed(msgspec.Struct, frozen=True, rename="pascal"):
    """Of an entry of the listing what counts. What may be null is written as such: lists and maps of Go."""

    id: str
    names: tuple[str, ...] | None = None
    state: str = ""
    status: str = ""
    labels: dict[str, str] | None = None
    ports: tuple[Port, ...] | None = None
    host_config: HostConfig | None = None
    network_settings: NetworkSettings | None = None


class Inspection(msgspec.Struct, frozen=True, rename="pascal"):
    """Of an inspection what the listing does not tell. All else (a hundred values) is skipped while it is read."""

    created: str = ""
    state: State | None = None
    config: Config | None = None
    host_config: HostConfig | None = None


_NO_CONFIG: Final = Config()


def health_of(listed: Listed) -> str:
    """Return starting, healthy, unhealthy or "" from a listing's Status."""
    found = _HEALTH.search(listed.status)
    return found.group(1) if found else ""


def _health(listed: Listed, inspected: Inspection) -> str:
    """As ``health_of``; Podman's listings do not tell it, its inspections do."""
    health = inspected.state.health if inspected.state is not None else None
    status = health.status if health is not None else ""
    return health_of(listed) or (status if status in ("starting", "healthy", "unhealthy") else "")


def _network_mode(listed: Listed, inspected: Inspection) -> str:
    """Podman's listings do not tell it."""
    told = (host.network_mode for host in (listed.host_config, inspected.host_config) if host is not None)
    return next(filter(None, told), "default")


def _exit_code(listed: Listed) -> str:
    """The code only: the rest of Status tells the time and would make every listing a change."""
    found = _EXITED.search(listed.status) if listed.state == "exited" else None
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


def _exposed(listed: Listed, config: Config) -> tuple[int, ...]:
    ports = {port.private_port for port in listed.ports or () if port.type == "tcp"}
    for text in config.exposed_ports or ():
        number, _, protocol = text.partition("/")
        if protocol in ("", "tcp") and number.isdigit():
            ports.add(int(number))
    return tuple(sorted(ports))


def _bindings(listed: Listed) -> tuple[Binding, ...]:
    return tuple(
        [
            Binding(port.private_port, port.ip, port.public_port)
            for port in listed.ports or ()
            if port.type == "tcp" and port.public_port
        ]
    )


def _attachments(listed: Listed, drivers: Mapping[str, str]) -> tuple[Attachment, ...]:
    networks = listed.network_settings.networks if listed.network_settings is not None else None
    return tuple(
        [
            Attachment(
                name=name,
                id=entry.network_id,
                ip=entry.ip_address,
                ip6=entry.global_ipv6_address,
                gateway=entry.gateway,
                driver=drivers.get(entry.network_id, ""),
            )
            for name, entry in sorted((networks or {}).items())
        ]
    )


def _last_check(inspected: Inspection) -> str:
    health = inspected.state.health if inspected.state is not None else None
    failed = [check for check in (health.log or () if health is not None else ()) if check.exit_code]
    return " ".join(failed[-1].output.split())[:200] if failed else ""


def read_container(
    listed: Listed, inspected: Inspection, drivers: Mapping[str, str], leaving: bool = False
) -> Container:
    """Make facts of one entry of the listing and its inspection; ``drivers`` is network id -> driver."""
    config = inspected.config or _NO_CONFIG
    names = sorted(listed.names or (), key=lambda name: name.count("/"))  # links are /other/alias
    return Container(
        id=listed.id,
        name=names[0].lstrip("/") if names else listed.id[:12],
        state=listed.state,
        health=_health(listed, inspected) if listed.state == "running" else "",
        exit_code=_exit_code(listed),
        labels=listed.labels or {},
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
