"""Exact hosts and one-label wildcards by dictionary, all other rules under "any host"."""

from __future__ import annotations

from mypy_extensions import i64

from edgerouter.contracts.plugins import Route
from edgerouter.http.exchange import Exchange
from edgerouter.routing.entry import Entry
from edgerouter.routing.paths import PathIndex
from edgerouter.rules.branches import Branch
from edgerouter.rules.predicates import HOST, HOST_UNDER


class HostIndex:
    """All entries of one entry point and kind of connection, live or asleep. ``alone`` has the routes that are
    their host's only one and ask for nothing else: of most tables most, found without a look at anything in between."""

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.alone: dict[str, Route] = {}
        self.exact: dict[str, PathIndex] = {}
        self.under: dict[str, PathIndex] = {}
        self.sizes: i64 = 0  # bits of the lengths of ``under``'s names: most hosts fall under none, and few are cut up
        self.any: PathIndex | None = None

    def find(self, exchange: Exchange) -> Route | None:
        """The route of the first entry, in their order, whose rule holds."""
        host = exchange.request.host
        under = self._under(host) if self.under else None
        if under is None and self.any is None:
            route = self.alone.get(host)
            if route is not None:
                return route
        entry = self._find(exchange, host, under)
        return None if entry is None else entry.route

    def _find(self, exchange: Exchange, host: str, under: PathIndex | None) -> Entry | None:
        path = exchange.request.path
        best: Entry | None = None
        exact = self.exact.get(host)
        if exact is not None:
            best = exact.find(exchange, path, None)
        if under is not None:
            best = under.find(exchange, path, best)
        return best if self.any is None else self.any.find(exchange, path, best)

    def _under(self, host: str) -> PathIndex | None:
        """The wildcard that the host falls under."""
        dot = host.find(".")
        if dot <= 0 or self.sizes & _bit(len(host) - dot - 1) == 0:
            return None
        return self.under.get(host[dot + 1 :])

    def add(self, entry: Entry, branch: Branch) -> None:
        """Insert under the branch's conditions; this index must belong to the builder that calls."""
        paths = self._paths(branch)
        paths.add(entry, branch)
        self._settle(branch, paths)

    def remove(self, entry: Entry, branch: Branch) -> None:
        """Take out what ``add`` put in."""
        paths = self._paths(branch)
        paths.remove(entry, branch)
        self._settle(branch, paths)
        if not paths.empty():
            return
        if branch.host_kind == HOST:
            del self.exact[branch.host]
        elif branch.host_kind == HOST_UNDER:
            del self.under[branch.host]
            if not self.under:
                self.sizes = 0
        else:
            self.any = None

    def _settle(self, branch: Branch, paths: PathIndex) -> None:
        """A host's entries changed."""
        if branch.host_kind != HOST:
            return
        if paths.only is not None:
            self.alone[branch.host] = paths.only.route
        else:
            self.alone.pop(branch.host, None)

    def empty(self) -> bool:
        """True when nothing is left."""
        return not (self.alone or self.exact or self.under or self.any is not None)

    def copy(self, owner: int) -> HostIndex:
        """An independent copy; what is below is shared until it is changed."""
        index = HostIndex(owner)
        index.alone = self.alone.copy()
        index.exact = self.exact.copy()
        index.under = self.under.copy()
        index.sizes = self.sizes
        index.any = self.any
        return index

    def _paths(self, branch: Branch) -> PathIndex:
        if branch.host_kind == HOST:
            return _owned(self.exact, branch.host, self.owner)
        if branch.host_kind == HOST_UNDER:
            self.sizes |= _bit(len(branch.host))
            return _owned(self.under, branch.host, self.owner)
        paths = self.any
        if paths is None:
            paths = PathIndex(self.owner)
        elif paths.owner != self.owner:
            paths = paths.copy(self.owner)
        self.any = paths
        return paths


def _bit(size: i64) -> i64:
    one: i64 = 1
    return one << (size & 63)


def _owned(indexes: dict[str, PathIndex], key: str, owner: int) -> PathIndex:
    index = indexes.get(key)
    if index is None:
        index = PathIndex(owner)
    elif index.owner != owner:
        index = index.copy(owner)
    indexes[key] = index
    return index
