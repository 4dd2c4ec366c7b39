"""Who counts as one client for the limits (Traefik's ``sourceCriterion``): an address, a field's value, or a host."""

from __future__ import annotations

from collections.abc import Callable

from edgerouter.http.exchange import Exchange
from edgerouter.middlewares._addresses import ClientAddress
from edgerouter.middlewares._source_options import SourceCriterion


def find_source(option: str, criterion: SourceCriterion | None, otherwise: str) -> Callable[[Exchange], str]:
    """What tells clients apart; ``otherwise`` is "host" or "address". Raises ValueError."""
    given = criterion or SourceCriterion()
    set_ones = [given.ip_strategy is not None, bool(given.request_header_name), given.request_host]
    if sum(set_ones) > 1:
        raise ValueError(f"{option}: keep one of ipStrategy, requestHeaderName and requestHost")
    if given.request_header_name:
        return _field(given.request_header_name)
    if given.request_host or (not any(set_ones) and otherwise == "host"):
        return _host
    return ClientAddress(f"{option}.ipStrategy", given.ip_strategy).of


def _host(exchange: Exchange) -> str:
    return exchange.request.host


def _field(name: str) -> Callable[[Exchange], str]:
    def value(exchange: Exchange) -> str:
        return exchange.request.headers.get(name) or ""

    return value
