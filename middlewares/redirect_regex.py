"""redirectRegex: sends clients to another URL, made from theirs with a pattern.

The pattern (RE2) is looked for in the whole URL, ``scheme://host[:port]/path?query``; every match is replaced, ``$1``
and ``${name}`` stand for groups. No match, or the same URL again: the request goes on. GET is answered 302 (301 when
permanent), other methods 307 (308).

    labels:  edgerouter.http.middlewares.www.redirectregex.regex=^https?://www\\.(.*)
             edgerouter.http.middlewares.www.redirectregex.replacement=https://${1}

    http:
      middlewares:
        www:
          redirectRegex:
            regex: ^https?://www\\.(.*)
            replacement: https://${1}
"""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._patterns import compile_pattern
from edgerouter.middlewares._redirect import client_scheme, redirect
from edgerouter.registry import middleware


class Options(Model, frozen=True):
    """Options of ``redirectRegex``."""

    # the pattern
    regex: str = ""
    # what stands in place of each match; $1 and ${name} are groups
    replacement: str = ""
    # answer 301 or 308 instead of 302 or 307: clients remember it
    permanent: bool = False


@middleware("redirectRegex", Options)
class RedirectRegex(Middleware):
    """Answers what the pattern matches."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if not options.regex or not options.replacement:
            raise ValueError("redirectRegex: write both regex and replacement, e.g. replacement: https://${1}")
        if any(character < " " or character == "\x7f" for character in options.replacement):
            raise ValueError(f"redirectRegex: replacement: {options.replacement!r} holds a line break; leave it out")
        self._regex = compile_pattern("redirectRegex: regex", options.regex)
        self._replacement = options.replacement
        self._permanent = options.permanent

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        url = f"{client_scheme(request)}://{request.authority}{request.target_text()}"
        if not self._regex.search(url):
            return None
        location = self._regex.replace(url, self._replacement).replace(" ", "%20")
        return None if location == url else redirect(request, location, self._permanent)
