"""maintenance: answers everybody 503 with a page and Retry-After, but for the addresses that may pass.

The address is the connection's (after a PROXY header) unless ``ipStrategy`` names another. Clients that prefer JSON
get JSON. ``enabled: false`` switches it off and leaves it in place. The access log names the cause ``MAINTENANCE``.

    labels:  edgerouter.http.middlewares.closed.maintenance.retryafter=30m
             edgerouter.http.middlewares.closed.maintenance.allow=10.0.0.0/8

    http:
      middlewares:
        closed:
          maintenance:
            retryAfter: 30m
            allow: [10.0.0.0/8, "2001:db8::/32"]
            page: <h1>We are back at noon.</h1>
"""

from __future__ import annotations

from typing import Final

from edgerouter.causes import CONFIGURATION, declare
from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._addresses import ClientAddress, Ranges
from edgerouter.middlewares._addresses_options import IPStrategy
from edgerouter.middlewares._fields import add_vary
from edgerouter.middlewares._kinds import JSON, preferred_kind
from edgerouter.registry import middleware

declare(
    "MAINTENANCE",
    503,
    CONFIGURATION,
    "The middleware maintenance is on and answers for the server.",
    "Turn it off when the work is done, or list your own address in allow.",
)

_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Down for maintenance</title>
<body style="font:1.1em/1.5 system-ui;max-width:34em;margin:20vh auto;padding:0 1em">
<h1>Down for maintenance</h1><p>We are working on it. Please try again later.</p>
"""
_MOST: Final = 1 << 20


class Options(Model, frozen=True):
    """Options of ``maintenance``."""

    # answer so; false lets everybody pass
    enabled: bool = True
    # addresses and ranges that pass
    allow: tuple[str, ...] = ()
    # which address is the client's
    ip_strategy: IPStrategy | None = None
    # when clients shall come again; 0: Retry-After is not sent
    retry_after: Duration = Duration(300)
    # the page, HTML
    page: str = ""
    # a file with the page, at most 1 MB, read when the configuration is
    page_file: str = ""


@middleware("maintenance", Options)
class Maintenance(Middleware):
    """The answer must not be kept by caches: it is wrong as soon as the work is done."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._allowed = Ranges("maintenance: allow", options.allow)
        self._client = ClientAddress("maintenance: ipStrategy", options.ip_strategy)
        if options.page and options.page_file:
            raise ValueError("maintenance: write page or pageFile, not both")
        self._enabled = options.enabled
        self._page = options.page or (_read(options.page_file) if options.page_file else _PAGE)
        self._retry_after = str(max(1, round(options.retry_after))) if options.retry_after > 0 else ""

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        if not self._enabled or self._client.of(exchange) in self._allowed:
            return None
        exchange.cause = "MAINTENANCE"
        exchange.detail = "the middleware maintenance answers for the server"
        if preferred_kind(exchange.request) == JSON:
            answer = Response.text(503, '{"status":503,"cause":"MAINTENANCE"}\n', "application/json")
        else:
            answer = Response.text(503, self._page, "text/html; charset=utf-8")
        headers = answer.headers
        headers.set("Cache-Control", "no-store")
        add_vary(headers, "Accept")
        if self._retry_after:
            headers.set("Retry-After", self._retry_after)
        return answer


def _read(name: str) -> str:
    """The file's text; raises ValueError that does not quote it."""
    try:
        with open(name, "rb") as file:
            data = file.read(_MOST + 1)
        if len(data) > _MOST:
            raise ValueError(f"maintenance: pageFile: {name} is larger than 1 MB")
        return data.decode()
    except OSError as error:
        raise ValueError(f"maintenance: pageFile: {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"maintenance: pageFile: {name} is not UTF-8") from None
