"""Routers of the build: rule and priority checked, entry points and references resolved, clones made. Pure.

Fail closed: a router that is broken is served as a refusal (500 BAD_CONFIG) wherever its rule matches; only one whose
rule does not parse, or that has no entry point, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from edgerouter.config.dynamic import Router
from edgerouter.contracts.plan import RouterEntry
from edgerouter.control.aggregate import INTERNAL, provider_of
from edgerouter.control.build_middlewares import Middlewares
from edgerouter.control.build_plain import hidden
from edgerouter.control.build_points import Point, Points, groups
from edgerouter.control.build_services import Services
from edgerouter.control.build_types import Fault, refusal, status
from edgerouter.control.view import RouterView
from edgerouter.rules.compile import RuleError, compile_rule

MAX_PRIORITY: Final = 2**63 - 1
MAX_USER_PRIORITY: Final = MAX_PRIORITY - 1000  # above are the internal routers (Traefik routers.priority)

# (rule, syntax) -> what is wrong with it and where, "" when nothing is
RuleCheck = Callable[[str, str], str]


class Draft(msgspec.Struct, frozen=True):
    """One router by itself: ``rule_fault`` set when its rule cannot be used."""

    router: Router
    priority: int
    syntax: str
    shown: Any
    rule_fault: Fault | None = None
    faults: tuple[Fault, ...] = ()


def check_rule(rule: str, syntax: str) -> str:
    """What ``rules`` has to say: a sentence, the rule and a caret."""
    try:
        compile_rule(rule, syntax)
    except RuleError as error:
        return str(error)
    return ""


def make_draft(name: str, router: Router, default_syntax: str, check: RuleCheck) -> Draft:
    """Check what can be checked without looking at anything else."""
    faults: list[Fault] = []
    priority = router.priority or len(router.rule.encode())
    internal = provider_of(name) == INTERNAL
    if not internal and priority > MAX_USER_PRIORITY:
        hint = f"write {MAX_USER_PRIORITY} or less"
        faults.append(Fault("priority", f"{priority} is reserved for internal routers", hint))
        priority = MAX_USER_PRIORITY
    syntax = router.rule_syntax or default_syntax
    rule_fault = _rule_fault(router, syntax, check)
    return Draft(router, priority, syntax, hidden(router), rule_fault, tuple(faults))


def _rule_fault(router: Router, syntax: str, check: RuleCheck) -> Fault | None:
    if router.parent_refs:
        hint = "write the whole rule in one router"
        return Fault("parentRefs", "routers below other routers are not there yet", hint)
    if not router.rule:
        return Fault("rule", "it has no rule", "add rule: Host(`example.com`)")
    wrong = check(router.rule, syntax)
    return Fault("rule", wrong) if wrong else None


class Routers:
    """The routers of one build. ``entries`` and ``views`` by name; clones for entry points stand under own names."""

    def __init__(
        self,
        points: Points,
        services: Services,
        middlewares: Middlewares,
        sleeping: Mapping[str, str],
        key: Callable[[str], int],
    ) -> None:
        self._points = points
        self._services = services
        self._middlewares = middlewares
        self._sleeping = sleeping
        self._key = key
        self.entries: dict[str, RouterEntry] = {}
        self.views: dict[str, RouterView] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.clones: dict[str, tuple[str, ...]] = {}

    def add(self, name: str, draft: Draft) -> None:
        """Resolve one router and enter it, once for each group of entry points that adds the same."""
        points, faults = self._points.of(draft.router)
        faults.extend(draft.faults)
        if draft.rule_fault is not None:
            faults.append(draft.rule_fault)
        if draft.rule_fault is not None or not points:
            self.faults[name] = faults
            self.views[name] = self._view(name, draft, points, faults, None)
            return
        fault = self._services.fault(draft.router.service, name)
        if fault is not None:
            faults.append(fault)
        self._enter(name, draft, groups(points), faults)

    def _enter(self, name: str, draft: Draft, grouped: list[list[Point]], common: list[Fault]) -> None:
        clones: list[str] = []
        for index, group in enumerate(grouped):
            clone = name if index == 0 else f"{group[0].name}-{name}"
            wanted = group[0].middlewares + draft.router.middlewares
            middlewares, wrong = self._middlewares.expand(wanted, name) if wanted else ((), [])
            faults = common + wrong if wrong else common
            entry = self._entry(clone, draft, group, middlewares, refusal(faults) if faults else "")
            self.entries[clone] = entry
            self.views[clone] = self._view(clone, draft, group, faults, entry)
            if faults:
                self.faults[clone] = faults
            clones.append(clone)
        self.clones[name] = tuple(clones)

    def _entry(
        self, name: str, draft: Draft, group: list[Point], middlewares: tuple[str, ...], refused: str
    ) -> RouterEntry:
        router, point, seen = draft.router, group[0], draft.router.observability
        asleep = self._sleeping.get(name, "") if self._sleeping else ""
        return RouterEntry(
            name=name,
            entry_points=tuple(p.name for p in group),
            rule=router.rule,
            priority=draft.priority,
            middlewares=middlewares,
            service=router.service,
            key=self._key(name),
            tls=router.tls is not None or point.tls,
            refused="" if asleep else refused,
            asleep=asleep,
            access_log=point.access_log if seen is None or seen.access_logs is None else seen.access_logs,
            metrics=point.metrics if seen is None or seen.metrics is None else seen.metrics,
            rule_syntax=draft.syntax,
        )

    def _view(
        self, name: str, draft: Draft, points: list[Point], faults: list[Fault], entry: RouterEntry | None
    ) -> RouterView:
        router = draft.router
        return RouterView(
            name=name,
            provider=provider_of(name),
            status=status(faults) if faults else "enabled",
            errors=tuple(fault.message for fault in faults),
            entry_points=tuple(point.name for point in points) if entry is None else entry.entry_points,
            rule=router.rule,
            priority=draft.priority,
            middlewares=router.middlewares if entry is None else points[0].middlewares + router.middlewares,
            service=router.service,
            tls=router.tls is not None if entry is None else entry.tls,
            refused="" if entry is None else entry.refused,
            asleep="" if entry is None else entry.asleep,
            key=-1 if entry is None else entry.key,
            options=draft.shown,
        )


def shadowed(entries: Mapping[str, RouterEntry]) -> dict[str, str]:
    """Routers that can never be reached -> the router that takes all their requests.

    Two live routers with one rule on the same entry points: the higher priority wins, then the name.
    """
    first: dict[tuple[str, bool, str], RouterEntry] = {}
    lost: dict[str, dict[str, str]] = {}
    for entry in entries.values():
        if entry.asleep:
            continue
        for point in entry.entry_points:
            place = (point, entry.tls, entry.rule)
            other = first.setdefault(place, entry)
            if other is entry:
                continue
            winner, loser = (entry, other) if _order(entry) < _order(other) else (other, entry)
            first[place] = winner
            lost.setdefault(loser.name, {})[point] = winner.name
    return {
        name: next(iter(winners.values()))
        for name, winners in lost.items()
        if len(winners) == len(entries[name].entry_points)
    }


def _order(entry: RouterEntry) -> tuple[int, str]:
    return (-entry.priority, entry.name)
