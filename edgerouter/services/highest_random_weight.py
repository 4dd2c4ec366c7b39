"""highestRandomWeight: gives each client address its service, without a cookie.

Rendezvous hashing over the peer's IP address, as the strategy ``hrw`` does for servers: a service's ``weight`` is its
share of the clients; when a service cannot answer (no server is up), only its clients go elsewhere, and return.

    http:
      services:
        shop:
          highestRandomWeight:
            services:
              - name: shop-eu
                weight: 2
              - name: shop-us
"""

from __future__ import annotations

from edgerouter.contracts.plugins import PluginContext, Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.registry import service
from edgerouter.services._children import Branch
from edgerouter.services._hashing import Rendezvous
from edgerouter.services._hrw_options import Options
from edgerouter.services._options import qualified

__all__ = ["HighestRandomWeight", "Options"]


class HighestRandomWeight(Branch):
    """A branch of the service tree whose children each have their clients."""

    def __init__(self, options: Options, context: PluginContext, servers: list[Server]) -> None:
        children = [(qualified(str(c.name), context.name), int(c.weight)) for c in options.services if c.weight > 0]
        super().__init__(context, children)
        self._active = children
        self._rendezvous = Rendezvous(children)

    def below(self, exchange: Exchange) -> Service:
        """See ``Service.below``."""
        active = [child for child in self.children if self.answers(child[0])]
        if active != self._active:
            self._active = active
            self._rendezvous = Rendezvous(active)
        index = self._rendezvous.best(exchange.client_address)
        child = None if index < 0 else self._find(active[index][0])
        return self if child is None else child


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
service("highestRandomWeight", Options)(HighestRandomWeight)
