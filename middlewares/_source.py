"""Who counts as one client for the limits (Traefik's ``sourceCriterion``): an address, a field's value, or a host."""

from __future__ import annotations

from collections.abc import Callable

from edgerouter.config.dynamic import Model
from edgerouter.http.exchange import Exchange
from edgerouter.middlewares._addresses import ClientAddress, IPStrategy


class SourceCriterion(Model, frozen=True):
    """What is counted together; one of the three."""

    ip_strategy: IPStrategy | None = None
    # requests with one value of this header field count together; those without the field, too
    request_header_name: str = ""
    # requests to one host count together
    request_host: bool = False


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
