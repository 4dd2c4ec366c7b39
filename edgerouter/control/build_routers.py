"""Routers of the build: rule and priority checked, entry points and references resolved, clones made. Pure.

Fail closed: a router that is broken is served as a refusal (500 BAD_CONFIG) wherever its rule matches; only one whose
rule does not parse, or that has no entry point, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from edgerouter.config.absent import ROUTER_WITHOUT_EFFECT
from edgerouter.config.dynamic import Router
from edgerouter.config.effect import given
from edgerouter.config.fit import dotted
from edgerouter.contracts.plan import RouterEntry
from edgerouter.control.aggregate import INTERNAL, provider_of, qualify
from edgerouter.control.build_added import Added, Taken, added_by, misses, split, take, views
from edgerouter.control.build_middlewares import Middlewares
from edgerouter.control.build_plain import hidden
from edgerouter.control.build_points import Point, Points, groups
from edgerouter.control.build_services import Services
from edgerouter.control.build_types import Fault, refusal, status
from edgerouter.control.view import RouterView
from edgerouter.rules.compile import RuleError, compile_rule

_TEMPLATE: Final = re.compile(
    r"(?i:\b(?:Host|HostRegexp|Path|PathPrefix|PathRegexp))\(\s*[`\"][^`\"]*?(\{[A-Za-z_]\w*(?::[^`\"{}]*)?\})"
)
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
    for unused in given(router, ROUTER_WITHOUT_EFFECT):
        faults.append(Fault(dotted(unused.path), unused.message, "leave it out", False))
    syntax = router.rule_syntax or default_syntax
    rule_fault = _rule_fault(router, syntax, check)
    if rule_fault is None and syntax == "v3" and not internal:
        faults.extend(_old_templates(router.rule))
    return Draft(router, priority, syntax, hidden(router), rule_fault, tuple(faults))


def _old_templates(rule: str) -> Iterator[Fault]:
    """``Path(`/x/{id}`)`` and ``HostRegexp(`{name:.+}.x`)`` mean something else by ruleSyntax v2."""
    found = _TEMPLATE.search(rule) if "{" in rule else None
    if found is not None:
        hint = "write PathRegexp or HostRegexp with a Go regular expression, or set ruleSyntax: v2"
        yield Fault("rule", f"{found[1]} stands for itself, and nothing is put in its place", hint, False)


def _rule_fault(router: Router, syntax: str, check: RuleCheck) -> Fault | None:
    if router.parent_refs:
        hint = "write the whole rule in one router"
        return Fault("parentRefs", "routers below other routers are not there yet", hint)
    if not router.rule:
        return Fault("rule", "it has no rule", "add rule: Host(`example.com`)")
    wrong = check(router.rule, syntax)
    return Fault("rule", wrong) if wrong else None


class Resolved(msgspec.Struct, frozen=True):
    """What became of one router: a (name, entry, view, faults) for each group of its entry points; no entry where it
    cannot be served."""

    parts: tuple[tuple[str, RouterEntry | None, RouterView, tuple[Fault, ...]], ...]


class RouterMemory:
    """What the last build made, and of what: the draft and all that it refers to."""

    def __init__(self) -> None:
        self.around: Any = None
        self.known: dict[str, tuple[Draft, Any, Resolved]] = {}


class Routers:
    """The routers of one build. ``entries`` and ``views`` by name; clones for entry points stand under own names."""

    def __init__(
        self,
        points: Points,
        services: Services,
        middlewares: Middlewares,
        sleeping: Mapping[str, str],
        key: Callable[[str], int],
        memory: RouterMemory,
    ) -> None:
        self._points = points
        self._services = services
        self._middlewares = middlewares
        self._sleeping = sleeping
        self._key = key
        self._memory = memory
        self._drafts: Mapping[str, Draft] = {}
        self.entries: dict[str, RouterEntry] = {}
        self.views: dict[str, RouterView] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.clones: dict[str, tuple[str, ...]] = {}

    def add_all(self, drafts: Mapping[str, Draft]) -> None:
        """Resolve the routers; those whose draft and references are as in the last build are taken from there."""
        self._drafts = drafts
        added = {p.name: added_by(p, self._middlewares) for p in self._points.points.values()}
        around = (self._points, added)
        old = self._memory.known if self._memory.around == around else {}
        new: dict[str, tuple[Draft, Any, Resolved]] = {}
        for name, draft in drafts.items():
            router = draft.router
            asleep = self._sleeping.get(name, "")
            fault = self._services.fault(router.service, name)
            wanted, left_out = split(router.middlewares)
            steps, wrong = self._middlewares.expand(wanted, name)
            inside = self._services.steps.get(router.service, ())
            chain = views(self._middlewares.links(wanted), "router")
            chain += views(self._middlewares.links(inside), f"service {router.service}")
            uses = (asleep, fault, steps, wrong, chain)
            known = old.get(name)
            if known is None or known[0] is not draft or known[1] != uses:
                broken = [fault, *wrong] if fault is not None else wrong
                own = Taken(wanted, steps, tuple(broken), chain)
                known = (draft, uses, self._resolve(name, draft, asleep, own, left_out, added))
            new[name] = known
            self._enter(name, known[2])
        self._memory.around, self._memory.known = around, new

    def blame(self, name: str, faults: list[Fault]) -> None:
        """More faults of a router that were found when all were there."""
        known = self.faults.setdefault(name, [])
        known.extend(faults)
        view, entry = self.views[name], self.entries.get(name)
        self.views[name] = msgspec.structs.replace(
            view,
            status=status(known),
            errors=(*view.errors, *(fault.message for fault in faults)),
            refused=view.refused if entry is None else entry.refused,
        )

    def _enter(self, name: str, resolved: Resolved) -> None:
        for clone, entry, view, faults in resolved.parts:
            if entry is not None:
                self.entries[clone] = entry
            self.views[clone] = view
            if faults:
                self.faults[clone] = list(faults)
        if len(resolved.parts) > 1:
            self.clones[name] = tuple(part[0] for part in resolved.parts)

    def _resolve(
        self,
        name: str,
        draft: Draft,
        asleep: str,
        own: Taken,
        left_out: tuple[str, ...],
        added: Mapping[str, Added],
    ) -> Resolved:
        points, faults = self._points.of(draft.router)
        faults.extend(draft.faults)
        if draft.rule_fault is not None:
            faults.append(draft.rule_fault)
        if draft.rule_fault is not None or not points:
            return Resolved(((name, None, self._view(name, draft, points, faults, None, own), tuple(faults)),))
        faults.extend(misses(left_out, [added[point.name] for point in points]) if left_out else ())
        parts = []
        for index, group in enumerate(groups(points)):
            clone = name if index == 0 else self._clone(group[0].name, name)
            before = take(added[group[0].name], left_out)
            found = [*faults, *own.faults, *before.faults]
            entry = self._entry(clone, draft, group, before.steps + own.steps, asleep, refusal(found))
            has = Taken(before.names + own.names, (), (), before.chain + own.chain)
            parts.append((clone, entry, self._view(clone, draft, group, found, entry, has), tuple(found)))
        return Resolved(tuple(parts))

    def _clone(self, point: str, name: str) -> str:
        """A name that no router has (Traefik: entry point, hyphen, router)."""
        clone = f"{point}-{name}"
        while clone in self._drafts:
            clone = f"{point}-{clone}"
        return clone

    def _entry(
        self, name: str, draft: Draft, group: list[Point], middlewares: tuple[str, ...], asleep: str, refused: str
    ) -> RouterEntry:
        router, point, seen = draft.router, group[0], draft.router.observability
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
            tls_options=tls_options(name, router.tls.options if router.tls is not None else point.tls_options),
        )

    def _view(
        self,
        name: str,
        draft: Draft,
        points: list[Point],
        faults: list[Fault],
        entry: RouterEntry | None,
        has: Taken,
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
            middlewares=has.names,
            chain=has.chain,
            service=router.service,
            tls=router.tls is not None if entry is None else entry.tls,
            refused="" if entry is None else entry.refused,
            asleep="" if entry is None else entry.asleep,
            key=-1 if entry is None else entry.key,
            options=draft.shown,
        )


def tls_options(name: str, options: str) -> str:
    """The qualified name of the TLS options that a router asks for; "" where it leaves that to others."""
    return "" if options in ("", "default") else qualify(options, provider_of(name))


def shadowed(entries: Mapping[str, RouterEntry], precedence: tuple[str, ...] = ()) -> dict[str, str]:
    """Routers that can never be reached -> the router that takes all their requests.

    Of live routers with one rule on the same entry points the one of the highest priority wins, then by the provider's
    place in ``precedence``, then by name.
    """
    places = {provider: place for place, provider in enumerate(precedence)}

    def order(entry: RouterEntry) -> tuple[int, int, str]:
        return (-entry.priority, places.get(provider_of(entry.name), len(places)), entry.name)

    alike: dict[str, list[RouterEntry]] = {}
    for entry in entries.values():
        if not entry.asleep:
            alike.setdefault(entry.rule, []).append(entry)
    lost: dict[str, str] = {}
    for group in alike.values():
        if len(group) > 1:
            lost.update(_losers(sorted(group, key=order)))
    return lost


def _losers(group: list[RouterEntry]) -> dict[str, str]:
    """Of routers with one rule, best first: those that get no request on any of their entry points -> who gets it."""
    taken: dict[tuple[str, bool], str] = {}
    lost: dict[str, str] = {}
    for entry in group:
        winners = [taken.get((point, entry.tls), "") for point in entry.entry_points]
        if all(winners):
            lost[entry.name] = winners[0]
        for point in entry.entry_points:
            taken.setdefault((point, entry.tls), entry.name)
    return lost
