"""What parents of services (weighted, mirroring, failover, highestRandomWeight) know of their children's health. Pure.

What lives here: the same judgement that workers come to at each request, for people. A load balancer can answer while
one of its servers takes part; a parent can while one of its children can, a mirror and a weight of 0 not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from edgerouter.control.view import ChildView, ServiceView

_LEAF = "loadBalancer"


def children_of(options: Any) -> Iterator[ChildView]:
    """The children that a service's plain options name, in order, before anything is known of them."""
    if not isinstance(options, dict):
        return
    for key in ("service", "fallback"):
        if isinstance(options.get(key), str):
            yield ChildView(name=options[key])
    for child in options.get("services", ()):
        yield ChildView(name=child["name"], takes_part=child.get("weight", 1) != 0)
    for mirror in options.get("mirrors", ()):
        yield ChildView(name=mirror["name"], takes_part=False)


def with_children(services: Mapping[str, ServiceView]) -> dict[str, ServiceView]:
    """The same services, those with children telling how these are; the others stay the same objects."""
    judge = _Judge(services)
    result = dict(services)
    for name, view in services.items():
        if view.children:
            result[name] = msgspec.structs.replace(view, children=tuple(map(judge.judged, view.children)))
    return result


class _Judge:
    """Remembers what it found of each service."""

    def __init__(self, services: Mapping[str, ServiceView]) -> None:
        self._services = services
        self._known: dict[str, str] = {}

    def judged(self, child: ChildView) -> ChildView:
        reason = self._reason(child.name)
        return msgspec.structs.replace(child, up=not reason, reason=reason)

    def _reason(self, name: str) -> str:
        """Why a service cannot answer, "" when it can."""
        known = self._known.get(name)
        if known is None:
            self._known[name] = "it contains itself"  # what is met again below itself
            known = self._known[name] = self._found(self._services.get(name))
        return known

    def _found(self, view: ServiceView | None) -> str:
        if view is None:
            return "there is no such service"
        if view.status == "disabled":
            return f"it is broken: {view.errors[0]}" if view.errors else "it is broken"
        if view.children:
            down = {child.name: self._reason(child.name) for child in view.children if child.takes_part}
            if down and not all(down.values()):
                return ""
            return "none of its services can answer: " + "; ".join(f"{name}: {why}" for name, why in down.items())
        return _of_servers(view) if view.kind == _LEAF else ""


def _of_servers(view: ServiceView) -> str:
    if not view.servers:
        return "it has no servers"
    if any(server.up and not server.fenced and server.weight > 0 for server in view.servers):
        return ""
    return "none of its servers is up" if len(view.servers) > 1 else "its server is down"
