"""Which addresses of a service's tasks the router can reach, or the sentence that says why there is none. Pure.

Overlay networks are reached from containers that are attached to them, and from nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from edgerouter.providers._swarm_facts import Node, SwarmNetwork, SwarmService, Task, Where
from edgerouter.providers._synthesis import Reach

_HOST: Final = "host"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What options and labels ask for: a port, a network by name ("" any), the service's own address, host ports."""

    port: int
    network: str = ""
    virtual_ip: bool = False
    bind_port_ip: bool = False


class Surroundings(msgspec.Struct, frozen=True):
    """What addresses depend on besides the service and its tasks; both tables are by id."""

    where: Where
    networks: Mapping[str, SwarmNetwork]
    nodes: Mapping[str, Node]
    prefix: str


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def find_addresses(service: SwarmService, tasks: Sequence[Task], wanted: Wanted, around: Surroundings) -> Reach:
    """Return where ``wanted.port`` of the service is reached; ``tasks`` are those that take requests."""
    warning = ""
    if wanted.bind_port_ip:
        bound = _bound(tasks, wanted.port, around)
        if bound:
            return Reach(addresses=tuple(bound))
        warning = f"useBindPortIP: no task of service {service.name} publishes port {wanted.port} with mode=host"
    if wanted.virtual_ip:
        if service.endpoint_mode == "dnsrr":
            warning = f"lbswarm: service {service.name} has the endpoint mode dnsrr and no address of its own"
            warning += "; its tasks' addresses are used"
        else:
            return _virtual(service, wanted, around)
    found = _of_tasks(service, tasks, wanted, around)
    return msgspec.structs.replace(found, warning=found.warning or warning)


def _bound(tasks: Sequence[Task], port: int, around: Surroundings) -> list[str]:
    found = []
    for task in tasks:
        node = around.nodes.get(task.node)
        published = next((outer for inner, outer in task.ports if inner == port), 0)
        if published and node is not None and node.address:
            found.append(_authority(node.address, published))
    return found


def _choose(service: SwarmService, having: Sequence[str], wanted: Wanted, around: Surroundings) -> tuple[str, Reach]:
    """The id of the network to use, or "" and why there is none; ``having`` are ids of networks with an address."""
    known = [around.networks.get(one, SwarmNetwork(one, one)) for one in dict.fromkeys(having)]
    usable = [network for network in known if not network.ingress]
    named = [network for network in usable if network.name == wanted.network]
    warning = ""
    if wanted.network and not named:
        names = ", ".join(network.name for network in usable) or "none"
        stack = [network.name for network in usable if network.name.endswith(f"_{wanted.network}")]
        warning = f"network {wanted.network!r} is not among those of service {service.name} ({names})"
        warning += f"; in a stack it is called {stack[0]}" if stack else "; the first is used"
        named = [network for network in usable if network.name in stack]
    for network in named or usable:
        if _reachable(network, around.where):
            return network.id, Reach(warning=warning)
    return "", _nothing_shared(service, usable, around)


def _reachable(network: SwarmNetwork, where: Where) -> bool:
    if network.driver == _HOST:
        return True
    if where.on_host:
        return network.driver != "overlay"
    return where.networks is None or network.id in where.networks


def _nothing_shared(service: SwarmService, usable: Sequence[SwarmNetwork], around: Surroundings) -> Reach:
    names = ", ".join(network.name for network in usable)
    first = usable[0].name if usable else "edge"
    if not usable:
        reason = f"service {service.name} is attached to no network"
        fix = f"docker service update --network-add {first} {service.name}, a network of the router's own service"
    elif around.where.on_host:
        reason = f"service {service.name} is on {names}, and a router outside of a container cannot reach an overlay"
        fix = f"run the router as a service with --network {first}"
        fix += f", or publish the port with mode=host and add {around.prefix}'s option useBindPortIP"
    else:
        reason = f"service {service.name} is on {names}; the router's container is on none of these"
        fix = f"docker service update --network-add {first} <the router's service>"
    return Reach(code="NO_SHARED_NETWORK", reason=reason, fix=fix)


def _virtual(service: SwarmService, wanted: Wanted, around: Surroundings) -> Reach:
    addresses = {network: address for network, address in service.vips if address}
    network, reach = _choose(service, list(addresses), wanted, around)
    if not network:
        return reach
    return msgspec.structs.replace(reach, addresses=(_authority(addresses[network], wanted.port),))


def _of_tasks(service: SwarmService, tasks: Sequence[Task], wanted: Wanted, around: Surroundings) -> Reach:
    having = [one.network for task in tasks for one in task.addresses]
    having += [network for network in service.networks if network in around.networks]
    network, reach = _choose(service, having, wanted, around)
    if not network:
        return reach
    on_host = around.networks.get(network, SwarmNetwork(network, "")).driver == _HOST
    found = []
    for task in tasks:
        address = _node_address(task, around) if on_host else _address_on(task, network)
        if address:
            found.append(_authority(address, wanted.port))
    return msgspec.structs.replace(reach, addresses=tuple(dict.fromkeys(found)))


def _node_address(task: Task, around: Surroundings) -> str:
    node = around.nodes.get(task.node)
    return node.address if node is not None else ""


def _address_on(task: Task, network: str) -> str:
    return next((one.ip for one in task.addresses if one.network == network), "")
