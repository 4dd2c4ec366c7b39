"""The hot part of ``loadBalancer``: who is in rotation, and the pick; compiled. Options live in ``load_balancer``."""

from __future__ import annotations

from typing import Any

from edgerouter.contracts.plugins import Balancer, PluginContext, Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.registry import load


def worker_phase(shared: object) -> float:
    """Return where in a cycle this worker starts: 0, 1/2, 1/4, 3/4, 1/8 ... for worker 0, 1, 2, 3, 4 ...

    Neighbours are as far apart as can be, whatever the number of workers, so that few requests on each still add up
    to the right fractions.
    """
    slot = int(getattr(shared, "worker_slot", 0))
    phase, step = 0.0, 0.5
    while slot > 0:
        if slot % 2:
            phase += step
        slot //= 2
        step /= 2
    return phase


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

    def __init__(self, options: Any, context: PluginContext, servers: list[Server]) -> None:
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
