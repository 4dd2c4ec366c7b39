"""How the tests of middlewares make a middleware from plain options, and a request for it. Nothing is mocked: these
are the objects that the engine hands to a step."""

from __future__ import annotations

from typing import Any

import msgspec

from edgerouter.config.types import decode_hook
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.registry import load


class Clock:
    """The loop's clock, set by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def make(
    kind: str, options: dict[str, Any], shared: Any = None, now: Any = None, router: str = "web@file", slot: int = 0
) -> Middleware:
    """As a worker does it."""
    plugin = load("middlewares")[kind]
    decoded = msgspec.convert(options, plugin.options, dec_hook=decode_hook)
    context = PluginContext(f"{kind}@file", router, "shop@file", lambda name: None, shared, now or Clock(), slot)
    made: Middleware = plugin.cls(decoded, context)
    return made


def ask(
    method: str = "GET",
    target: str = "/",
    host: str = "acme.com",
    headers: dict[str, str] | None = None,
    scheme: str = "http",
) -> Exchange:
    """An exchange as it comes from the codec: the path normalised, the query apart."""
    request = Request(method, target.encode(), host, Headers.of(list((headers or {}).items())))
    request.path, mark, request.query = target.partition("?")
    request.has_query = bool(mark)
    request.host = host.rsplit(":", 1)[0].lower()
    request.scheme = scheme
    return Exchange(request)


def answered(exchange: Exchange, status: int = 200, headers: dict[str, str] | None = None) -> Exchange:
    """The same exchange once a server has answered."""
    exchange.response = Response.text(status, "hello")
    for name, value in (headers or {}).items():
        exchange.response.headers.set(name, value)
    return exchange
