"""failover: one service answers; another one does while that has no server that is up, or where it answers badly.

Health is what ``healthCheck`` and ``passiveHealthCheck`` of the load balancers below say. With ``errors.status`` a
request that got such an answer (one of our own, as 502, included) is sent again, to the fallback: its body is
remembered in passing, up to 4 MB; with ``errors.maxRequestBodyBytes`` it is read first, and a longer one is refused
(413). When neither can answer: 503.

    http:
      services:
        shop:
          failover:
            service: shop-main
            fallback: shop-backup
            errors:
              status: ["500-599"]
"""

from __future__ import annotations

from typing import Final

from edgerouter.contracts.plugins import Middleware, PluginContext, Resend, Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.http.statuses import parse_statuses
from edgerouter.registry import service
from edgerouter.services._children import Branch
from edgerouter.services._failover_options import Errors, Options
from edgerouter.services._options import qualified

__all__ = ["Failover", "Options"]

KEPT: Final = 4 << 20  # bytes of a body that is remembered where no limit is given
_FIRST: Final = "first"
_FALLBACK: Final = "fallback"


@service("failover", Options)
class Failover(Branch):
    """A branch of the service tree with two children, in this order."""

    def __init__(self, options: Options, context: PluginContext, servers: list[Server]) -> None:
        names = [qualified(name, context.name) for name in (options.service, options.fallback)]
        super().__init__(context, [(name, 1) for name in names])
        if options.errors is not None and options.errors.status:
            self.steps = [BadAnswers(self.name, names[1], options.errors, context)]

    def below(self, exchange: Exchange) -> Service:
        """See ``Service.below``."""
        for word, (name, _) in zip((_FIRST, _FALLBACK), self.children, strict=True):
            child = self._find(name)
            if child is not None and child.available():
                exchange.chose(self.name, word)
                return child
        return self


class BadAnswers(Middleware):
    """Sends a request that was answered badly to the fallback, once."""

    def __init__(self, name: str, fallback: str, errors: Errors, context: PluginContext) -> None:
        super().__init__()
        self._name = name
        self._fallback = fallback
        self._find = context.find_service
        self._statuses = parse_statuses("errors.status", errors.status)
        limit = errors.max_request_body_bytes
        self.keep_body = KEPT if limit < 0 else max(limit, 1)
        self.needs_body = 0 if limit < 0 else max(limit, 1)

    def on_response(self, exchange: Exchange) -> Resend | None:
        """See ``Middleware.on_response``."""
        response = exchange.response
        if response is None or response.status not in self._statuses or exchange.choice(self._name) != _FIRST:
            return None
        fallback = self._find(self._fallback)
        if fallback is None or not fallback.available():
            return None
        exchange.chose(self._name, _FALLBACK)
        return Resend(self, self._fallback)
