"""The internal service ``ping@internal``: answers in the worker, without a server. Nothing else lives here.

Name: ``ping``. Answers 200 ``OK`` while the router runs; while it shuts down, ``terminating_status``, so that load
balancers in front look elsewhere (static option ``ping.terminatingStatusCode``, 503).
"""

from __future__ import annotations

from http import HTTPStatus

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import PluginContext, Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.registry import service


class Options(Model, frozen=True):
    """Options of ``ping``."""

    # status while the router shuts down
    terminating_status: int = 503


@service("ping", Options)
class Ping(Service):
    """``terminating``: set by the worker when it begins to drain."""

    def __init__(self, options: Options, context: PluginContext, servers: list[Server]) -> None:
        super().__init__(context.name)
        self.terminating = False
        self._terminating_status = options.terminating_status

    def available(self) -> bool:
        """See ``Service.available``."""
        return True

    def answer(self, exchange: Exchange) -> Response | None:
        """See ``Service.answer``."""
        exchange.service = self.name
        status = self._terminating_status if self.terminating else 200
        return Response.text(status, HTTPStatus(status).phrase if status in _PHRASES else str(status))


_PHRASES = frozenset(int(status) for status in HTTPStatus)
