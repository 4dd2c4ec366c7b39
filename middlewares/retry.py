"""retry: sends a request again when no server could be reached, or when the answer has a listed status.

No server reached means that nothing of the request was written: then any method is tried again. By status only
idempotent methods are (RFC 9110 section 9.2.2), unless ``retryNonIdempotentMethod``. The balancer picks anew. Never
once a byte of a response went to the client, nor when the request's body is larger than ``maxRequestBodyBytes``.

    labels:  edgerouter.http.middlewares.again.retry.attempts=3
             edgerouter.http.middlewares.again.retry.initialinterval=100ms

    http:
      middlewares:
        again:
          retry:
            attempts: 3
            status: ["502-504"]
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from edgerouter.contracts.plugins import Middleware, PluginContext, Resend
from edgerouter.http.exchange import Exchange
from edgerouter.http.statuses import parse_statuses
from edgerouter.middlewares._retry_options import Options
from edgerouter.registry import middleware

__all__ = ["Options", "Retry"]

_IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
_UNREACHED: Final = frozenset(("CONNECT_REFUSED", "CONNECT_TIMEOUT"))


class Retry(Middleware):
    """The number of attempts and the time of the first are kept in the exchange's slot."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if options.attempts < 1:
            raise ValueError("retry: attempts is the number of times a request is sent; write 2 or more")
        if options.disable_retry_on_network_error and not options.status:
            raise ValueError("retry: nothing would be tried again; write status, e.g. status: [503]")
        self.keep_body = max(0, options.max_request_body_bytes)
        self._statuses = parse_statuses("retry: status", options.status)
        self._options = options
        self._slot = context.slot
        self._now = context.now

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        exchange.keep(self._slot, (1, self._now()))

    def on_response(self, exchange: Exchange) -> Resend | Awaitable[Resend | None] | None:
        """See ``Middleware.on_response``."""
        kept = exchange.slot(self._slot)
        if not isinstance(kept, tuple) or not self._wants(exchange):
            return None
        attempts, began = kept
        options = self._options
        pause = options.initial_interval * 2 ** (attempts - 1)
        if attempts >= options.attempts or (options.timeout and self._now() + pause - began > options.timeout):
            return None
        exchange.keep(self._slot, (attempts + 1, began))
        return self._later(pause) if pause else Resend(self)

    async def _later(self, pause: float) -> Resend | None:
        await asyncio.sleep(pause)
        return Resend(self)

    def _wants(self, exchange: Exchange) -> bool:
        if exchange.cause in _UNREACHED:
            return not self._options.disable_retry_on_network_error
        response = exchange.response
        if response is None or response.status not in self._statuses:
            return False
        return self._options.retry_non_idempotent_method or exchange.request.method in _IDEMPOTENT


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("retry", Options)(Retry)
