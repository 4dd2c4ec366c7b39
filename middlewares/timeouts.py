"""timeouts: how long requests of one router may take, step by step; the answer and the cause say which limit passed.

``connect`` is the time until a connection to the server stands (504, cause ``CONNECT_TIMEOUT``; another server of the
service is tried first). ``firstByte`` runs from the end of the request to the head of the response (504,
``RESPONSE_TIMEOUT``). ``idle`` is the longest time in which no byte of a body comes from either side, WebSockets
included (``IDLE_TIMEOUT``). ``total`` is the longest time of the whole exchange, from its head on, other middlewares
and retries included, WebSockets excepted (``TOTAL_TIMEOUT``). A response that has begun when ``idle`` or ``total``
passes is broken off, and the client's connection with it, so that nobody takes it for whole; before that the answer is
504.

Where the serversTransport has limits too (``dialTimeout``, ``responseHeaderTimeout``) the shorter ones count. ``idle``
is found out at most half of it late. Of several ``timeouts`` in one router the innermost counts.

    labels:  edgerouter.http.middlewares.quick.timeouts.connect=2s
             edgerouter.http.middlewares.quick.timeouts.total=30s

    http:
      middlewares:
        quick:
          timeouts:
            connect: 2s
            firstByte: 10s
            idle: 30s
            total: 120s
"""

from __future__ import annotations

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.exchange import Timeouts as Limits
from edgerouter.middlewares._timeouts_options import Options
from edgerouter.registry import middleware

__all__ = ["Options", "Timeouts"]


class Timeouts(Middleware):
    """Hands the limits to the engine, which watches."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        limits = (options.connect, options.first_byte, options.idle, options.total)
        if min(limits) < 0 or max(limits) <= 0:
            raise ValueError("timeouts: write at least one of connect, firstByte, idle and total, e.g. total: 30s")
        self._limits = Limits(*(float(limit) for limit in limits))

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        exchange.timeouts = self._limits


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("timeouts", Options)(Timeouts)
