"""The routing table of a worker: looks up, never changes. ``builder`` makes it."""

from __future__ import annotations

from edgerouter.contracts.plugins import Route, Service, Table
from edgerouter.http.exchange import Exchange
from edgerouter.routing.entry import Entry
from edgerouter.routing.hosts import HostIndex


class Section:
    """Entries of one entry point that match plain connections, or TLS ones. ``asleep`` is tried when none is live."""

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.live = HostIndex(owner)
        self.asleep: HostIndex | None = None

    def copy(self, owner: int) -> Section:
        """An independent copy; the indexes are shared until they are changed."""
        section = Section(owner)
        section.live = self.live
        section.asleep = self.asleep
        return section


class RoutingTable(Table):
    """``entries`` are all routers by name, those too whose rule could not be read. Nothing here changes once built."""

    def __init__(
        self,
        owner: int = 0,
        entries: dict[str, Entry] | None = None,
        plain: dict[str, Section] | None = None,
        secure: dict[str, Section] | None = None,
        services: dict[str, Service] | None = None,
    ) -> None:
        self.owner = owner
        self.entries: dict[str, Entry] = {} if entries is None else entries
        self.plain: dict[str, Section] = {} if plain is None else plain
        self.secure: dict[str, Section] = {} if secure is None else secure
        self.services: dict[str, Service] = {} if services is None else services

    def match(self, exchange: Exchange) -> Route | None:
        """The route of the highest priority whose entry point, TLS and rule fit; sleeping ones after all others."""
        sections = self.secure if exchange.request.scheme == "https" else self.plain
        section = sections.get(exchange.entrypoint)
        if section is None:
            return None
        route = section.live.find(exchange)
        if route is None and section.asleep is not None:
            route = section.asleep.find(exchange)
        return route

    def service(self, name: str) -> Service | None:
        """A service by its qualified name."""
        return self.services.get(name)
