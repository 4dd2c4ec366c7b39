"""errors: puts the page of a service in the place of responses with the listed statuses; the status stays.

The page is fetched with GET, the client's Host and fields (or only ``errorRequestHeaders``). ``query`` is its path:
``{status}`` stands for the status, ``{originalStatus}`` for the one before ``statusRewrites``, ``{url}`` for path and
query of the request, escaped. Fields and body of the page replace those of the response, but for WWW-Authenticate,
Allow and Retry-After, without which 401, 405 and 503 are incomplete. Whatever status the page itself has does not
matter; if its service cannot be reached or gives no page within 30 seconds, the response stays as it was.

    labels:  edgerouter.http.middlewares.pages.errors.status=404,500-599
             edgerouter.http.middlewares.pages.errors.service=pages
             edgerouter.http.middlewares.pages.errors.query=/{status}.html

    http:
      middlewares:
        pages:
          errors:
            status: ["404", "500-599"]
            statusRewrites: {"500-503": 500}
            service: pages
            query: /{status}.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final
from urllib.parse import quote_plus

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Request, Response
from edgerouter.http.statuses import parse_statuses
from edgerouter.middlewares._side import side_request
from edgerouter.registry import middleware
from edgerouter.rules.text import normal_path

_KEPT: Final = ("WWW-Authenticate", "Proxy-Authenticate", "Allow", "Retry-After")
_PATIENCE: Final = 30.0


class Options(Model, frozen=True):
    """Options of ``errors``."""

    # statuses whose responses are replaced: 404, 500-599
    status: tuple[str, ...] = ()
    # statuses or ranges, and the status that is sent in their place
    status_rewrites: dict[str, int] = {}
    # the service that has the pages
    service: str = ""
    # path and query of the page; {status}, {originalStatus} and {url} are replaced
    query: str = "/"
    # fields of the client's request that go along; all when absent
    error_request_headers: tuple[str, ...] | None = None


@middleware("errors", Options)
class Errors(Middleware):
    """The URL is kept as the request comes in, since inner steps may edit it."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if not options.service:
            raise ValueError("errors: service is empty; name the one that has the pages")
        if not options.status:
            raise ValueError('errors: status is empty; write e.g. status: ["500-599"]')
        self._statuses = parse_statuses("errors: status", options.status)
        self._rewrites = _rewrites(options.status_rewrites)
        self._service = options.service
        self._query = options.query if options.query.startswith("/") else f"/{options.query}"
        wanted = options.error_request_headers
        self._fields = None if wanted is None else frozenset(name.lower() for name in wanted)
        self._slot = context.slot

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        if "{url}" in self._query:
            exchange.keep(self._slot, exchange.request.target_text())

    def on_response(self, exchange: Exchange) -> Awaitable[None] | None:
        """See ``Middleware.on_response``."""
        response = exchange.response
        if response is None or response.status not in self._statuses:
            return None
        return self._replace(exchange, response)

    async def _replace(self, exchange: Exchange, response: Response) -> None:
        original = response.status
        status = self._rewrites.get(original, original)
        page: Response | None = None
        try:
            async with asyncio.timeout(_PATIENCE):
                page = await exchange.fetch(self._service, self._request(exchange, status, original))
        except TimeoutError:
            pass
        if page is None or page.cause:
            response.reason = response.reason if status == original else b""
            response.status = status
            return
        page.status, page.reason = status, b""
        for name in _KEPT:
            for value in response.headers.get_all(name):
                if name not in page.headers:
                    page.headers.add(name, value)
        if response.body is not None:
            response.body.abandon()
        exchange.response = page

    def _request(self, exchange: Exchange, status: int, original: int) -> Request:
        url = exchange.slot(self._slot)
        target = self._query.replace("{status}", str(status)).replace("{originalStatus}", str(original))
        if isinstance(url, str):
            target = target.replace("{url}", quote_plus(url))
        path, mark, query = target.partition("?")
        return side_request(exchange, f"{normal_path(path)}{mark}{query}", self._fields)


def _rewrites(given: dict[str, int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for text, status in given.items():
        if not 200 <= status <= 599:
            raise ValueError(f"errors: statusRewrites: {status} is no status to answer with; write 200 to 599")
        found.update(dict.fromkeys(parse_statuses("errors: statusRewrites", (text,)), status))
    return found
