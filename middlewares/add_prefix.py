"""addPrefix: puts a prefix before the path before the request goes to the server.

labels:  edgerouter.http.middlewares.add.addprefix.prefix=/foo

http:
  middlewares:
    add:
      addPrefix:
        prefix: /foo
"""

from __future__ import annotations

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.middlewares._add_prefix_options import Options
from edgerouter.middlewares._path import normal_prefix
from edgerouter.registry import middleware

__all__ = ["AddPrefix", "Options"]


class AddPrefix(Middleware):
    """``OPTIONS *`` has no path and is left alone."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if not options.prefix:
            raise ValueError("addPrefix: prefix is empty; write the text to put before the path, e.g. prefix: /foo")
        self._prefix = normal_prefix(options.prefix)

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        if request.path != "*":
            request.path = self._prefix + request.path


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("addPrefix", Options)(AddPrefix)
