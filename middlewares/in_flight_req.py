"""inFlightReq: limits how many requests of one client, or to one host, are under way at the same time.

A request counts from here until its response is complete (a WebSocket until it ends), over all workers together. What
would be more than ``amount`` is answered 429, cause ``TOO_MANY_IN_FLIGHT``. Without ``sourceCriterion`` requests to one
host count together. Each router counts for itself; what is under way goes on counting when the configuration changes,
and what a worker held that died does not count any more.

With ``redis`` all machines that use the same Redis count together: each request has a lease of 30 seconds there,
renewed while it lasts, so what a machine held that died does not count any more half a minute later. When Redis does
not answer, ``redis.onFailure`` decides: ``refuse`` answers 500, cause ``LIMIT_STORE_GONE``; ``allow`` lets all pass,
uncounted.

    labels:  edgerouter.http.middlewares.few.inflightreq.amount=10
             edgerouter.http.middlewares.few.inflightreq.sourcecriterion.ipstrategy.depth=1

    http:
      middlewares:
        few:
          inFlightReq:
            amount: 10
            sourceCriterion:
              requestHeaderName: X-User
"""

from __future__ import annotations

from collections.abc import Awaitable

from edgerouter.causes import CLIENT, declare
from edgerouter.clients.redis import RedisError, RedisGone
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._in_flight_req_options import Options
from edgerouter.middlewares._in_flight_store import Leases
from edgerouter.middlewares._later import when_free
from edgerouter.middlewares._shared_store import ScriptClient, store_gone
from edgerouter.middlewares._source import find_source
from edgerouter.proxy.failures import answer
from edgerouter.registry import middleware
from edgerouter.telemetry.keyed import Holds
from edgerouter.telemetry.records import RecordBusy, SharedRecords

__all__ = ["InFlightReq", "Options"]

declare(
    "TOO_MANY_IN_FLIGHT",
    429,
    CLIENT,
    "As many requests as inFlightReq allows are under way already.",
    "Raise amount, or look at why the requests take so long.",
)


class InFlightReq(Middleware):
    """The exchange's slot keeps what was taken, so that it is given back once, however often a retry comes by."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if options.amount < 0:
            raise ValueError(f"inFlightReq: amount: {options.amount} is less than 0; write how many may pass")
        self._amount = options.amount
        self._source = find_source("inFlightReq: sourceCriterion", options.source_criterion, "host")
        self._name = f"{context.router}\n{context.name}\n"
        self._shared: SharedRecords = context.shared or SharedRecords()
        self._slot = context.slot
        self._holds: Holds | None = None
        self._leases: Leases | None = None
        if options.redis is not None:
            self._leases = Leases(ScriptClient("inFlightReq", options.redis, self._name))
        self._allows = options.redis is not None and options.redis.on_failure == "allow"

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """See ``Middleware.on_request``."""
        if exchange.slot(self._slot) is not None:
            return None
        if self._leases is not None:
            return self._ask_redis(exchange, self._leases)
        try:
            return self._decide(exchange, self._take(self._source(exchange)))
        except RecordBusy:
            return self._again(exchange)

    async def _ask_redis(self, exchange: Exchange, leases: Leases) -> Response | None:
        try:
            lease = await leases.take(self._source(exchange), self._amount)
        except (RedisGone, RedisError) as error:
            return None if self._allows else store_gone(exchange, "inFlightReq", error)
        if lease is None:
            return self._decide(exchange, -1)
        exchange.keep(self._slot, lease)
        return None

    async def _again(self, exchange: Exchange) -> Response | None:
        source = self._source(exchange)
        return self._decide(exchange, await when_free(lambda: self._take(source), -2))

    def _decide(self, exchange: Exchange, entry: int) -> Response | None:
        if entry == -1:
            detail = f"inFlightReq: {self._amount} requests are under way already"
            text = f"max connections reached: {self._amount}"
            return answer(exchange, 429, "TOO_MANY_IN_FLIGHT", detail, text)
        if entry >= 0:
            exchange.keep(self._slot, entry)
        return None

    def on_end(self, exchange: Exchange) -> None:
        """See ``Middleware.on_end``."""
        entry = exchange.slot(self._slot)
        if isinstance(entry, int) and self._holds is not None:
            self._holds.give(entry)
        elif isinstance(entry, tuple) and self._leases is not None:
            self._leases.give(entry)

    def _take(self, source: str) -> int:
        holds = self._holds
        if holds is None:
            holds = self._holds = Holds(self._shared)
        number = holds.number_of(self._name, source)
        return holds.take(number, self._amount)


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("inFlightReq", Options)(InFlightReq)
