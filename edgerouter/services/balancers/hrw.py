"""Highest random weight (rendezvous hashing): each client address has its server, without a cookie. Compiled.

Name: ``hrw`` (``loadBalancer.strategy``). The client is the peer's IP address (after any PROXY header, never
X-Forwarded-For). All workers and all routers with the same servers agree. When a server goes, only its clients move;
when it is back, they return. A server's ``weight`` is its share of the clients.

    labels:  edgerouter.http.services.shop.loadbalancer.strategy=hrw
"""

from __future__ import annotations

from edgerouter.contracts.plugins import Balancer, Server
from edgerouter.http.exchange import Exchange
from edgerouter.registry import balancer
from edgerouter.services._hashing import Rendezvous


class HighestRandomWeight(Balancer):
    """Remembers the list of servers by identity: another list means that the members changed."""

    def __init__(self) -> None:
        self.fixed = True
        self._servers: list[Server] = []
        self._rendezvous = Rendezvous([])

    def pick(self, servers: list[Server], exchange: Exchange) -> Server | None:
        """See ``Balancer.pick``."""
        if servers is not self._servers:
            self._servers = servers
            self._rendezvous = Rendezvous([(server.url, server.weight) for server in servers])
        index = self._rendezvous.best(exchange.client_address)
        return None if index < 0 else servers[index]


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
balancer("hrw")(HighestRandomWeight)
