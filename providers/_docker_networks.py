"""Which address of a container the router can reach, or the sentence that says why there is none. Pure.

On a host every bridge network counts as shared and overlay ones do not; in a container its own networks count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from edgerouter.providers._docker_facts import Attachment, Container, Place

# Drivers whose networks a host has an interface in. Others (macvlan, ipvlan, plugins) may be routed: only when named.
_HOST_DRIVERS: Final = frozenset({"bridge", "nat", ""})
_ANY_HOST_IP: Final = frozenset({"", "0.0.0.0", "::"})


class Address(msgspec.Struct, frozen=True):
    """A container's address, or why it has none. ``port`` is set when it replaces the container's own port."""

    host: str = ""
    port: int = 0
    network: str = ""
    missing: str = ""  # the sentence; then there is no address
    fix: str = ""
    warning: str = ""  # an address was found, but not the one that was asked for


def _text(attachment: Attachment) -> str:
    if attachment.ip or not attachment.ip6:
        return attachment.ip
    return f"[{attachment.ip6}]"


def _shared(attachment: Attachment, place: Place, named: bool) -> bool:
    if place.in_container:
        return attachment.id in place.networks
    return attachment.driver in _HOST_DRIVERS or (named and attachment.driver != "overlay")


def _nothing_shared(container: Container, place: Place, prefix: str) -> Address:
    names = ", ".join(attachment.name for attachment in container.attachments) or "no network"
    if not container.attachments:
        reason = f"container {container.name} is attached to no network"
    elif place.in_container:
        reason = f"container {container.name} is on {names}; the router's container is on none of these"
    else:
        kinds = sorted({attachment.driver for attachment in container.attachments})
        reason = f"container {container.name} is on {names} ({', '.join(kinds)}), which this host cannot reach"
    first = container.attachments[0].name if container.attachments else "edge"
    fix = f"docker network connect {first} <the router's container>"
    if not place.in_container:
        fix = f"docker network connect bridge {container.name}"
    return Address(missing=reason, fix=f"{fix}, or name a shared network: {prefix}.docker.network=...")


def _wanted(container: Container, network: str) -> list[Attachment]:
    return [attachment for attachment in container.attachments if attachment.name == network]


def _attached(container: Container, place: Place, network: str, prefix: str) -> Address:
    warning = ""
    wanted = _wanted(container, network) if network else []
    if network and not wanted:
        names = ", ".join(attachment.name for attachment in container.attachments)
        warning = f"network {network!r} is not among those of container {container.name} ({names}); the first is used"
    named = bool(wanted)
    for attachment in wanted or container.attachments:
        if _text(attachment) and _shared(attachment, place, named):
            return Address(host=_text(attachment), network=attachment.name, warning=warning)
    return _nothing_shared(container, place, prefix)


def _bound(container: Container, place: Place, port: int) -> Address | None:
    for binding in container.bindings:
        if binding.port == port and binding.host_ip not in _ANY_HOST_IP:
            host = f"[{binding.host_ip}]" if ":" in binding.host_ip else binding.host_ip
            return Address(host=host, port=binding.host_port, network="published port")
    return None


def _owner(container: Container, others: Mapping[str, Container]) -> Container | None:
    wanted = container.network_mode.removeprefix("container:")
    found = others.get(wanted)
    return found or next((other for other in others.values() if other.name == wanted), None)


def find_address(
    container: Container,
    place: Place,
    port: int,
    *,
    network: str = "",
    use_bind_port_ip: bool = False,
    others: Mapping[str, Container] | None = None,
    prefix: str = "edgerouter",
) -> Address:
    """Return where ``port`` of the container is reached. ``others`` is id -> container, for ``container:`` mode."""
    if container.network_mode.startswith("container:"):
        owner = _owner(container, others or {})
        if owner is None or owner.network_mode.startswith("container:"):
            reason = (
                f"container {container.name} uses the network of another one ({container.network_mode}) that is gone"
            )
            return Address(missing=reason, fix="start that container again")
        container = owner
    if container.network_mode == "host":
        return Address(host=place.host_address, network="host")
    warning = ""
    if use_bind_port_ip:
        bound = _bound(container, place, port)
        if bound is not None:
            return bound
        warning = f"useBindPortIP: port {port} of container {container.name} is not published on an address of its own"
    found = _attached(container, place, network, prefix)
    return msgspec.structs.replace(found, warning=found.warning or warning)
