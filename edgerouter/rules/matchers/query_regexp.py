"""``QueryRegexp(`id`, `^[0-9]+$`)``: a Go regular expression, not anchored, on each value of the parameter.

With one argument it is the same as ``Query``.
"""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules import go_regex
from edgerouter.rules.predicates import Clause
from edgerouter.rules.query import query_values
from edgerouter.rules.text import as_carried


class QueryRegexp(Clause):
    """A parameter's name and a pattern."""

    def __init__(self, args: list[str]) -> None:
        self.name = as_carried(args[0])
        self.regex = go_regex.compile(args[1] if len(args) > 1 else "^$", 1)

    def test(self, exchange: Exchange) -> bool:
        """Any of the values."""
        return self.regex.search_any(query_values(exchange.request.query, self.name))


matcher("QueryRegexp", arity=1, most=2)(QueryRegexp)  # by a call: a decorated class would not be native when compiled
