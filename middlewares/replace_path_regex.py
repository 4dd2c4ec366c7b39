"""replacePathRegex: rewrites the path with a pattern before the request goes to the server.

The pattern (RE2) is looked for in the path as it is forwarded, percent-encoded, without the query; every match is
replaced, ``$1`` and ``${name}`` stand for groups. The old path is in X-Replaced-Path. No match: nothing happens. A
result with empty, ``.`` or ``..`` segments or a broken escape: 400, cause ``BAD_REQUEST_PATH``.

    labels:  edgerouter.http.middlewares.move.replacepathregex.regex=^/foo/(.*)
             edgerouter.http.middlewares.move.replacepathregex.replacement=/bar/$1

    http:
      middlewares:
        move:
          replacePathRegex:
            regex: ^/foo/(.*)
            replacement: /bar/$1
"""

from __future__ import annotations

import re
from typing import Final

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.errors import BadRequest
from edgerouter.http.exchange import Exchange
from edgerouter.middlewares._path import checked, normal_prefix
from edgerouter.middlewares._patterns import compile_pattern
from edgerouter.registry import middleware

_BROKEN_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")


class Options(Model, frozen=True):
    """Options of ``replacePathRegex``."""

    # the pattern
    regex: str = ""
    # what stands in place of each match; $1 and ${name} are groups
    replacement: str = ""


@middleware("replacePathRegex", Options)
class ReplacePathRegex(Middleware):
    """A client's own X-Replaced-Path does not get through where the path is replaced."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if not options.regex:
            raise ValueError("replacePathRegex: regex is empty; write a pattern, e.g. regex: ^/foo/(.*)")
        self._regex = compile_pattern("replacePathRegex: regex", options.regex)
        self._replacement = options.replacement

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        old = request.path
        if not self._regex.search(old):
            return
        new = self._regex.replace(old, self._replacement)
        if _BROKEN_ESCAPE.search(new):
            raise BadRequest(f"replacePathRegex: the path would become {new!r}", "BAD_REQUEST_PATH")
        request.path = checked(normal_prefix(new.encode("latin-1").decode("utf-8", "replace")), "replacePathRegex")
        request.headers.set("X-Replaced-Path", old)
