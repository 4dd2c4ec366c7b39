"""replacePath: replaces the whole path before the request goes to the server.

The query stays. The path that the client asked for is in X-Replaced-Path.

    labels:  edgerouter.http.middlewares.page.replacepath.path=/index.html

    http:
      middlewares:
        page:
          replacePath:
            path: /index.html
"""

from __future__ import annotations

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.middlewares._path import normal_prefix
from edgerouter.middlewares._replace_path_options import Options
from edgerouter.registry import middleware

__all__ = ["Options", "ReplacePath"]


class ReplacePath(Middleware):
    """A client's own X-Replaced-Path does not get through."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if not options.path:
            raise ValueError("replacePath: path is empty; write the one that servers shall see, e.g. path: /index.html")
        self._path = normal_prefix(options.path)

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        request.headers.set("X-Replaced-Path", request.path)
        request.path = self._path


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("replacePath", Options)(ReplacePath)
