"""weighted: divides requests among services, e.g. 99 to 1 for a canary. Compiled; options: ``_weighted_options``.

A service that cannot answer (no server is up) is left out as long as that lasts.

    http:
      services:
        shop:
          weighted:
            services:
              - name: shop-v1
                weight: 99
              - name: shop-v2
                weight: 1
"""

from __future__ import annotations

from collections.abc import Callable

from edgerouter.contracts.plugins import PluginContext, Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.registry import service
from edgerouter.services._options import qualified
from edgerouter.services._rotation import Rotation, worker_phase
from edgerouter.services._weighted_options import Options

__all__ = ["Options", "Weighted"]


class Weighted(Service):
    """A branch of the service tree: children by name, found at each request, since they come and go on their own."""

    def __init__(self, options: Options, context: PluginContext, servers: list[Server]) -> None:
        super().__init__(context.name)
        self._find: Callable[[str], Service | None] = context.find_service
        self._children: list[tuple[str, int]] = [
            (qualified(str(child.name), context.name), int(child.weight))
            for child in options.services
            if child.weight > 0
        ]
        self._active = self._children
        self._rotation = Rotation(worker_phase(context.shared))
        self._rotation.assign(self._active)
        self._busy = False

    def inherit(self, previous: Service) -> None:
        """See ``Service.inherit``."""
        if isinstance(previous, Weighted):
            self._rotation = previous._rotation
            self._rotation.assign(self._active)

    def leaf(self, exchange: Exchange) -> Service:
        """See ``Service.leaf``; the branch itself when no child can answer, and its ``choose`` then gives None."""
        child = self._turn()
        return self if child is None else child.leaf(exchange)

    def choose(self, exchange: Exchange) -> Server | None:
        """See ``Service.choose``."""
        leaf = self.leaf(exchange)
        if leaf is not self:
            return leaf.choose(exchange)
        exchange.service = self.name
        return None

    def available(self) -> bool:
        """See ``Service.available``; a branch that is reached again through itself has nothing to offer."""
        if self._busy:
            return False
        self._busy = True
        try:
            return any(self._answers(name) for name, _ in self._children)
        finally:
            self._busy = False

    def _turn(self) -> Service | None:
        """Return the child whose turn it is. Children that went away or came back change who takes part."""
        if len(self._active) < len(self._children):
            self._look_again()
        for _ in range(len(self._children) + 1):
            index = self._rotation.next()
            if index < 0:
                return None
            child = self._find(self._active[index][0])
            if child is not None and child.available():
                return child
            self._look_again()
        return None

    def _look_again(self) -> None:
        active = [child for child in self._children if self._answers(child[0])]
        if active != self._active:
            self._active = active
            self._rotation.assign(active)

    def _answers(self, name: str) -> bool:
        child = self._find(name)
        return child is not None and child.available()


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
service("weighted", Options)(Weighted)
