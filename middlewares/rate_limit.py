"""rateLimit: limits how many requests a client makes in a time, with a token bucket.

A client has ``burst`` tokens and gets ``average`` new ones a ``period``; each request takes one. A request that finds
no token but would get one soon (within half of the time between two tokens, at most half a second) waits for it; others
are answered 429 with Retry-After and X-Retry-In, cause ``RATE_LIMITED``. ``average: 0`` limits nothing.

Without ``sourceCriterion`` a client is the address that the connection comes from. All workers count together; each
router counts for itself, and goes on counting when the configuration changes. With ``redis`` all machines that use the
same Redis count together; it is asked with one command a request. When Redis does not answer, ``redis.onFailure``
decides: ``refuse`` answers 500, cause ``LIMIT_STORE_GONE``; ``allow`` lets all pass. Both are logged, once when Redis
goes and once when it is back; it is tried again once a second.

``rateLimitHeaders`` adds RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers) to responses: ``q`` is
the burst, ``w`` the seconds in which a whole burst comes back, ``r`` what is left, ``t`` the seconds until all is back.

    labels:  edgerouter.http.middlewares.slow.ratelimit.average=100
             edgerouter.http.middlewares.slow.ratelimit.burst=50

    http:
      middlewares:
        slow:
          rateLimit:
            average: 1
            period: 1m
            burst: 3
            sourceCriterion:
              ipStrategy:
                depth: 2
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from hashlib import blake2b

from edgerouter.causes import CLIENT, declare
from edgerouter.clients.redis import RedisError, RedisGone
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._bucket import SECOND, Rate, go_duration, whole_seconds
from edgerouter.middlewares._later import when_free
from edgerouter.middlewares._rate_limit_options import Options
from edgerouter.middlewares._rate_stores import LocalStore, RedisStore, Taken
from edgerouter.middlewares._shared_store import ScriptClient, store_gone
from edgerouter.middlewares._source import find_source
from edgerouter.proxy.failures import answer
from edgerouter.registry import middleware
from edgerouter.telemetry.records import RecordBusy, SharedRecords

__all__ = ["Options", "RateLimit"]

declare(
    "RATE_LIMITED",
    429,
    CLIENT,
    "The client sent more requests than rateLimit allows.",
    "Retry-After in the answer says when to come again; raise average or burst where so many are meant.",
)


class RateLimit(Middleware):
    """One decision, wherever the bucket is kept."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        _check(options)
        self._rate = Rate(options.average, options.period, options.burst)
        self._burst = options.burst
        self._source = find_source("rateLimit: sourceCriterion", options.source_criterion, "address")
        digest = blake2b(repr((options.average, options.period, options.burst)).encode(), digest_size=8).hexdigest()
        name = f"{context.router}\n{context.name}\n{digest}\n"
        self._local = LocalStore(context.shared or SharedRecords(), name, self._rate, context.now)
        self._redis: RedisStore | None = None
        if options.redis is not None:
            self._redis = RedisStore(ScriptClient("rateLimit", options.redis, name), self._rate)
        self._allows = options.redis is not None and options.redis.on_failure == "allow"
        self._slot = context.slot if options.rate_limit_headers else -1
        window = whole_seconds(self._rate.interval * options.burst)
        self._policy = f'"default";q={options.burst};w={window}'

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """See ``Middleware.on_request``."""
        if not self._rate.interval:
            return None
        if self._burst < 1:
            return _too_many(exchange, "rateLimit: burst is 0, so none may pass", "No bursty traffic allowed")
        source = self._source(exchange)
        if self._redis is not None:
            return self._ask_redis(exchange, source, self._redis)
        try:
            taken = self._local.take(source)
        except RecordBusy:
            return self._again(exchange, source)
        if taken.passes and not taken.wait:
            if self._slot >= 0:
                exchange.keep(self._slot, taken.full)
            return None
        return self._decide(exchange, taken)

    def on_response(self, exchange: Exchange) -> None:
        """See ``Middleware.on_response``."""
        if self._slot >= 0:
            full = exchange.slot(self._slot)
            if isinstance(full, int) and exchange.response is not None:
                self._mark(exchange.response, full)

    async def _again(self, exchange: Exchange, source: str) -> Response | None:
        passes = Taken(0, 0, self._rate)
        return await self._waited(self._decide(exchange, await when_free(lambda: self._local.take(source), passes)))

    async def _ask_redis(self, exchange: Exchange, source: str, store: RedisStore) -> Response | None:
        try:
            taken = await store.take(source)
        except (RedisGone, RedisError) as error:
            if self._allows:
                return None
            return store_gone(exchange, "rateLimit", error)
        return await self._waited(self._decide(exchange, taken))

    async def _waited(self, answer: Response | Awaitable[None] | None) -> Response | None:
        if answer is None or isinstance(answer, Response):
            return answer
        await answer
        return None

    def _decide(self, exchange: Exchange, taken: Taken) -> Response | Awaitable[None] | None:
        if taken.passes:
            if self._slot >= 0:
                exchange.keep(self._slot, taken.full)
            return asyncio.sleep(taken.wait / SECOND) if taken.wait else None
        pause = go_duration(taken.wait)
        answer = _too_many(exchange, f"rateLimit: the next token comes in {pause}")
        answer.headers.set("Retry-After", str(whole_seconds(taken.wait)))
        answer.headers.set("X-Retry-In", pause)
        if self._slot >= 0:
            self._mark(answer, taken.full)
        return answer

    def _mark(self, response: Response, full: int) -> None:
        left = self._rate.left(full, 0)
        response.headers.set("RateLimit-Policy", self._policy)
        response.headers.set("RateLimit", f'"default";r={left};t={whole_seconds(full)}')


def _check(options: Options) -> None:
    if options.average < 0:
        raise ValueError(f"rateLimit: average: {options.average} is less than 0; write 0 for no limit")
    if options.period <= 0:
        raise ValueError("rateLimit: period must be more than 0; write e.g. 1s")
    if options.burst < 0:
        raise ValueError(f"rateLimit: burst: {options.burst} is less than 0; write 1 or more")


def _too_many(exchange: Exchange, detail: str, text: str = "Too Many Requests") -> Response:
    return answer(exchange, 429, "RATE_LIMITED", detail, text)


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("rateLimit", Options)(RateLimit)
