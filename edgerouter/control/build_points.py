"""What entry points add to routers: middlewares, TLS, what is recorded; and which ones a router means. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from edgerouter.config.dynamic import Router
from edgerouter.config.static import (
    EntryPoint,
    StaticConfiguration,
    default_entry_points,
    effective_entry_points,
    parse_address,
)
from edgerouter.control.aggregate import INTERNAL, qualify
from edgerouter.control.build_types import Fault

_NO_LEVEL: Final = ((), (), False, "", True, True)
_Model = tuple[tuple[str, ...], tuple[str, ...], bool, str, bool, bool]


class Point(msgspec.Struct, frozen=True):
    """One entry point. ``middlewares`` are in front of every router's, ``defaults`` too unless it leaves them out."""

    name: str
    middlewares: tuple[str, ...]
    defaults: tuple[str, ...]
    tls: bool
    tls_options: str
    access_log: bool
    metrics: bool

    @property
    def model(self) -> _Model:
        """What it adds; routers are cloned for entry points that add different things."""
        return (self.middlewares, self.defaults, self.tls, self.tls_options, self.access_log, self.metrics)


class Points:
    """All TCP entry points, and those of a router that names none."""

    def __init__(self, static: StaticConfiguration) -> None:
        self.precedence = static.providers.precedence
        self.rule_syntax: str = static.core.default_rule_syntax
        self.configured = effective_entry_points(static)
        self.points = {
            name: _point(name, entry_point)
            for name, entry_point in self.configured.items()
            if parse_address(entry_point.address).protocol == "tcp"
        }
        self._defaults = tuple(name for name in default_entry_points(static) if name in self.points)

    def of(self, router: Router) -> tuple[list[Point], list[Fault]]:
        """The router's entry points, and a fault for each name that is none."""
        if not router.entry_points:
            found = [self.points[name] for name in self._defaults]
            return found, [] if found else [Fault("entryPoints", "there is no entry point for it", self._hint())]
        names = list(dict.fromkeys(router.entry_points))
        found = [self.points[name] for name in names if name in self.points]
        faults = [
            Fault("entryPoints", f"entry point {name!r} does not exist", self._hint(), not found)
            for name in names
            if name not in self.points
        ]
        return found, faults

    def _hint(self) -> str:
        return f"write one of {', '.join(sorted(self.points))}" if self.points else "define an entry point"


def _point(name: str, entry_point: EntryPoint) -> Point:
    http, seen = entry_point.http, entry_point.observability
    # Traefik wants provider-qualified names here; a bare one can only mean what the router itself defines.
    middlewares = tuple(qualify(middleware, INTERNAL) for middleware in http.middlewares)
    defaults = tuple(qualify(middleware, INTERNAL) for middleware in http.default_middlewares)
    tls_options = http.tls.options if http.tls is not None else ""
    return Point(name, middlewares, defaults, http.tls is not None, tls_options, seen.access_logs, seen.metrics)


def groups(points: list[Point]) -> list[list[Point]]:
    """Entry points that add the same, together; those that add nothing come first."""
    by_model: dict[_Model, list[Point]] = {}
    for point in points:
        by_model.setdefault(point.model, []).append(point)
    return sorted(by_model.values(), key=lambda group: group[0].model != _NO_LEVEL)
