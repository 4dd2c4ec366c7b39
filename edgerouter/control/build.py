"""Snapshots -> (Plan, problems, ledger). Pure: no clock, no I/O; the same inputs give the same Plan.

What lives here: the order of the steps, and the memory that makes a second build cheap. An object that did not change
since the last build is not looked at again by itself; only its references are. The steps stand in ``build_*``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from edgerouter.clients.references import Limits
from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import Problem
from edgerouter.contracts.plan import Entry, Plan, ServiceEntry, TransportEntry, entry_key
from edgerouter.control.aggregate import Aggregate, Aggregator, provider_of
from edgerouter.control.build_keys import Keys
from edgerouter.control.build_middlewares import Middlewares, make_step
from edgerouter.control.build_names import Names
from edgerouter.control.build_plain import content_hash, hidden, revealed
from edgerouter.control.build_points import Points
from edgerouter.control.build_routers import RouterMemory, Routers, RuleCheck, check_rule, make_draft, shadowed
from edgerouter.control.build_services import DEFAULT_TRANSPORT, Node, Services, make_node
from edgerouter.control.build_tls import HostNames, Tls, certificate_views, with_faults
from edgerouter.control.build_tls_options import make_options, with_values
from edgerouter.control.build_transports import PlannedTransports, plan_transports
from edgerouter.control.build_trial import Trials
from edgerouter.control.build_types import Build, Fault, Inputs, status
from edgerouter.control.build_verdicts import judge
from edgerouter.control.health_trees import children_of
from edgerouter.control.presets import PRESET, SNAPSHOT
from edgerouter.control.view import EntryPointView, MiddlewareView, ServerView, ServiceView

T = TypeVar("T")
R = TypeVar("R")

__all__ = ["Build", "Builder", "Inputs", "build"]


class _Memo:
    """name -> (the object, what was made of it)."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Any, Any]] = {}

    def all(self, objects: Mapping[str, T], make: Callable[[str, T], R]) -> dict[str, R]:
        """What each object becomes; ``make`` is called only for those that are new or changed."""
        old, new, result = self._made, {}, {}
        for name in sorted(objects):
            source = objects[name]
            known = old.get(name)
            if known is None or (known[0] is not source and known[0] != source):
                known = (source, make(name, source))
            new[name] = known
            result[name] = known[1]
        self._made = new
        return result


class Builder:
    """Builds again and again, remembering what it made. One for the life of the control process."""

    def __init__(self, keys: Keys, check_rule: RuleCheck = check_rule) -> None:
        self.keys = keys
        self._check_rule = check_rule
        self._aggregator = Aggregator()
        self._steps, self._nodes, self._drafts = _Memo(), _Memo(), _Memo()
        self._router_memory = RouterMemory()
        self._host_names = HostNames()
        self._hashes: dict[str, tuple[Entry, int]] = {}
        self._service_views: dict[str, tuple[Node, Any, ServiceView]] = {}
        self._points: tuple[StaticConfiguration, Points] | None = None

    def build(self, inputs: Inputs) -> Build:
        """Make the Plan of these inputs. Never raises for a fault of the configuration."""
        whole = self._aggregator.aggregate({PRESET: SNAPSHOT, **inputs.snapshots})
        found = _problems_by_provider(inputs)
        service_names = Names("service", whole.services, found)
        limits, trials = Limits(inputs.guard, inputs.roots), Trials()
        middlewares = Middlewares(
            self._steps.all(whole.middlewares, lambda name, middleware: make_step(name, middleware, limits, trials)),
            whole.services,
            Names("middleware", whole.middlewares, found),
            service_names,
            inputs.guard,
        )
        transports = plan_transports(whole.transports, whole.late_transports, limits, inputs.keyring.transports)
        services = Services(
            self._nodes.all(whole.services, lambda name, service: make_node(name, service, limits, trials)),
            transports,
            middlewares,
            service_names,
            Names("serversTransport", whole.transports, found),
            inputs.guard,
        )
        points = self._entry_points(inputs.static)
        routers = self._routers(whole, points, services, middlewares)
        middlewares.check_chains()
        tls = self._tls(inputs, whole, routers, limits)
        return self._finish(inputs, whole, points, services, middlewares, routers, tls, transports)

    def _entry_points(self, static: StaticConfiguration) -> Points:
        if self._points is None or self._points[0] is not static:
            self._points = (static, Points(static))
        return self._points[1]

    def _router_key(self, name: str) -> int:
        return self.keys.key("router", name)

    def _routers(self, whole: Aggregate, points: Points, services: Services, middlewares: Middlewares) -> Routers:
        syntax = points.rule_syntax
        routers = Routers(points, services, middlewares, whole.sleeping, self._router_key, self._router_memory)
        drafts = self._drafts.all(
            whole.routers, lambda name, router: make_draft(name, router, syntax, self._check_rule)
        )
        routers.add_all(drafts)
        for name, winner in shadowed(routers.entries, points.precedence).items():
            fault = Fault(
                "shadowed", f"router {winner!r} has the same rule and goes first", "raise its priority", False
            )
            routers.blame(name, [fault])
        return routers

    def _tls(self, inputs: Inputs, whole: Aggregate, routers: Routers, limits: Limits) -> Tls:
        """What the handshakes need, and what of it is wrong with which router."""
        configured, refused = with_values(whole.tls_options, whole.tls_late, limits)
        options = make_options(configured, whole.tls_refused, inputs.keyring, refused)
        tls = Tls(inputs.keyring, options, self._host_names)
        for name, faults in tls.check(routers.entries).items():
            routers.entries[name] = with_faults(routers.entries[name], faults)
            routers.blame(name, faults)
        return tls

    def _finish(
        self,
        inputs: Inputs,
        whole: Aggregate,
        points: Points,
        services: Services,
        middlewares: Middlewares,
        routers: Routers,
        tls: Tls,
        planned: PlannedTransports,
    ) -> Build:
        keys = {name: self.keys.key("entrypoint", name) for name in points.configured}
        service_entries = {
            name: services.entry(name, self.keys.key("service", name), inputs.down) for name in services.nodes
        }
        own, version = revealed(inputs.static.servers_transport), inputs.keyring.transports.get(DEFAULT_TRANSPORT, "")
        transports = [TransportEntry(DEFAULT_TRANSPORT, own, version)]
        transports += planned.entries.values()
        entries: list[Entry] = [
            *transports,
            *middlewares.entries(),
            *service_entries.values(),
            *routers.entries.values(),
            *tls.entries(),
        ]
        users = _users(services, routers)
        self._service_views = {name: known for name, known in self._service_views.items() if name in service_entries}
        return Build(
            plan=self._plan(entries, keys),
            problems=_problems(inputs, services, middlewares, routers, tls),
            ledger=judge(whole.workloads, routers.faults, routers.clones),
            routers=dict(sorted(routers.views.items())),
            services={
                name: self._service_view(entry, services, tuple(users.services.get(name, ())))
                for name, entry in service_entries.items()
            },
            middlewares=_middleware_views(middlewares, users),
            entry_points={
                name: EntryPointView(name=name, address=point.address, key=keys[name], options=hidden(point))
                for name, point in points.configured.items()
            },
            certificates=certificate_views(inputs.keyring),
        )

    def _service_view(self, entry: ServiceEntry, services: Services, used_by: tuple[str, ...]) -> ServiceView:
        """The last build's view where nothing about the service changed."""
        name = entry.name
        node, faults = services.nodes[name], services.faults[name]
        known = self._service_views.get(name)
        if known is None or known[0] is not node or known[1] != (entry, faults, used_by):
            known = (node, (entry, faults, used_by), _service_view(entry, node, faults, used_by))
            self._service_views[name] = known
        return known[2]

    def _plan(self, entries: Iterable[Entry], keys: dict[str, int]) -> Plan:
        """Entries that are equal to the last build's keep their object and hash."""
        old, new = self._hashes, {}
        for entry in entries:
            key = entry_key(entry)
            known = old.get(key)
            if known is None or (known[0] is not entry and known[0] != entry):
                known = (entry, content_hash(entry))
            new[key] = known
        self._hashes = new
        return Plan({k: pair[0] for k, pair in new.items()}, {k: pair[1] for k, pair in new.items()}, keys)


