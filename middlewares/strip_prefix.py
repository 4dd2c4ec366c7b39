"""stripPrefix: removes a prefix from the path before the request goes to the server.

The first prefix that the path begins with is removed, letter by letter: ``/foo`` turns ``/foobar`` into ``/bar``. What
was removed is added as X-Forwarded-Prefix. No prefix matches: nothing happens. What is left would hold empty, ``.`` or
``..`` segments: 400, cause ``BAD_REQUEST_PATH``.

    labels:  edgerouter.http.middlewares.strip.stripprefix.prefixes=/api,/old

    http:
      middlewares:
        strip:
          stripPrefix:
            prefixes: [/api, /old]
"""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.middlewares._path import checked, normal_prefix
from edgerouter.registry import middleware


class Options(Model, frozen=True):
    """Options of ``stripPrefix``."""

    # the prefixes; the first that matches is removed
    prefixes: tuple[str, ...] = ()


@middleware("stripPrefix", Options)
class StripPrefix(Middleware):
    """Edits ``request.path``; the client's target stays as it was."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        given = [prefix.strip() for prefix in options.prefixes]
        self._prefixes = [(normal_prefix(prefix), prefix) for prefix in given if prefix]

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        for prefix, shown in self._prefixes:
            if request.path.startswith(prefix):
                request.path = checked(request.path[len(prefix) :], "stripPrefix")
                request.headers.add("X-Forwarded-Prefix", shown if shown.isascii() else prefix)
                return
