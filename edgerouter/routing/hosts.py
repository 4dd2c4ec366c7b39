"""Exact hosts and one-label wildcards by dictionary, all other rules under "any host"."""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.routing.entry import Entry
from edgerouter.routing.paths import PathIndex
from edgerouter.rules.branches import Branch
from edgerouter.rules.predicates import HOST, HOST_UNDER


class HostIndex:
    """All entries of one entry point and kind of connection, live or asleep."""

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.exact: dict[str, PathIndex] = {}
        self.under: dict[str, PathIndex] = {}
        self.any = PathIndex(owner)

    def find(self, exchange: Exchange) -> Entry | None:
        """The first entry, in their order, whose rule holds."""
        request = exchange.request
        host = request.host
        path = request.path
        best: Entry | None = None
        paths = self.exact.get(host)
        if paths is not None:
            best = paths.find(exchange, path, None)
        under = self.under
        if under:
            dot = host.find(".")
            if dot > 0:
                paths = under.get(host[dot + 1 :])
                if paths is not None:
                    best = paths.find(exchange, path, best)
        return self.any.find(exchange, path, best)

    def add(self, entry: Entry, branch: Branch) -> None:
        """Insert under the branch's conditions; this index must belong to the builder that calls."""
        self._paths(branch).add(entry, branch)

    def remove(self, entry: Entry, branch: Branch) -> None:
        """Take out what ``add`` put in."""
        paths = self._paths(branch)
        paths.remove(entry, branch)
        if paths.empty():
            if branch.host_kind == HOST:
                del self.exact[branch.host]
            elif branch.host_kind == HOST_UNDER:
                del self.under[branch.host]

    def empty(self) -> bool:
        """True when nothing is left."""
        return not self.exact and not self.under and self.any.empty()

    def copy(self, owner: int) -> HostIndex:
        """An independent copy; what is below is shared until it is changed."""
        index = HostIndex(owner)
        index.exact = self.exact.copy()
        index.under = self.under.copy()
        index.any = self.any
        return index

    def _paths(self, branch: Branch) -> PathIndex:
        if branch.host_kind == HOST:
            return _owned(self.exact, branch.host, self.owner)
        if branch.host_kind == HOST_UNDER:
            return _owned(self.under, branch.host, self.owner)
        if self.any.owner != self.owner:
            self.any = self.any.copy(self.owner)
        return self.any


def _owned(indexes: dict[str, PathIndex], key: str, owner: int) -> PathIndex:
    index = indexes.get(key)
    if index is None:
        index = PathIndex(owner)
    elif index.owner != owner:
        index = index.copy(owner)
    indexes[key] = index
    return index
