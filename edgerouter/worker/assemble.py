"""A worker's Plan -> the routing table that its engine serves with: deltas in, a table out, in slices.

What lives here: the order of the work. Unchanged routes, middlewares, services and servers stay the same objects, so
their state and connections live on. The caller swaps the table by one assignment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from edgerouter.contracts.messages import Delta, ServersHealth
from edgerouter.contracts.plan import (
    CertificateEntry,
    Entry,
    MiddlewareEntry,
    RouterEntry,
    ServiceEntry,
    TlsHostsEntry,
    TlsOptionsEntry,
    TransportEntry,
    entry_key,
)
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.net.pool import TransportSettings
from edgerouter.net.tls_front import TlsDoors
from edgerouter.registry import Plugin, load
from edgerouter.routing.builder import TableBuilder
from edgerouter.routing.table import RoutingTable
from edgerouter.worker.assemble_routes import Routes, Steps
from edgerouter.worker.assemble_services import Services
from edgerouter.worker.assemble_slices import sliced, without_collector
from edgerouter.worker.assemble_tls import Doors
from edgerouter.worker.assemble_transports import Transports
from edgerouter.worker.preparations import Preparations

if TYPE_CHECKING:
    from edgerouter.worker.serving import Serving

_ADDED: Final = 16  # routers put into the builder between two looks at the clock
_SERVICE_SLOTS: Final = 64  # slots of services' own middlewares begin here, beyond those of any route


class Entries:
    """The Plan's entries, each kind by name."""

    def __init__(self) -> None:
        self.routers: dict[str, RouterEntry] = {}
        self.middlewares: dict[str, MiddlewareEntry] = {}
        self.services: dict[str, ServiceEntry] = {}
        self.transports: dict[str, TransportEntry] = {}
        self.certificates: dict[str, CertificateEntry] = {}
        self.tls_options: dict[str, TlsOptionsEntry] = {}
        self.tls_hosts: dict[str, TlsHostsEntry] = {}
        self._rooms: dict[str, dict[str, Any]] = {
            "router": self.routers,
            "middleware": self.middlewares,
            "service": self.services,
            "transport": self.transports,
            "certificate": self.certificates,
            "tlsoptions": self.tls_options,
            "tlshosts": self.tls_hosts,
        }

    def put(self, entry: Entry) -> None:
        """Add or replace."""
        self._rooms[entry_key(entry).partition(":")[0]][entry.name] = entry

    def drop(self, key: str) -> None:
        """Remove by the key that ``plan.entry_key`` made."""
        room, _, name = key.partition(":")
        self._rooms[room].pop(name, None)


class Assembler:
    """One for the life of a worker. ``take`` each part of a generation, then ``table`` once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, serving: Serving) -> None:
        start = serving.start_message
        self._engine = serving.engine
        precedence = tuple(start.static.providers.precedence)
        self.assembly = Assembly(serving.engine.transports, serving.records, precedence, doors=serving.engine.doors)

    def judge(self, health: ServersHealth) -> None:
        """What health checks found."""
        self.assembly.services.judge(health.down, health.up)

    async def take(self, delta: Delta) -> None:
        """Note what changed; nothing is made yet."""
        await sliced(self.assembly.note(delta))

    async def table(self) -> RoutingTable:
        """Make the table of everything noted so far."""
        return await self.assembly.table()

    def renew_connections(self) -> None:
        """Let go of connections whose clients were let in by TLS options that have changed."""
        self._engine.renew(self.assembly.doors.retired())

    def retired(self) -> list[Any]:
        """What the table before the last was made of, once: to be let go in slices."""
        retired, self.assembly.retired = self.assembly.retired, []
        return retired


class Assembly:
    """The same without a worker around it: ``transports`` is the engine's table, ``shared`` what plugins are handed,
    ``middlewares`` the kinds there are."""

    def __init__(
        self,
        transports: dict[str, TransportSettings],
        shared: Any,
        precedence: tuple[str, ...] = (),
        middlewares: dict[str, Plugin] | None = None,
        doors: TlsDoors | None = None,
    ) -> None:
        self.entries = Entries()
        self._shared = shared
        self._precedence = precedence
        self._transports = Transports(transports)
        self.doors = Doors(doors or TlsDoors())
        plugins = load("middlewares") if middlewares is None else middlewares
        self._steps = Steps(plugins, self._context)
        self._preparations = Preparations(plugins)
        self.services = Services(load("services"), lambda name: self._context(name, "", "", -1), self._service_steps)
        self.routes = Routes(self._steps)
        self._table: RoutingTable | None = None
        self.retired: list[Any] = []
        self._slots: dict[tuple[str, int], int] = {}

    def note(self, delta: Delta) -> Iterator[None]:
        """Enter a delta's entries, some a step."""
        for key in delta.removed:
            self.entries.drop(key)
        for number, entry in enumerate(delta.entries):
            self.entries.put(entry)
            if number % _ADDED == 0:
                yield

    async def table(self) -> RoutingTable:
        """Make the table; what is in use until then goes on serving."""
        with without_collector():
            return await self._make()

    async def _make(self) -> RoutingTable:
        entries = self.entries
        await self._preparations.make(entry.kind for entry in entries.middlewares.values())
        changed = await self._transports.update(entries.transports, entries.services)
        faults = self._transports.faults
        await sliced(self.services.make(entries.services, entries.middlewares, changed, faults))
        await sliced(self.routes.make(entries.routers, entries.middlewares))
        await sliced(self.doors.prepare(entries.certificates, entries.tls_options, entries.tls_hosts))
        builder = TableBuilder(self._table, self._precedence)
        await sliced(self._fill(builder))
        await sliced(builder.build_steps())
        await sliced(self.routes.meet(self.services.planned()))
        self.retired += [self._table, *self.routes.parts(), *self.services.parts()]
        services = self.services.swap()
        for key in [key for key in self._slots if key[0] not in services]:
            del self._slots[key]
        self.routes.swap()
        self.doors.swap()
        builder.services = services
        self._table = builder.finish()
        return self._table

    def _fill(self, builder: TableBuilder) -> Iterator[None]:
        for number, made in enumerate(self.routes.planned().values()):
            builder.add(made.route, made.entry.entry_points, made.entry.tls, made.rule)
            if number % _ADDED == 0:
                yield

    def _context(self, name: str, router: str, service: str, slot: int) -> PluginContext:
        return PluginContext(name, router, service, self.services.find, self._shared, time.monotonic, slot)

    def _service_steps(self, service: str, names: tuple[str, ...]) -> list[Middleware]:
        steps = []
        for place, name in enumerate(names):
            entry = self.entries.middlewares.get(name)
            if entry is None:
                raise ValueError(f"middleware {name!r} does not exist")
            steps.append(self._steps.make(entry, "", service, self._slot(service, place)))
        return steps

    def _slot(self, service: str, place: int) -> int:
        """The lowest slot that no service's middleware has: one exchange may pass several services."""
        if (service, place) not in self._slots:
            taken = set(self._slots.values())
            self._slots[service, place] = next(n for n in count(_SERVICE_SLOTS) if n not in taken)
        return self._slots[service, place]
