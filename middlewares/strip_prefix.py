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

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Field
from edgerouter.middlewares._path import normal_prefix, take
from edgerouter.middlewares._strip_prefix_options import Options
from edgerouter.registry import middleware

__all__ = ["Options", "StripPrefix"]


class StripPrefix(Middleware):
    """Edits ``request.path``; the client's target stays as it was."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        given = [prefix.strip() for prefix in options.prefixes]
        self._prefixes = [Prefix(prefix) for prefix in given if prefix]

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        path = request.path
        for prefix in self._prefixes:
            if path.startswith(prefix.text):
                take(request, path[len(prefix.text) :], "stripPrefix")
                request.headers.append(prefix.field)
                return


class Prefix:
    """``text`` as a request's path would show it, and the field that tells what was removed. Raises ValueError."""

    def __init__(self, given: str) -> None:
        self.text = normal_prefix(given)
        self.field = Field("X-Forwarded-Prefix", given if given.isascii() else self.text)


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("stripPrefix", Options)(StripPrefix)
