"""redirectScheme: sends clients to the same URL with another scheme or port, e.g. from http to https.

GET is answered 302 (301 when permanent), other methods 307 (308). A request that has the scheme and port already goes
on. The scheme's own port (80, 443) is left out of Location. The client's scheme is X-Forwarded-Proto where a trusted
proxy set it.

    labels:  edgerouter.http.middlewares.secure.redirectscheme.scheme=https
             edgerouter.http.middlewares.secure.redirectscheme.permanent=true

    http:
      middlewares:
        secure:
          redirectScheme:
            scheme: https
            permanent: true
"""

from __future__ import annotations

import re
from typing import Final

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.errors import BadRequest
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._redirect import client_url, make_url, redirect, split_authority
from edgerouter.registry import middleware

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")  # RFC 3986 section 3.1


class Options(Model, frozen=True):
    """Options of ``redirectScheme``."""

    # the scheme to redirect to: http or https
    scheme: str = ""
    # the port to redirect to; the scheme's own when absent
    port: str = ""
    # answer 301 or 308 instead of 302 or 307: clients remember it
    permanent: bool = False


@middleware("redirectScheme", Options)
class RedirectScheme(Middleware):
    """Answers all that is not yet at the wanted scheme and port."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if not options.scheme:
            raise ValueError("redirectScheme: scheme is empty; write scheme: https")
        if not _SCHEME.fullmatch(options.scheme):
            raise ValueError(f"redirectScheme: scheme: {options.scheme!r} is none; write scheme: https")
        if options.port and not (options.port.isdigit() and 0 < int(options.port) < 65536):
            raise ValueError(f"redirectScheme: port: {options.port!r} is no port; write a number from 1 to 65535")
        self._scheme = options.scheme
        self._port = options.port
        self._permanent = options.permanent

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        if not request.authority:
            raise BadRequest("redirectScheme: the request names no host to redirect to", "BAD_REQUEST_HOST")
        host, _ = split_authority(request.authority)
        location = make_url(self._scheme, host, self._port, request.target_text())
        if location == client_url(request):
            return None
        return redirect(request, location, self._permanent)
