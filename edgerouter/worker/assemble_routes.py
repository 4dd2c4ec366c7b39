"""Routers of a Plan -> Route objects with their middlewares. What did not change stays the same object.

A middleware has one instance a router, kept while its own entry, the router's name and the router's service stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from edgerouter.clients.references import Resolver
from edgerouter.contracts.plan import MiddlewareEntry, RouterEntry
from edgerouter.contracts.plugins import Middleware, Route, Service
from edgerouter.registry import Plugin
from edgerouter.rules.compile import Rule, RuleError, compile_rule

# (middleware's name, router's name, router's service, slot) -> PluginContext
ContextMaker = Callable[[str, str, str, int], Any]

_NO_STEPS: list[Middleware] = []  # of all routes without middlewares; nobody changes a route's list


class Steps:
    """Makes middlewares by their kind."""

    def __init__(self, plugins: dict[str, Plugin], context: ContextMaker) -> None:
        self._plugins = plugins
        self._context = context

    def make(self, entry: MiddlewareEntry, router: str, service: str, slot: int) -> Middleware:
        """Raises ValueError that names the middleware."""
        plugin = self._plugins.get(entry.kind)
        if plugin is None or plugin.options is None:
            raise ValueError(f"middleware {entry.name!r}: there is no kind {entry.kind!r}")
        resolver = Resolver()
        try:
            options = resolver.typed(entry.options, plugin.options)
            step: Middleware = plugin.cls(options, self._context(entry.name, router, service, slot))
        except Exception as error:  # a plugin may be anybody's; its router is refused, the others live
            raise ValueError(resolver.masked(f"middleware {entry.name!r}: {error}")) from error
        return step


class Made:
    """A route and what it was made of."""

    def __init__(self, entry: RouterEntry, parts: tuple[MiddlewareEntry | None, ...], rule: Rule | None) -> None:
        self.entry = entry
        self.parts = parts
        self.rule = rule
        self.route = Route(entry.name, entry.rule, entry.priority, None, _NO_STEPS)
        self.broken = ""

    def refusal(self, service: Service | None) -> str:
        """Why the route cannot be served; "" when it can, or sleeps anyway."""
        if self.entry.asleep:
            return ""
        why = f"service {self.entry.service!r} does not exist" if service is None else service.refused
        return self.entry.refused or self.broken or why


class Routes:
    """``made`` is by router's name; ``make`` and ``meet`` prepare what ``swap`` makes current."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.made: dict[str, Made] = {}
        self._next: dict[str, Made] = {}
        self._late: list[tuple[Route, Service | None, str]] = []

    def make(self, entries: dict[str, RouterEntry], middlewares: dict[str, MiddlewareEntry]) -> Iterator[None]:
        """Make the routes of a Plan, one a step."""
        self._next = {}
        for name, entry in entries.items():
            parts = tuple(middlewares.get(step) for step in entry.middlewares)
            known = self.made.get(name)
            if known is not None and known.entry is entry and _same(known.parts, parts):
                self._next[name] = known
            else:
                self._next[name] = self._make(entry, parts, known)
            yield

    def planned(self) -> dict[str, Made]:
        """What ``swap`` will make current."""
        return self._next

    def meet(self, services: dict[str, Service]) -> Iterator[None]:
        """Find each route's service, one a step. Routes that nobody uses yet get it now, the others in ``swap``."""
        self._late = []
        for name, made in self._next.items():
            service = services.get(made.entry.service)
            refused = made.refusal(service)
            if self.made.get(name) is not made:
                made.route.service, made.route.refused = service, refused
            elif made.route.service is not service or made.route.refused != refused:
                self._late.append((made.route, service, refused))
            yield

    def parts(self) -> list[object]:
        """What ``swap`` will let go of: held, it is not freed at once."""
        return [self.made]

    def swap(self) -> None:
        """Let routes in use meet their new services: one short pass, so that no loop turn sees half of it."""
        for route, service, refused in self._late:
            route.service, route.refused = service, refused
        self.made, self._late = self._next, []

    def _make(self, entry: RouterEntry, parts: tuple[MiddlewareEntry | None, ...], known: Made | None) -> Made:
        made = Made(entry, parts, _rule(entry, known))
        route = made.route
        route.key, route.access_log, route.metrics = entry.key, entry.access_log, entry.metrics
        route.asleep, route.tls_options = entry.asleep, entry.tls_options
        if made.rule is not None:
            route.predicate = made.rule.predicate
        if not entry.refused:
            try:
                route.steps = self._instances(entry, parts, known)
            except ValueError as error:
                made.broken = str(error)
        return made

    def _instances(
        self, entry: RouterEntry, parts: tuple[MiddlewareEntry | None, ...], known: Made | None
    ) -> list[Middleware]:
        """The middlewares, those from before where nothing about them changed. An instance's slot is its own as long
        as it lives, so it stays only at its old place."""
        keep = known is not None and not known.broken and known.entry.service == entry.service
        if not parts:
            return _NO_STEPS
        steps: list[Middleware] = []
        for place, part in enumerate(parts):
            if part is None:
                raise ValueError(f"middleware {entry.middlewares[place]!r} does not exist")
            old = known.route.steps if known is not None and keep else []
            if known is not None and place < len(old) and known.parts[place] is part:
                steps.append(old[place])
            else:
                steps.append(self._steps.make(part, entry.name, entry.service, place))
        return steps


def _same(one: tuple[MiddlewareEntry | None, ...], other: tuple[MiddlewareEntry | None, ...]) -> bool:
    if not one and not other:  # most routers
        return True
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _rule(entry: RouterEntry, known: Made | None) -> Rule | None:
    if known is not None and known.entry.rule == entry.rule and known.entry.rule_syntax == entry.rule_syntax:
        return known.rule
    try:
        return compile_rule(entry.rule, entry.rule_syntax)
    except RuleError:  # the control process has refused it already; a rule that cannot be read reserves nothing
        return None
