"""weighted: divides requests among services, e.g. 99 to 1 for a canary.

A service that cannot answer (no server is up) is left out as long as that lasts. With ``sticky.cookie`` a client stays
on the service that it got first; a load balancer below may be sticky as well, by a cookie of its own.

    http:
      services:
        shop:
          weighted:
            sticky:
              cookie:
                name: release
            services:
              - name: shop-v1
                weight: 99
              - name: shop-v2
                weight: 1
"""

from __future__ import annotations

from edgerouter.contracts.plugins import PluginContext, Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.registry import service
from edgerouter.services._children import Branch
from edgerouter.services._options import qualified
from edgerouter.services._rotation import Rotation, worker_phase
from edgerouter.services._sticky import Stickiness
from edgerouter.services._tracking import Choice, Tracking
from edgerouter.services._weighted_options import Options

__all__ = ["Options", "Weighted"]


class Weighted(Branch):
    """A branch of the service tree whose children take turns by weight."""

    def __init__(self, options: Options, context: PluginContext, servers: list[Server]) -> None:
        names = [(str(child.name), int(child.weight)) for child in options.services if child.weight > 0]
        super().__init__(context, [(qualified(name, context.name), weight) for name, weight in names])
        self._active = self.children
        self._rotation = Rotation(worker_phase(context.shared))
        self._rotation.assign(self._active)
        self._sticky: Stickiness | None = None
        if options.sticky is not None and options.sticky.cookie is not None:
            self._sticky = Stickiness(options.sticky.cookie, context.name)
            self._sticky.assign([written(name, context.name) for name, _ in self.children])
            self.steps = [Tracking(context.name, context.now, None, None)]

    def inherit(self, previous: Service) -> None:
        """See ``Service.inherit``."""
        if isinstance(previous, Weighted):
            self._rotation = previous._rotation
            self._rotation.assign(self._active)

    def below(self, exchange: Exchange) -> Service:
        """See ``Service.below``; the branch itself when no child can answer, and its ``choose`` then gives None."""
        sticky = self._sticky
        if sticky is None:
            index = self._turn()
            child = None if index < 0 else self._find(self._active[index][0])
            return self if child is None else child
        return self._below_sticky(exchange, sticky)

    def _below_sticky(self, exchange: Exchange, sticky: Stickiness) -> Service:
        index = -1 if exchange.choice(self.name) is not None else sticky.member(exchange)
        if index < 0 or not self.answers(self.children[index][0]):
            turn = self._turn()
            if turn < 0:
                return self
            index = self.children.index(self._active[turn])
        child = self._find(self.children[index][0])
        choice = Choice()
        choice.cookie = sticky.line(exchange, index)
        exchange.chose(self.name, choice)
        return self if child is None else child

    def _turn(self) -> int:
        """Return the index of the child whose turn it is, among those that take part. Children that went away or came
        back change who does."""
        if len(self._active) < len(self.children):
            self._look_again()
        for _ in range(len(self.children) + 1):
            index = self._rotation.next()
            if index < 0 or self.answers(self._active[index][0]):
                return index
            self._look_again()
        return -1

    def _look_again(self) -> None:
        active = [child for child in self.children if self.answers(child[0])]
        if active != self._active:
            self._active = active
            self._rotation.assign(active)


def written(name: str, owner: str) -> list[str]:
    """Return a child's names: as people write it, which is what Traefik hashes, and with its provider."""
    bare, _, provider = name.rpartition("@")
    return [bare, name] if owner.endswith(f"@{provider}") else [name]


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
service("weighted", Options)(Weighted)
