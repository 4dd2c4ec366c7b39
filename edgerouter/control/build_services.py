"""Services of the build: servers apart from options, references checked, circles found. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from edgerouter.clients.references import Limits, Resolver, references
from edgerouter.config.dynamic import Service
from edgerouter.config.late import put
from edgerouter.contracts.plan import ServerEntry, ServiceEntry
from edgerouter.control.aggregate import SERVICE_PATHS, TRANSPORT_PATHS, names_at, provider_of
from edgerouter.control.build_middlewares import NO_LIMITS, Middlewares, not_there_yet, plain_options, valued
from edgerouter.control.build_names import Names, guarded
from edgerouter.control.build_plain import hidden, revealed
from edgerouter.control.build_transports import PlannedTransports
from edgerouter.control.build_trial import Trials
from edgerouter.control.build_types import Fault, refusal
from edgerouter.services._load_balancer_options import ServerOptions

DEFAULT_TRANSPORT: Final = "default@internal"
_NOWHERE: Final = "unix:/no-shared-network/"
_SCHEMES: Final = ("http://", "https://", "unix:")


class Node(msgspec.Struct, frozen=True):
    """One service by itself, before its references are looked at."""

    name: str
    kind: str
    options: Any
    shown: Any
    servers: tuple[ServerEntry, ...]
    middlewares: tuple[str, ...]
    children: tuple[str, ...]
    transport: str
    faults: tuple[Fault, ...] = ()


def make_node(name: str, service: Service, limits: Limits = NO_LIMITS, trials: Trials | None = None) -> Node:
    """Take a service apart."""
    try:
        return _make_node(name, service, limits, trials or Trials())
    except Exception as error:  # options are a plugin's, and a plugin may be anybody's: only its users are refused
        fault = Fault("", f"its options cannot be understood: {type(error).__name__}: {error}")
        return Node(name, service.kind, {}, None, (), service.middlewares, (), "", (fault,))


def _make_node(name: str, service: Service, limits: Limits, trials: Trials) -> Node:
    if service.refused:
        told = (Fault("", service.refused, told=True),)
        return Node(name, service.kind, {}, None, (), service.middlewares, (), "", told)
    plain = plain_options(service, name)
    barred = limits.barred(provider_of(name), plain)
    faults = list(not_there_yet(service.kind, valued("services", service, plain, barred is None)))
    given, unread = ((), "") if barred is not None else _servers(plain.pop("servers", ()))
    servers = tuple(server for server in given if server.url.startswith(_SCHEMES))
    faults.extend(_server_fault(server, not servers) for server in given if server not in servers)
    wrong = "" if barred is not None else unread or trials.service(name, service.kind, plain)
    if barred is not None:
        faults.insert(0, Fault(service.kind, *barred))
    elif wrong:
        faults.insert(0, Fault(service.kind, wrong))
    transport = (names_at(plain, TRANSPORT_PATHS) or ("",))[0]
    children = names_at(plain, SERVICE_PATHS)
    shown = put(hidden(service.options), service.late)
    return Node(name, service.kind, plain, shown, servers, service.middlewares, children, transport, tuple(faults))


def _servers(given: Iterable[Mapping[str, Any]]) -> tuple[tuple[ServerEntry, ...], str]:
    """The servers, and what is wrong with references in them. Addresses are no secrets: they stand in the view, in
    metrics and in the access log, so references get their values here."""
    try:
        return tuple(_server(_resolved(place, server)) for place, server in enumerate(given)), ""
    except ValueError as error:
        return (), str(error)


def _resolved(place: int, server: Mapping[str, Any]) -> Mapping[str, Any]:
    if next(references(server), None) is None:
        return server
    try:
        plain: dict[str, Any] = revealed(Resolver().typed(server, ServerOptions))
    except ValueError as error:
        raise ValueError(f"servers[{place}]: {error}") from None
    return plain


def _server(given: Mapping[str, Any]) -> ServerEntry:
    return ServerEntry(
        url=str(given.get("url", "")),
        weight=int(given.get("weight", 1)),
        preserve_path=bool(given.get("preservePath", False)),
        fenced=bool(given.get("fenced", False)),
    )


def _server_fault(server: ServerEntry, alone: bool) -> Fault:
    """A server that cannot be used is left out; without any other the service is refused."""
    if server.url.startswith("h2c://"):
        message = f"{server.url!r}: h2c is not there yet, servers are asked in HTTP/1.1"
        return Fault("servers", message, f"write http{server.url[3:]}", alone)
    hint = f"write http://{server.url}" if server.url and "://" not in server.url else "write http://host:port"
    return Fault("servers", f"{server.url!r} is not a server's address", hint, alone)


def _is_socket(url: str) -> bool:
    """True for a Unix socket, but not for the one that no machine has: so a provider says "no network is shared"."""
    return url.startswith("unix:") and (not url.startswith(_NOWHERE) or "/" in url.removeprefix(_NOWHERE))


class Services:
    """The services of one build."""

    def __init__(
        self,
        nodes: Mapping[str, Node],
        transports: PlannedTransports,
        middlewares: Middlewares,
        names: Names,
        transport_names: Names,
        guard: frozenset[str],
    ) -> None:
        self.nodes = nodes
        self._transports = transports
        self._middlewares = middlewares
        self._names = names
        self._transport_names = transport_names
        self._guard = guard
        self.faults: dict[str, list[Fault]] = {}
        self.steps: dict[str, tuple[str, ...]] = {}
        self._open: list[str] = []
        for name in nodes:
            self._look(name)

    def fault(self, name: str, user: str) -> Fault | None:
        """What keeps ``user`` from using the service ``name``."""
        if not name:
            return Fault("service", "it names no service", "add service: NAME")
        barred = guarded(name, provider_of(user), self._guard)
        if barred is not None:
            return Fault("service", *barred)
        if name not in self.nodes:
            return Fault("service", *self._names.missing(name))
        why = refusal(self.faults.get(name, []))
        return Fault("service", f"service {name!r} is broken: {why}") if why else None

    def _look(self, name: str) -> None:
        """Find the service's faults, its children's first; memoised."""
        if name in self.faults:
            return
        node = self.nodes[name]
        faults = list(node.faults)
        faults.extend(self._sockets(node))
        self._open.append(name)
        for child in node.children:
            fault = self._circle(child) or self._child(child, name)
            if fault is not None:
                faults.append(fault)
        self._open.pop()
        if node.transport in self._transports.faults:
            faults.append(self._transports.faults[node.transport])
        elif node.transport and node.transport != DEFAULT_TRANSPORT and node.transport not in self._transports.entries:
            faults.append(Fault("serversTransport", *self._transport_names.missing(node.transport)))
        self.steps[name], wrong = self._middlewares.expand(node.middlewares, name)
        self.faults[name] = faults + wrong

    def _sockets(self, node: Node) -> list[Fault]:
        """A Unix socket is a file of this machine (Docker's, our own): labels must not lead requests there."""
        provider = provider_of(node.name)
        if provider not in self._guard:
            return []
        hint = f"set providers.{provider}.allowInternal=true to trust labels, or define the service in a file"
        message = f"servers on Unix sockets must not be named from {provider}"
        return [Fault("servers", message, hint) for server in node.servers if _is_socket(server.url)][:1]

    def _circle(self, child: str) -> Fault | None:
        if child not in self._open:
            return None
        circle = " -> ".join([*self._open[self._open.index(child) :], child])
        return Fault("", f"service {child!r} contains itself: {circle}")

    def _child(self, child: str, parent: str) -> Fault | None:
        if child in self.nodes:
            self._look(child)
        return self.fault(child, parent)

    def entry(self, name: str, key: int, down: frozenset[tuple[str, str]]) -> ServiceEntry:
        """The Plan's entry."""
        node = self.nodes[name]
        servers = node.servers
        if down:
            servers = tuple(
                msgspec.structs.replace(server, up=False) if (name, server.url) in down else server
                for server in servers
            )
        faults = self.faults[name]
        why = refusal(faults) if faults else ""
        return ServiceEntry(name, node.kind, node.options, key, servers, self.steps[name], why)
