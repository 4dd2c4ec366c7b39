"""``Method(`POST`)``: the request's method; the argument's case does not matter."""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules.predicates import Clause


class Method(Clause):
    """The exact method (RFC 9110 section 9.1: methods are case-sensitive)."""

    def __init__(self, args: list[str]) -> None:
        self.method = args[0].upper()

    def test(self, exchange: Exchange) -> bool:
        """Compare with the request's."""
        return exchange.request.method == self.method


matcher("Method", arity=1)(Method)  # by a call: a decorated class would not be native when compiled
