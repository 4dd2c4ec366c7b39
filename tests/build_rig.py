"""Snapshots of small configurations, and what the build makes of them; with the options of kinds that no plugin has."""

from __future__ import annotations

from typing import Any

from edgerouter.config.dynamic import (
    DynamicConfiguration,
    HttpConfiguration,
    Middleware,
    Model,
    Router,
    ServersTransport,
    Service,
)
from edgerouter.config.static import EntryPoint, StaticConfiguration
from edgerouter.config.types import Secret
from edgerouter.contracts.plan import RouterEntry, ServiceEntry
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Build, Inputs, build
from edgerouter.control.internal import internal_snapshot

RULE = "Host(`a.example`)"
STATIC = StaticConfiguration(entry_points={"web": EntryPoint(address=":80"), "other": EntryPoint(address=":81")})


class Strip(Model, frozen=True):
    """A middleware's options."""

    prefixes: tuple[str, ...] = ()
    password: Secret | None = None
    later: str = ""

    def not_there_yet(self) -> tuple[str, ...]:
        """Understood, without effect."""
        return ("later",) if self.later else ()


class Child(Model, frozen=True):
    """A child of Weighted."""

    name: str
    weight: int = 1


class Weighted(Model, frozen=True):
    """A service's options with references."""

    services: tuple[Child, ...] = ()


class Address(Model, frozen=True):
    """A server."""

    url: str
    weight: int = 1


class Balance(Model, frozen=True):
    """A load balancer's options."""

    servers: tuple[Address, ...] = ()
    servers_transport: str = ""


def balancer(*urls: str, **options: Any) -> Service:
    """A load balancer over these servers."""
    return Service("loadBalancer", Balance(servers=tuple(Address(url=url) for url in urls), **options))


def weighted(*names: str) -> Service:
    """A weighted service over these."""
    return Service("weighted", Weighted(services=tuple(Child(name=name) for name in names)))


def chain(*names: str) -> Middleware:
    """A chain of these."""
    return Middleware("chain", {"middlewares": list(names)})


def snapshot(
    routers: dict[str, Router] | None = None,
    services: dict[str, Service] | None = None,
    middlewares: dict[str, Middleware] | None = None,
    transports: dict[str, ServersTransport] | None = None,
    **rest: Any,
) -> Snapshot:
    """One provider's answer; the service ``s`` and the middleware ``strip`` are there unless others are given."""
    http = HttpConfiguration(
        routers=routers or {},
        services=services if services is not None else {"s": balancer("http://10.0.0.1:80")},
        middlewares=middlewares if middlewares is not None else {"strip": Middleware("strip", Strip(prefixes=("/x",)))},
        servers_transports=transports or {},
    )
    return Snapshot(configuration=DynamicConfiguration(http=http), **rest)


def made(static: StaticConfiguration = STATIC, guard: frozenset[str] = frozenset(), **snapshots: Snapshot) -> Build:
    """Build with the internal provider there."""
    everything = {"internal": internal_snapshot(static, "/run/control"), **snapshots}
    return build(Inputs(static=static, snapshots=everything, guard=guard))


def router_entry(result: Build, name: str) -> RouterEntry:
    """The Plan's entry."""
    entry = result.plan.entries[f"router:{name}"]
    assert isinstance(entry, RouterEntry)
    return entry


def service_entry(result: Build, name: str) -> ServiceEntry:
    """The Plan's entry."""
    entry = result.plan.entries[f"service:{name}"]
    assert isinstance(entry, ServiceEntry)
    return entry
