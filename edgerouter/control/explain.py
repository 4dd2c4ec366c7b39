"""``edgerouter explain``: why a request goes where it goes, on the routing table that workers are given.

What lives here: the table made of the newest plan, and the order of the answer. Routing decides (``routing.explain``);
what was found is put into words in ``explain_findings``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from edgerouter.config.static import EntryPoint, StaticConfiguration, default_entry_points
from edgerouter.contracts.plan import Plan, RouterEntry
from edgerouter.contracts.plugins import Route
from edgerouter.control.explain_findings import Finding, find
from edgerouter.control.explain_request import Question, ask
from edgerouter.control.view import Picture, View
from edgerouter.routing.builder import TableBuilder
from edgerouter.routing.entry import Entry
from edgerouter.routing.explain import FAILED, LOST, NEAR, Explanation, Trial, explain, in_order
from edgerouter.routing.table import RoutingTable
from edgerouter.rules.compile import Rule, RuleError, compile_rule

NEAREST: Final = 20  # routers whose clauses are looked at although their rule does not hold
__all__ = ["Explained", "Explainer", "Question"]


class Clause(msgspec.Struct, frozen=True):
    """One clause of a rule, and whether it holds for this request."""

    text: str
    holds: bool


class Tried(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One router. ``outcome``: won, lost, near, failed, unreadable, other tls, other entrypoint."""

    router: str
    rule: str
    priority: int
    outcome: str
    reason: str
    clauses: tuple[Clause, ...] = ()


class StepSeen(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One middleware that the request passes; ``origin``: the entry point or the router that names it."""

    name: str
    kind: str
    origin: str
    status: str


class ServiceSeen(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One service that the request may reach; ``servers`` are (address, weight, up)."""

    name: str
    kind: str
    status: str
    servers: tuple[tuple[str, int, bool], ...] = ()


class Explained(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The whole answer. ``status`` is what the client gets from the router itself, 0 when a server answers;
    ``findings`` come most telling first."""

    url: str
    method: str
    entry_point: str
    note: str = ""
    router: str = ""
    status: int = 0
    verdict: str = ""
    findings: tuple[Finding, ...] = ()
    tried: tuple[Tried, ...] = ()
    others: int = 0  # routers that were tried too, and are not worth a line
    middlewares: tuple[StepSeen, ...] = ()
    services: tuple[ServiceSeen, ...] = ()


class Explainer:
    """One for the life of the control process. ``take`` is cheap; the table is made when somebody asks."""

    def __init__(self, static: StaticConfiguration, points: Mapping[str, EntryPoint], picture: Picture) -> None:
        self._static = static
        self._points = points
        self._picture = picture
        self._plan = Plan({}, {})
        self._made: Plan | None = None
        self._rules: dict[tuple[str, str], Rule | None] = {}
        self._routes: dict[str, tuple[RouterEntry, Route]] = {}
        self._table = RoutingTable()
        self._ordered: list[Entry] = []
        self._one_at_a_time = threading.Lock()

    def take(self, plan: Plan) -> None:
        """The newest plan."""
        self._plan = plan

    def explain(self, question: Question) -> Explained:
        """Answer, in whatever thread. Raises ValueError that says what cannot be asked."""
        asked = ask(question, self._points, default_entry_points(self._static))
        head: dict[str, Any] = {"url": question.url, "method": question.method, "entry_point": asked.entry_point}
        head["note"] = asked.note
        if asked.exchange is None:
            words = (Finding("BAD_REQUEST", asked.refused, "send a request that HTTP allows"),)
            return Explained(**head, status=400, verdict="BAD_REQUEST", findings=words)
        with self._one_at_a_time:
            self._renew()
            found = explain(self._table, asked.exchange, self._ordered, NEAREST)
            view = self._picture.view
            status, verdict, findings = find(found, asked.exchange, view, self._rule)
        return Explained(
            **head,
            router=found.winner,
            status=status,
            verdict=verdict,
            findings=findings,
            **_tried(found),
            **_way(found.winner, view, self._points[asked.entry_point]),
        )

    def _rule(self, text: str, syntax: str = "v3") -> Rule | None:
        """The rule, None when it cannot be read."""
        key = (text, syntax)
        if key not in self._rules:
            try:
                self._rules[key] = compile_rule(text, syntax)
            except RuleError:
                self._rules[key] = None
        return self._rules[key]

    def _renew(self) -> None:
        plan = self._plan
        if plan is self._made:
            return
        routers = [entry for entry in plan.entries.values() if isinstance(entry, RouterEntry)]
        builder = TableBuilder(self._table, tuple(self._static.providers.precedence))
        routes: dict[str, tuple[RouterEntry, Route]] = {}
        for entry in routers:
            known = self._routes.get(entry.name)
            routes[entry.name] = known if known is not None and known[0] == entry else (entry, _route(entry))
            route = routes[entry.name][1]
            builder.add(route, entry.entry_points, entry.tls, self._rule(entry.rule, entry.rule_syntax))
        self._table, self._routes, self._made = builder.finish(), routes, plan
        self._ordered = in_order(self._table)
        used = {(entry.rule, entry.rule_syntax) for entry in routers}
        self._rules = {key: rule for key, rule in self._rules.items() if key in used}


def _route(entry: RouterEntry) -> Route:
    route = Route(entry.name, entry.rule, entry.priority, None, [])
    route.refused, route.asleep = entry.refused, entry.asleep
    return route


def _tried(found: Explanation) -> dict[str, Any]:
    """Those that say something: all that hold, and the near misses."""
    telling = [trial for trial in found.trials if trial.holds or trial.outcome not in (FAILED, LOST, NEAR)]
    telling += [trial for trial in found.trials if trial.outcome == NEAR]
    shown = telling[: 2 * NEAREST]
    return {"tried": tuple(map(_shape, shown)), "others": len(found.trials) - len(shown)}


def _shape(trial: Trial) -> Tried:
    return Tried(
        router=trial.name,
        rule=trial.rule,
        priority=trial.priority,
        outcome=trial.outcome,
        reason=trial.refused or trial.asleep or trial.reason,
        clauses=tuple(Clause(verdict.text, verdict.holds) for verdict in trial.verdicts),
    )


def _way(winner: str, view: View, point: EntryPoint) -> dict[str, Any]:
    """The middlewares and services behind the router."""
    router = view.routers.get(winner)
    if router is None:
        return {}
    steps = []
    own = {name for name in router.middlewares if name.partition("@")[0] not in point.http.middlewares}
    own -= set(point.http.middlewares)
    for name in router.middlewares:
        seen = view.middlewares.get(name)
        origin = f"router {winner}" if name in own else "entry point"
        kind, status = (seen.kind, seen.status) if seen is not None else ("", "missing")
        steps.append(StepSeen(name=name, kind=kind, origin=origin, status=status))
    return {"middlewares": tuple(steps), "services": tuple(_services(router.service, view))}


def _services(name: str, view: View) -> list[ServiceSeen]:
    """The service and all below it."""
    name = name if name in view.services else ""
    below: dict[str, list[str]] = {}
    for service in view.services.values():
        for user in service.used_by:
            below.setdefault(user, []).append(service.name)
    found: dict[str, None] = {}
    waiting = [name] if name else []
    while waiting:
        one = waiting.pop(0)
        if one not in found and one in view.services:
            found[one] = None
            waiting += below.get(one, [])
    return [
        ServiceSeen(
            name=one,
            kind=view.services[one].kind,
            status=view.services[one].status,
            servers=tuple((server.url, server.weight, server.up) for server in view.services[one].servers),
        )
        for one in found
    ]
