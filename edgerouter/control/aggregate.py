"""Snapshots by provider -> one set of objects under qualified names, ``name@provider``. Pure.

What lives here: names and references. Unqualified references resolve in the provider that refers. Whether the things
referred to exist is ``build``'s question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from edgerouter.config.dynamic import Middleware, Router, ServersTransport, Service, TLSOptions
from edgerouter.config.late import Late
from edgerouter.contracts.snapshot import Snapshot, Workload

INTERNAL: Final = "internal"

# Where options hold names of other objects, in plain data: "*" stands for each element of a list.
SERVICE_PATHS: Final = (
    ("service",),
    ("fallback",),
    ("fallbackService",),
    ("services", "*", "name"),
    ("mirrors", "*", "name"),
)
MIDDLEWARE_PATHS: Final = (("middlewares", "*"),)
TRANSPORT_PATHS: Final = (("serversTransport",),)


class Aggregate(msgspec.Struct, frozen=True):
    """All objects by qualified name; routers' and services' references are qualified, options are as they were."""

    routers: dict[str, Router] = {}
    services: dict[str, Service] = {}
    middlewares: dict[str, Middleware] = {}
    transports: dict[str, ServersTransport] = {}
    sleeping: dict[str, str] = {}
    workloads: tuple[tuple[str, Workload], ...] = ()
    tls_options: dict[str, TLSOptions] = {}
    tls_refused: dict[str, str] = {}
    tls_late: dict[str, Late] = {}
    late_transports: dict[str, Late] = {}


def qualify(name: str, provider: str) -> str:
    """``web`` in docker is ``web@docker``; a name that holds ``@`` is qualified already, "" stays. ``!web`` leaves
    something out that somebody else added, so it is nobody's own."""
    return name if not name or "@" in name or name[0] == "!" else f"{name}@{provider}"


def provider_of(name: str) -> str:
    """``docker`` of ``web@docker``."""
    return name.rpartition("@")[2]


class Aggregator:
    """Remembers what each snapshot became, so that only snapshots that changed cost anything."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[Snapshot, Aggregate]] = {}

    def aggregate(self, snapshots: Mapping[str, Snapshot]) -> Aggregate:
        """All snapshots as one."""
        parts = []
        for provider in sorted(snapshots):
            known = self._parts.get(provider)
            if known is None or known[0] is not snapshots[provider]:
                known = (snapshots[provider], one(provider, snapshots[provider], known))
                self._parts[provider] = known
            parts.append(known[1])
        return merge(parts)


def aggregate(snapshots: Mapping[str, Snapshot]) -> Aggregate:
    """All snapshots as one, without a memory."""
    return Aggregator().aggregate(snapshots)


def merge(parts: Iterable[Aggregate]) -> Aggregate:
    """Aggregates of different providers as one; their names cannot collide."""
    whole = Aggregate({}, {}, {}, {}, {}, (), {}, {}, {}, {})
    workloads: list[tuple[str, Workload]] = []
    for part in parts:
        whole.routers.update(part.routers)
        whole.services.update(part.services)
        whole.middlewares.update(part.middlewares)
        whole.transports.update(part.transports)
        whole.sleeping.update(part.sleeping)
        whole.tls_options.update(part.tls_options)
        whole.tls_refused.update(part.tls_refused)
        whole.tls_late.update(part.tls_late)
        whole.late_transports.update(part.late_transports)
        workloads.extend(part.workloads)
    return msgspec.structs.replace(whole, workloads=tuple(workloads))


def one(provider: str, snapshot: Snapshot, before: tuple[Snapshot, Aggregate] | None = None) -> Aggregate:
    """One provider's objects under their qualified names; ``before`` is its last snapshot with what it became."""
    http, tls = snapshot.configuration.http, snapshot.configuration.tls
    return Aggregate(
        _routers(provider, http.routers, before),
        {f"{name}@{provider}": _service(service, provider) for name, service in http.services.items()},
        {f"{name}@{provider}": middleware for name, middleware in http.middlewares.items()},
        {f"{name}@{provider}": transport for name, transport in http.servers_transports.items()},
        {qualify(name, provider): text for name, text in snapshot.sleeping.items()},
        tuple((provider, workload) for workload in snapshot.workloads),
        {f"{name}@{provider}": options for name, options in tls.options.items()},
        {f"{name}@{provider}": why for name, why in tls.refused.items()},
        {f"{name}@{provider}": late for name, late in tls.late.items()},
        {f"{name}@{provider}": late for name, late in http.late_transports.items()},
    )


def _routers(
    provider: str, routers: Mapping[str, Router], before: tuple[Snapshot, Aggregate] | None
) -> dict[str, Router]:
    """Routers that are the same objects as before become the same again: the build need not compare them."""
    old: Mapping[str, Router] = before[0].configuration.http.routers if before is not None else {}
    known: Mapping[str, Router] = before[1].routers if before is not None else {}
    made: dict[str, Router] = {}
    for name, router in routers.items():
        full = f"{name}@{provider}"
        made[full] = known[full] if old.get(name) is router else _router(router, provider)
    return made


def _router(router: Router, provider: str) -> Router:
    return msgspec.structs.replace(
        router,
        middlewares=tuple(qualify(name, provider) for name in router.middlewares),
        service=qualify(router.service, provider),
    )


def _service(service: Service, provider: str) -> Service:
    if not service.middlewares:
        return service
    return msgspec.structs.replace(service, middlewares=tuple(qualify(n, provider) for n in service.middlewares))


def qualify_options(options: dict[str, Any], provider: str) -> None:
    """Qualify, in place, the names of other objects that plain options hold."""
    for path in (*SERVICE_PATHS, *MIDDLEWARE_PATHS, *TRANSPORT_PATHS):
        if path[0] in options:
            _replace(options, path, lambda name: qualify(name, provider))


def names_at(options: dict[str, Any], paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The names that plain options hold at these paths, in order."""
    found: list[str] = []

    def note(name: str) -> str:
        if name:
            found.append(name)
        return name

    for path in paths:
        if path[0] in options:
            _replace(options, path, note)
    return tuple(found)


def _replace(node: Any, path: tuple[str, ...], change: Callable[[str], str]) -> None:
    """Apply ``change`` to every text at the path; whatever has another shape is left alone."""
    for holder, key in _places(node, path):
        if isinstance(holder[key], str):
            holder[key] = change(holder[key])


def _places(node: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    keys: Iterable[Any] = ()
    if path[0] == "*":
        keys = range(len(node)) if isinstance(node, list) else ()
    elif isinstance(node, dict) and path[0] in node:
        keys = (path[0],)
    for key in keys:
        if len(path) == 1:
            yield node, key
        else:
            yield from _places(node[key], path[1:])
