"""loadBalancer: spreads requests over servers. Compiled; the options are in ``_load_balancer_options``.

A server's ``weight`` is its share; one that is down, fenced or of weight 0 gets nothing.

    http:
      services:
        shop:
          loadBalancer:
            servers:
              - url: http://10.0.0.1:8080
                weight: 99
              - url: http://10.0.0.2:8080

    labels:  edgerouter.http.services.shop.loadbalancer.server.port=8080
             edgerouter.http.services.shop.loadbalancer.passhostheader=true
"""

from __future__ import annotations

from edgerouter.contracts.plugins import Balancer, PluginContext, Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.registry import load, service
from edgerouter.services._load_balancer_options import Options, ServerOptions
from edgerouter.services._rotation import worker_phase

__all__ = ["LoadBalancer", "Options", "ServerOptions"]


def make_balancer(strategy: str) -> Balancer:
    """Make the balancer of that name; raises ValueError that lists the names there are."""
    known = load("balancers")
    plugin = known.get(strategy)
    if plugin is None:
        raise ValueError(f"strategy: no balancer is named {strategy!r}; write one of {', '.join(sorted(known))}")
    made: Balancer = plugin.cls()
    return made


class LoadBalancer(Service):
    """A leaf of the service tree: spreads requests over servers that are up, by the balancer of its strategy."""

    def __init__(self, options: Options, context: PluginContext, servers: list[Server]) -> None:
        super().__init__(context.name)
        self.pass_host_header = bool(options.pass_host_header)
        self.flush_interval = float(options.response_forwarding.flush_interval)
        self.strategy = str(options.strategy)
        self.servers = servers
        self._balancer = make_balancer(self.strategy)
        self._balancer.start(worker_phase(context.shared))
        self._live: list[Server] = []
        self.refresh()

    def refresh(self) -> None:
        """See ``Service.refresh``: make the list of servers in rotation, anew only when it differs."""
        live = [s for s in self.servers if s.up and not s.fenced and s.weight > 0]
        if live != self._live:
            self._live = live

    def inherit(self, previous: Service) -> None:
        """See ``Service.inherit``: keep the balancer, unless the strategy is another."""
        if isinstance(previous, LoadBalancer) and previous.strategy == self.strategy:
            self._balancer = previous._balancer

    def choose(self, exchange: Exchange) -> Server | None:
        """See ``Service.choose``."""
        exchange.service = self.name
        server = self._balancer.pick(self._live, exchange)
        if server is not None and not server.up:
            self.refresh()
            server = self._balancer.pick(self._live, exchange)
        return server

    def available(self) -> bool:
        """See ``Service.available``."""
        return len(self._live) > 0


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
service("loadBalancer", Options)(LoadBalancer)
