"""Least time: the server whose answers begin soonest, its requests in flight and its weight considered. Compiled.

Name: ``leasttime`` (``loadBalancer.strategy``). The server with the least

    mean time to the response's head, of the last 100 * (1 + requests in flight) / weight

is picked; of equals each in turn. Each worker measures for itself. A server that was never asked is asked once before
others; while its answer is awaited, and after a failure, it counts as slow as the best or the worst of the others. One
that got none of the last 200 requests gets the next, and is measured anew: a server that was slow once is found to be
quick again.

    labels:  edgerouter.http.services.shop.loadbalancer.strategy=leasttime
"""

from __future__ import annotations

from typing import Final

from edgerouter.contracts.plugins import Balancer, Server
from edgerouter.http.exchange import Exchange
from edgerouter.registry import balancer

_SAMPLES: Final = 100
_TRIAL: Final = 200  # requests to others after which a server is tried again
_FAILED: Final = 10.0  # a server that failed counts as so many times slower than the slowest


class Times:
    """What is known of one server: the last samples, in a ring."""

    def __init__(self, turn: int) -> None:
        self.samples: list[float] = []
        self.sum = 0.0
        self.at = 0
        self.picked = turn  # the turn in which it was last picked
        self.asked = False
        self.failed = False

    def mean(self) -> float:
        """Seconds, 0.0 when there is no sample."""
        count = len(self.samples)
        return self.sum / count if count else 0.0

    def add(self, seconds: float) -> None:
        """Take a sample; the oldest one goes when there are enough."""
        self.failed = False
        if len(self.samples) < _SAMPLES:
            self.samples.append(seconds)
            self.sum += seconds
            return
        self.samples[self.at] = seconds
        self.at = (self.at + 1) % _SAMPLES
        # Summed anew once a round: what floating point loses does not add up.
        self.sum = sum(self.samples)

    def forget(self) -> None:
        """Begin anew."""
        self.samples = []
        self.sum = 0.0
        self.at = 0


class LeastTime(Balancer):
    """``_times`` is by address: it outlives a list of servers that is replaced."""

    def __init__(self) -> None:
        self.timed = True
        self._times: dict[str, Times] = {}
        self._servers: list[Server] = []
        self._members: list[Times] = []
        self._turn = 0

    def pick(self, servers: list[Server], exchange: Exchange) -> Server | None:
        """See ``Balancer.pick``."""
        if servers is not self._servers:
            self._assign(servers)
        count = len(servers)
        if count == 0:
            return None
        self._turn += 1
        chosen = self._best(servers, count)
        times = self._members[chosen]
        if times.asked and self._turn - times.picked > _TRIAL:
            times.forget()
        times.asked = True
        times.picked = self._turn
        return servers[chosen]

    def responded(self, server: Server, seconds: float) -> None:
        """See ``Balancer.responded``."""
        times = self._times.get(server.url)
        if times is not None:
            times.add(seconds)

    def failed(self, server: Server) -> None:
        """See ``Balancer.failed``."""
        times = self._times.get(server.url)
        if times is not None:
            times.forget()
            times.failed = True

    def _assign(self, servers: list[Server]) -> None:
        old = self._times
        self._servers = servers
        self._times = {server.url: old.get(server.url) or Times(self._turn) for server in servers}
        self._members = [self._times[server.url] for server in servers]

    def _best(self, servers: list[Server], count: int) -> int:
        quickest, slowest = self._extremes()
        chosen, least = -1, 0.0
        for step in range(count):
            index = (self._turn + step) % count
            server, times = servers[index], self._members[index]
            if not times.asked or self._turn - times.picked > _TRIAL:
                return index
            seconds = slowest * _FAILED if times.failed else times.mean() or quickest
            score = seconds * (1 + server.in_flight) / max(server.weight, 1)
            if chosen < 0 or score < least:
                chosen, least = index, score
        return chosen

    def _extremes(self) -> tuple[float, float]:
        """The least and the greatest mean; a second each while nothing is measured."""
        means = [mean for mean in [times.mean() for times in self._members] if mean > 0.0]
        return (min(means), max(means)) if means else (1.0, 1.0)


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
balancer("leasttime")(LeastTime)
