"""Middlewares of the build: plain options, chains expanded, faults found. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from edgerouter.clients.references import Limits
from edgerouter.config import absent, effect
from edgerouter.config.dynamic import Middleware, Service
from edgerouter.config.late import put
from edgerouter.contracts.plan import MiddlewareEntry
from edgerouter.control.aggregate import MIDDLEWARE_PATHS, SERVICE_PATHS, names_at, provider_of, qualify_options
from edgerouter.control.build_names import Names, guarded
from edgerouter.control.build_plain import hidden, revealed
from edgerouter.control.build_trial import Trials, with_values
from edgerouter.control.build_types import Fault, Link, Step, refusal
from edgerouter.control.presets import PRESET

CHAIN = "chain"
NO_LIMITS = Limits()


def plain_options(given: Middleware | Service, name: str) -> dict[str, Any]:
    """A worker's form of the options, names in it qualified."""
    plain = put(revealed(given.options), given.late)
    if not isinstance(plain, dict):
        return {}
    qualify_options(plain, provider_of(name))
    return plain


def make_step(name: str, middleware: Middleware, limits: Limits = NO_LIMITS, trials: Trials | None = None) -> Step:
    """One middleware by itself, before its references are looked at."""
    try:
        return _make_step(name, middleware, limits, trials or Trials())
    except Exception as error:  # options are a plugin's, and a plugin may be anybody's: only its users are refused
        fault = Fault("", f"its options cannot be understood: {type(error).__name__}: {error}")
        return Step(name, middleware.kind, {}, None, (fault,))


def _make_step(name: str, middleware: Middleware, limits: Limits, trials: Trials) -> Step:
    if middleware.refused:
        return Step(name, middleware.kind, {}, None, (Fault("", middleware.refused, told=True),))
    plain = plain_options(middleware, name)
    chain = names_at(plain, MIDDLEWARE_PATHS) if middleware.kind == CHAIN else None
    barred = limits.barred(provider_of(name), plain)
    faults = not_there_yet(middleware.kind, valued("middlewares", middleware, plain, barred is None))
    wrong = "" if chain is not None or barred is not None else trials.middleware(name, middleware.kind, plain)
    if barred is not None:
        faults = (Fault(middleware.kind, *barred), *faults)
    elif wrong:
        faults = (Fault(middleware.kind, wrong), *faults)
    return Step(name, middleware.kind, plain, put(hidden(middleware.options), middleware.late), faults, chain)


def valued(room: str, given: Middleware | Service, plain: Any, may: bool) -> Any:
    """Typed options to be asked about themselves: where some stand elsewhere, with those, if they may be looked at."""
    if not given.late:
        return given.options
    return with_values(room, given.kind, plain) if may else None


def not_there_yet(kind: str, options: Any) -> tuple[Fault, ...]:
    """Warnings of options that have no effect in this version, or have a new name; their class says which."""
    given = effect.not_there_yet(options)
    unused = [
        Fault(
            option,
            f"the option {option} of {kind} is not there yet and has no effect",
            absent.REMOVED_MIDDLEWARE_OPTIONS.get(f"{kind}.{option}".lower(), ""),
            False,
        )
        for option in given
    ]
    return (*unused, *(Fault(kind, text, "", False) for text in effect.warnings(options)))


