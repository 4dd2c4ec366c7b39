"""``Query(`version`, `2`)``: one of the parameter's values is exactly this; ``Query(`debug`)``: it is there, empty."""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules.predicates import Clause
from edgerouter.rules.query import query_values
from edgerouter.rules.text import as_carried


class Query(Clause):
    """A parameter's name and value, both decoded."""

    def __init__(self, args: list[str]) -> None:
        self.name = as_carried(args[0])
        self.value = as_carried(args[1]) if len(args) > 1 else ""

    def test(self, exchange: Exchange) -> bool:
        """Any of the values."""
        return self.value in query_values(exchange.request.query, self.name)


matcher("Query", arity=1, most=2)(Query)  # by a call: a decorated class would not be native when compiled