def build(inputs: Inputs, keys: Keys | None = None) -> Build:
    """Build once, without a memory."""
    return Builder(keys or Keys()).build(inputs)


def _problems_by_provider(inputs: Inputs) -> dict[str, tuple[Problem, ...]]:
    return {name: snapshot.problems for name, snapshot in inputs.snapshots.items() if snapshot.problems}


def _problems(
    inputs: Inputs, services: Services, middlewares: Middlewares, routers: Routers, tls: Tls
) -> tuple[Problem, ...]:
    problems = {*inputs.keyring.problems, *tls.problems()} | {
        msgspec.structs.replace(problem, source=problem.source or provider)
        for provider, found in _problems_by_provider(inputs).items()
        for problem in found
    }
    for room, faults in (
        ("services", services.faults),
        ("middlewares", middlewares.faults),
        ("routers", routers.faults),
    ):
        problems.update(
            fault.problem(room, name) for name, found in faults.items() for fault in found if not fault.told
        )
    return tuple(sorted(problems))


class _Users:
    """Who uses what, by the name of what is used."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, None]] = {}
        self.middlewares: dict[str, dict[str, None]] = {}


def _users(services: Services, routers: Routers) -> _Users:
    users = _Users()
    used = users.services
    for name, view in routers.views.items():
        if view.service in used:
            used[view.service][name] = None
        else:
            used[view.service] = {name: None}
        for link in view.chain:
            for middleware in (*link.via, link.name) if not link.left_out else ():
                users.middlewares.setdefault(middleware, {})[name] = None
        for middleware in view.middlewares:  # what is broken is not in the chain
            users.middlewares.setdefault(middleware, {})[name] = None
    for name, node in services.nodes.items():
        for child in node.children:
            users.services.setdefault(child, {})[name] = None
        for middleware in node.middlewares:
            users.middlewares.setdefault(middleware, {})[name] = None
    return users


def _service_view(entry: ServiceEntry, node: Node, faults: list[Fault], used_by: tuple[str, ...]) -> ServiceView:
    return ServiceView(
        name=entry.name,
        provider=provider_of(entry.name),
        kind=node.kind,
        status=status(faults),
        errors=tuple(fault.message for fault in faults),
        options=node.shown,
        servers=tuple(ServerView(url=s.url, weight=s.weight, up=s.up, fenced=s.fenced) for s in entry.servers),
        children=tuple(children_of(node.options)) if node.children else (),
        middlewares=node.middlewares,
        used_by=used_by,
        key=entry.key,
    )


def _middleware_views(middlewares: Middlewares, users: _Users) -> dict[str, MiddlewareView]:
    return {
        name: MiddlewareView(
            name=name,
            provider=provider_of(name),
            kind=step.kind,
            status=status(middlewares.faults.get(name, ())),
            errors=tuple(fault.message for fault in middlewares.faults.get(name, ())),
            options=step.shown,
            used_by=tuple(users.middlewares.get(name, ())),
        )
        for name, step in middlewares.steps.items()
        if middlewares.shown(name)
    }