class Middlewares:
    """The middlewares of one build. ``entries`` are those of the Plan; chains are gone from it."""

    def __init__(
        self,
        steps: Mapping[str, Step],
        services: Collection[str],
        names: Names,
        services_names: Names,
        guard: frozenset[str],
    ) -> None:
        self.steps = steps
        self._services = services
        self._names = names
        self._service_names = services_names
        self._guard = guard
        self._expanded: dict[str, tuple[tuple[str, ...], Fault | None]] = {}
        self._open: list[str] = []
        self._traced: dict[str, tuple[Link, ...]] = {}
        self._asked: set[str] = set()
        self.faults: dict[str, list[Fault]] = {}
        for name, step in steps.items():
            faults = self._own_faults(step)
            if faults:
                self.faults[name] = faults

    def _own_faults(self, step: Step) -> list[Fault]:
        faults = list(step.faults)
        provider = provider_of(step.name)
        for service in names_at(step.options, SERVICE_PATHS):
            barred = guarded(service, provider, self._guard)
            if barred is not None:
                faults.append(Fault("service", *barred))
            elif service not in self._services:
                faults.append(Fault("service", *self._service_names.missing(service)))
        return faults

    def links(self, wanted: tuple[str, ...]) -> tuple[Link, ...]:
        """The middlewares that really run, each with the chains that brought it; what is broken is not among them."""
        return tuple(link for name in wanted for link in self._trace(name))

    def _trace(self, name: str) -> tuple[Link, ...]:
        known = self._traced.get(name)
        if known is None:
            step = self.steps.get(name)
            if step is None or self.expanded(name)[1] is not None:
                known = ()
            elif step.chain is None:
                known = (Link(name, step.kind),)
            else:
                known = tuple(
                    msgspec.structs.replace(link, via=(name, *link.via))
                    for member in step.chain
                    for link in self._trace(member)
                )
            self._traced[name] = known
        return known

    def expand(self, wanted: tuple[str, ...], user: str) -> tuple[tuple[str, ...], list[Fault]]:
        """The middlewares that really run, chains replaced by their members, and what is wrong with them."""
        if not wanted:
            return (), []
        names: list[str] = []
        faults: list[Fault] = []
        for name in wanted:
            barred = guarded(name, provider_of(user), self._guard)
            members, fault = self.expanded(name) if barred is None else ((), Fault("middlewares", *barred))
            names.extend(members)
            if fault is not None:
                faults.append(fault)
        return tuple(names), faults

    def expanded(self, name: str) -> tuple[tuple[str, ...], Fault | None]:
        """One name's middlewares, and the first fault."""
        known = self._expanded.get(name)
        if known is None:
            self._asked.add(name)
            known = self._expand(name)
            if not self._open:
                self._expanded[name] = known
        return known

    def _expand(self, name: str) -> tuple[tuple[str, ...], Fault | None]:
        step = self.steps.get(name)
        if step is None:
            return (), Fault("middlewares", *self._names.missing(name))
        own = refusal(self.faults.get(name, []))
        if own:
            return (name,), Fault("middlewares", f"middleware {name!r} is broken: {own}")
        return ((name,), None) if step.chain is None else self._members(name, step.chain)

    def _members(self, name: str, chain: tuple[str, ...]) -> tuple[tuple[str, ...], Fault | None]:
        if name in self._open:
            circle = " -> ".join([*self._open[self._open.index(name) :], name])
            return (), Fault("middlewares", f"chain {name!r} contains itself: {circle}")
        names: list[str] = []
        first: Fault | None = None
        self._open.append(name)
        for member in chain:
            barred = guarded(member, provider_of(name), self._guard)
            members, fault = self.expanded(member) if barred is None else ((), Fault("middlewares", *barred))
            names.extend(members)
            first = first or fault
        self._open.pop()
        return tuple(names), first

    def check_chains(self) -> None:
        """Note what is wrong with chains as their own faults, for people; routers that use them are refused anyway."""
        for name, step in self.steps.items():
            if step.chain is not None and name not in self.faults and self.shown(name):
                fault = self.expanded(name)[1]
                if fault is not None:
                    self.faults[name] = [fault]

    def entries(self) -> list[MiddlewareEntry]:
        """Entries of the Plan, by name."""
        return [
            MiddlewareEntry(step.name, step.kind, step.options)
            for step in self.steps.values()
            if step.chain is None and self.shown(step.name) and not refusal(self.faults.get(step.name, ()))
        ]

    def shown(self, name: str) -> bool:
        """Presets that nobody names are not worth a look."""
        return provider_of(name) != PRESET or name in self._asked
