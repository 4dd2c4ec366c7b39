"""Services of a Plan -> service objects with their servers. A server lives as long as its service names its address,
its connections as long as one that used them; a service that changed takes over the running state of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from sys import intern
from typing import Any
from urllib.parse import urlsplit

import msgspec

from edgerouter.clients.references import Resolver
from edgerouter.contracts.plan import MiddlewareEntry, ServerEntry, ServiceEntry
from edgerouter.contracts.plugins import Middleware, Server, Service
from edgerouter.net.pool import Pool
from edgerouter.registry import Plugin
from edgerouter.worker.assemble_transports import transport_name

# (service's name, names of its middlewares) -> their instances; raises what a constructor raises
StepMaker = Callable[[str, tuple[str, ...]], list[Middleware]]
ServerKey = tuple[str, str, str, int]


class BrokenService(Service):
    """Stands where a service could not be made: nothing can be chosen, and ``refused`` says why."""

    def __init__(self, name: str, refused: str) -> None:
        super().__init__(name)
        self.refused = refused


def make_server(url: str) -> Server:
    """A server by its address. Raises ValueError for one that is none."""
    if url.startswith("unix:"):
        return Server(url, "unix", url[5:].removeprefix("//"), 0)
    url = intern(url)  # services of the same servers have one text
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a server's address: write http://host:port")
    server = Server(url, parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
    server.base_path = parts.path.rstrip("/")
    return server


class Services:
    """``current`` is what routers and other services find; ``make`` and ``swap`` renew it."""

    def __init__(self, plugins: dict[str, Plugin], context: Callable[[str], Any], steps: StepMaker) -> None:
        self._plugins = plugins
        self._context = context
        self._steps = steps
        self.current: dict[str, Service] = {}
        self._next: dict[str, Service] = {}
        self._entries: dict[str, tuple[ServiceEntry, tuple[MiddlewareEntry | None, ...]]] = {}
        self._before = self._entries
        self._servers: dict[ServerKey, Server] = {}
        self._used: set[ServerKey] = set()
        self._down: set[tuple[str, str]] = set()  # (service, server's url): what health checks found

    def find(self, name: str) -> Service | None:
        """A service by its qualified name, as it is now."""
        return self.current.get(name)

    def judge(self, down: Iterable[tuple[str, str]], up: Iterable[tuple[str, str]]) -> None:
        """What health checks found of servers, in use or yet to come."""
        down, up = tuple(down), tuple(up)
        self._down.update(down)
        self._down.difference_update(up)
        for name in {name for name, _ in (*down, *up)}:
            known = self._entries.get(name) or self._before.get(name)
            if known is None:
                continue
            entry = known[0]
            for key, server in zip(_keys(entry, transport_name(entry.options)), entry.servers, strict=True):
                made = self._servers.get(key)
                if made is not None:
                    made.up = self._is_up(name, server)
            for services in (self.current, self._next):
                service = services.get(name)
                if service is not None:
                    service.refresh()

    def _is_up(self, service: str, entry: ServerEntry) -> bool:
        return entry.up and (service, entry.url) not in self._down

    def make(
        self,
        entries: dict[str, ServiceEntry],
        middlewares: dict[str, MiddlewareEntry],
        changed_transports: set[str],
        faults: dict[str, str],
    ) -> Iterator[None]:
        """Make the services of a Plan, one a step; unchanged ones are the same objects as before."""
        self._next, old, self._used = {}, self._entries, set()
        self._before, self._entries = old, {}
        for name, entry in entries.items():
            transport = transport_name(entry.options)
            steps = tuple(middlewares.get(step) for step in entry.middlewares) if entry.middlewares else ()
            known = old.get(name)
            if known is not None and known[0] is entry and known[1] == steps and transport not in changed_transports:
                self._next[name] = self.current[name]
                self._used.update(_keys(entry, transport))
            else:
                self._next[name] = self._make(entry, transport, faults.get(transport, ""), changed_transports)
            self._entries[name] = (entry, steps)
            yield

    def planned(self) -> dict[str, Service]:
        """What ``swap`` will make current."""
        return self._next

    def parts(self) -> list[object]:
        """What ``make`` and ``swap`` let go of: held, it is not freed at once."""
        parts: list[object] = [self.current, self._before]
        self._before = {}
        return parts

    def swap(self) -> dict[str, Service]:
        """Let the made services be the current ones, and close the connections of servers that are gone."""
        self.current = self._next
        if len(self._used) < len(self._servers):
            for key in [key for key in self._servers if key not in self._used]:
                close(self._servers.pop(key))
        return self.current

    def _make(self, entry: ServiceEntry, transport: str, fault: str, changed_transports: set[str]) -> Service:
        try:
            service = self._new(entry, transport, changed_transports)
        except (msgspec.ValidationError, ValueError) as error:
            service = BrokenService(entry.name, f"service {entry.name!r}: {error}")
        service.key = entry.key
        service.refused = entry.refused or service.refused or fault
        previous = self.current.get(entry.name)
        if previous is not None:
            service.inherit(previous)
        service.refresh()
        return service

    def _new(self, entry: ServiceEntry, transport: str, changed_transports: set[str]) -> Service:
        plugin = self._plugins.get(entry.kind)
        if plugin is None or plugin.options is None:
            raise ValueError(f"there is no service kind {entry.kind!r}")
        options = Resolver().typed(entry.options, plugin.options)
        servers = [
            self._server(key, server, transport in changed_transports)
            for key, server in zip(_keys(entry, transport), entry.servers, strict=True)
        ]
        service: Service = plugin.cls(options, self._context(entry.name), servers)
        if entry.middlewares and not entry.refused:
            service.steps = self._steps(entry.name, entry.middlewares) + (service.steps or [])
        return service

    def _server(self, key: ServerKey, entry: ServerEntry, anew: bool) -> Server:
        """The server that is there already, unless the way to it changed."""
        server = self._servers.get(key)
        if server is None or (anew and server.pool is not None):
            if server is not None:
                close(server)
            server = make_server(entry.url)
            server.transport = key[1]
            self._servers[key] = server
        self._used.add(key)
        server.weight, server.up, server.fenced = entry.weight, self._is_up(key[0], entry), entry.fenced
        server.preserve_path = entry.preserve_path
        return server


def _keys(entry: ServiceEntry, transport: str) -> list[ServerKey]:
    """One key a server: weight and health belong to the service's server, so no two services share one. The same
    address twice in one service counts twice."""
    seen: dict[str, int] = {}
    keys = []
    for server in entry.servers:
        count = seen.get(server.url, 0)
        seen[server.url] = count + 1
        keys.append((entry.name, transport, server.url, count))
    return keys


def close(server: Server) -> None:
    """No new exchange will choose this server: leave its pool, which the last one closes."""
    pool = server.pool
    if isinstance(pool, Pool) and not server.retired:
        pool.leave()
    server.retired = True
