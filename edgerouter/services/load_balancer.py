"""loadBalancer: spreads requests over servers.

A server's ``weight`` is its share; one that is down or of weight 0 gets nothing. With ``sticky.cookie`` a client stays
on the server that it got first, by whatever strategy, for as long as that server is up; one that is ``fenced`` (about
to end) gets nobody else. ``sticky.cookie.key`` signs the cookie.

``healthCheck``: the router's control process asks each server, first at once, then every ``interval`` (those that are
down: ``unhealthyInterval``); one failure takes a server out, one success brings it back, in all workers, and changes of
the configuration that do not touch the check do not begin it anew. ``mode: grpc`` asks ``grpc.health.v1.Health/Check``.
``passiveHealthCheck``: requests that get no answer, or one of 500 and above, count over all workers; the
``maxFailedAttempts``-th within ``failureWindow`` takes the server out for that long, or until an active check finds it
well. A service all of whose servers are down answers 503, and services above it go elsewhere.

``deploy.hold`` bridges the gap of a deployment that stops the old servers first: requests wait for a server up to that
long, then they are answered 503 with Retry-After. Nothing of them was sent to any server meanwhile.

    labels:  edgerouter.http.services.shop.loadbalancer.server.port=8080
             edgerouter.http.services.shop.loadbalancer.passhostheader=true
             edgerouter.http.services.shop.loadbalancer.sticky.cookie.name=shop
             edgerouter.http.services.shop.loadbalancer.deploy.hold=5s

    http:
      services:
        shop:
          loadBalancer:
            strategy: p2c
            sticky:
              cookie:
                secure: true
                httpOnly: true
            healthCheck:
              path: /health
              interval: 10s
              timeout: 2s
            servers:
              - url: http://10.0.0.1:8080
                weight: 99
              - url: http://10.0.0.2:8080
"""

from __future__ import annotations

from collections.abc import Callable

from edgerouter.contracts.plugins import Balancer, PluginContext, Server, Service
from edgerouter.errors import EdgeError
from edgerouter.http.exchange import Exchange
from edgerouter.registry import load, service
from edgerouter.services._load_balancer_options import Options, ServerOptions, check_health
from edgerouter.services._passive import FailureRecord, PassiveHealth
from edgerouter.services._rotation import worker_phase
from edgerouter.services._sticky import Stickiness
from edgerouter.services._tracking import Choice, Tracking

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
        self._tracking: Tracking | None = None
        self.pass_host_header = bool(options.pass_host_header)
        self.hold = float(options.deploy.hold)
        self.strategy = str(options.strategy)
        self.servers = servers
        self._now: Callable[[], float] = context.now
        self._balancer = make_balancer(self.strategy)
        self._balancer.start(worker_phase(context.shared))
        self._live: list[Server] = []
        self._sticky: Stickiness | None = None
        if options.sticky is not None and options.sticky.cookie is not None:
            self._sticky = Stickiness(options.sticky.cookie, context.name)
            self._sticky.assign([[server.url, server.url.rstrip("/")] for server in servers])
        if options.health_check is not None:
            check_health(options.health_check)
        self._passive: PassiveHealth | None = None
        if options.passive_health_check is not None:
            record = FailureRecord(options.passive_health_check, context.name, context.shared, context.now)
            self._passive = PassiveHealth(record, options.health_check is not None)
        if self._sticky is not None or self._passive is not None or self._balancer.timed or self._balancer.fixed:
            told = self._balancer if self._balancer.timed else None
            self._tracking = Tracking(context.name, context.now, told, self._passive)
            self.steps = [self._tracking]
        self.refresh()

    def refresh(self) -> None:
        """See ``Service.refresh``: make the list of servers in rotation, anew only when it differs."""
        live = [s for s in self.servers if s.up and not s.fenced and s.weight > 0]
        passive = self._passive
        if passive is not None:
            passive.look(self.servers)
            live = [s for s in live if s.url not in passive.out]
        if live != self._live:
            self._live = live
        asks_nobody = self.steps is None and self._tracking is None and self._balancer.plain
        certain = asks_nobody and self.pass_host_header and not self.refused
        self.lone = live[0] if certain and len(live) == 1 else None

    def inherit(self, previous: Service) -> None:
        """See ``Service.inherit``: keep the balancer, unless the strategy is another."""
        if isinstance(previous, LoadBalancer) and previous.strategy == self.strategy:
            self._balancer = previous._balancer
            if self._tracking is not None and self._tracking.balancer is not None:
                self._tracking.balancer = self._balancer

    def choose(self, exchange: Exchange) -> Server | None:
        """See ``Service.choose``."""
        exchange.service = self.name
        if self._tracking is not None:
            return self._choose_tracked(exchange)
        server = self._balancer.pick(self._live, exchange)
        if server is not None and not server.up:
            self.refresh()
            server = self._balancer.pick(self._live, exchange)
        return server

    def available(self) -> bool:
        """See ``Service.available``."""
        if self._passive is not None and self._passive.changed():
            self.refresh()
        return len(self._live) > 0

    def failed(self, server: Server, error: EdgeError) -> None:
        """See ``Service.failed``."""
        if self._tracking is not None:
            self._balancer.failed(server)
            if self._passive is not None:
                self._passive.failed(server)

    def _choose_tracked(self, exchange: Exchange) -> Server | None:
        if self._passive is not None and self._passive.changed():
            self.refresh()
        known = exchange.choice(self.name)
        if isinstance(known, Choice):
            choice = known
            server = self._pick_another(exchange, choice)
        else:
            choice = Choice()
            exchange.chose(self.name, choice)
            server = self._tied(exchange) or self._pick(self._live, exchange)
        choice.server = server
        choice.started = self._now() if self._balancer.timed else 0.0
        choice.cookie = ""
        if server is not None:
            choice.before.append(server)
            if self._sticky is not None:
                choice.cookie = self._sticky.line(exchange, self.servers.index(server))
        return server

    def _tied(self, exchange: Exchange) -> Server | None:
        """The server that the client's cookie names, while it is up."""
        sticky = self._sticky
        index = -1 if sticky is None else sticky.member(exchange)
        if index < 0:
            return None
        server = self.servers[index]
        if not server.up or server.weight <= 0:
            return None
        return None if self._passive is not None and server.url in self._passive.out else server

    def _pick_another(self, exchange: Exchange, choice: Choice) -> Server | None:
        """The exchange is back: what was chosen for it before has failed, so no cookie counts any more."""
        if not self._balancer.fixed:
            return self._pick(self._live, exchange)
        others = [server for server in self._live if server not in choice.before]
        return self._pick(others or self._live, exchange)

    def _pick(self, servers: list[Server], exchange: Exchange) -> Server | None:
        server = self._balancer.pick(servers, exchange)
        if server is not None and not server.up:
            self.refresh()
            server = self._balancer.pick(self._live, exchange)
        return server


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
service("loadBalancer", Options)(LoadBalancer)
