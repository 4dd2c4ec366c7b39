"""A request of a middleware's own, made from the client's: who asks stays visible, what is about its body does not."""

from __future__ import annotations

from typing import Final

from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request

_PEER: Final = "X-Forwarded-For"
# What describes the client's body, or asks for less than the whole page.
_NOT_OURS: Final = ("if-", "range", "content-", "expect", "x-http-method")


def side_request(exchange: Exchange, target: str, only: frozenset[str] | None = None) -> Request:
    """GET ``target`` at the client's host; ``only``: the client's fields that go along, in lower case (None: all)."""
    given = exchange.request
    headers = Headers()
    for name, value in given.headers.items():
        low = name.lower()
        if low != "x-forwarded-for" and not low.startswith(_NOT_OURS) and (only is None or low in only):
            headers.add(name, value)
    if only is None or "x-forwarded-for" in only:
        _keep_chain(exchange, headers)
    request = Request("GET", target.encode("latin-1", "replace"), given.authority, headers)
    request.path, mark, request.query = target.partition("?")
    request.has_query = bool(mark)
    request.host, request.scheme = given.host, given.scheme
    return request


def _keep_chain(exchange: Exchange, headers: Headers) -> None:
    """X-Forwarded-For without the peer, which the engine appends to every request that it sends."""
    chain = [part.strip() for line in exchange.request.headers.get_all(_PEER) for part in line.split(",")]
    if exchange.server_url and chain and chain[-1] == exchange.client_address:
        chain.pop()
    if chain:
        headers.set(_PEER, ", ".join(chain))
