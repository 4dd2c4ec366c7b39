"""Power of two choices: of two servers taken at random, the one with fewer requests in flight. Compiled.

Name: ``p2c`` (``loadBalancer.strategy``). Weights are ignored, but 0 takes a server out, as for every strategy. Each
worker counts the requests that it has in flight itself. Good where requests differ much in what they cost: a server
that falls behind gets fewer, without any of them being measured.

    labels:  edgerouter.http.services.shop.loadbalancer.strategy=p2c
"""

from __future__ import annotations

from random import random

from edgerouter.contracts.plugins import Balancer, Server
from edgerouter.http.exchange import Exchange
from edgerouter.registry import balancer


class PowerOfTwoChoices(Balancer):
    """Remembers nothing."""

    def __init__(self) -> None:
        self.plain = True

    def pick(self, servers: list[Server], exchange: Exchange) -> Server | None:
        """See ``Balancer.pick``."""
        count = len(servers)
        if count < 2:
            return servers[0] if count == 1 else None
        place = int(random() * count)
        other_place = int(random() * (count - 1))
        if other_place >= place:
            other_place += 1
        one, other = servers[place], servers[other_place]
        return other if other.in_flight < one.in_flight else one


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
balancer("p2c")(PowerOfTwoChoices)
