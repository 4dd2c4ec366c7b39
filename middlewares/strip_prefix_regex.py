"""stripPrefixRegex: removes from the path what a pattern matches at its beginning, before the request goes on.

The patterns (RE2) are tried in order on the decoded path; the first that matches something at the path's beginning
counts. What was removed is added as X-Forwarded-Prefix. No pattern matches: nothing happens. What is left would hold
empty, ``.`` or ``..`` segments: 400, cause ``BAD_REQUEST_PATH``.

    labels:  edgerouter.http.middlewares.strip.stripprefixregex.regex=/api/[a-z]+,/v[0-9]+

    http:
      middlewares:
        strip:
          stripPrefixRegex:
            regex: ["/api/[a-z]+/[0-9]+"]
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.middlewares._path import take
from edgerouter.middlewares._patterns import compile_pattern
from edgerouter.registry import middleware

_NO_TEXT: Final = re.compile("[\udc80-\udcff]")  # bytes that are no UTF-8, as unquote gives them


class Options(Model, frozen=True):
    """Options of ``stripPrefixRegex``."""

    # the patterns; the first that matches is removed
    regex: tuple[str, ...] = ()


@middleware("stripPrefixRegex", Options)
class StripPrefixRegex(Middleware):
    """Matches the decoded path, cuts the encoded one."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        given = [pattern.strip() for pattern in options.regex]
        self._patterns = [compile_pattern("stripPrefixRegex: regex", pattern) for pattern in given if pattern]

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        plain = unquote(request.path, errors="surrogateescape") if "%" in request.path else request.path
        text = plain if plain.isascii() else _NO_TEXT.sub("\ufffd", plain)
        for pattern in self._patterns:
            if text.isascii() and not pattern.search(text):
                continue  # known sooner than where a match begins
            spans = pattern.find(text)
            if spans is None or spans[0] != 0 or spans[1] == 0:
                continue
            prefix = plain[: spans[1]]
            size = _encoded_size(request.path, prefix)
            shown = prefix if prefix.isascii() and prefix.isprintable() else request.path[:size]
            take(request, request.path[size:], "stripPrefixRegex")
            request.headers.add("X-Forwarded-Prefix", shown)
            return


def _encoded_size(path: str, prefix: str) -> int:
    """How much of an encoded path stands for this decoded beginning of it."""
    left = len(prefix.encode(errors="surrogateescape"))
    size = 0
    while left > 0:
        size += 3 if path[size] == "%" else 1
        left -= 1
    return size
