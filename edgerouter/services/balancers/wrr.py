"""Weighted round robin: exact fractions over any window, no randomness. Compiled.

Name: ``wrr`` (``loadBalancer.strategy``, the default). A server's weight is its share of the requests; 0 or less takes
it out of rotation. After N requests a server with the fraction f of all weights has had f * N of them, more or less by
less than one, in each worker; workers start at different places of the cycle.

    labels:  edgerouter.http.services.shop.loadbalancer.strategy=wrr
             edgerouter.http.services.shop.loadbalancer.server.weight=99
"""

from __future__ import annotations

from edgerouter.contracts.plugins import Balancer, Server
from edgerouter.http.exchange import Exchange
from edgerouter.registry import balancer
from edgerouter.services._rotation import Rotation


class WeightedRoundRobin(Balancer):
    """Remembers the list of servers by identity: another list means that the members changed."""

    def __init__(self) -> None:
        self.plain = True
        self._rotation = Rotation()
        self._servers: list[Server] = []
        self._members: list[Server] = []

    def start(self, phase: float) -> None:
        """See ``Balancer.start``."""
        self._rotation = Rotation(phase)

    def pick(self, servers: list[Server], exchange: Exchange) -> Server | None:
        """See ``Balancer.pick``."""
        if servers is not self._servers:
            self._assign(servers)
        index = self._rotation.next()
        return None if index < 0 else self._members[index]

    def _assign(self, servers: list[Server]) -> None:
        self._servers = servers
        self._members = [server for server in servers if server.weight > 0]
        self._rotation.assign([(server.url, server.weight) for server in self._members])


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
balancer("wrr")(WeightedRoundRobin)
