"""The internal service ``noop@internal``: answers 418 in the worker, without a server. Nothing else lives here.

Name: ``noop``. For routers that exist for their middlewares alone, e.g. a redirection.
"""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import PluginContext, Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.registry import service


class Options(Model, frozen=True):
    """``noop`` has no options."""


@service("noop", Options)
class Noop(Service):
    """418 (RFC 9110 section 15.5.19): nobody mistakes it for a server's answer."""

    def __init__(self, options: Options, context: PluginContext, servers: list[Server]) -> None:
        super().__init__(context.name)

    def available(self) -> bool:
        """See ``Service.available``."""
        return True

    def answer(self, exchange: Exchange) -> Response | None:
        """See ``Service.answer``."""
        exchange.service = self.name
        return Response.text(418, "I'm a teapot")
