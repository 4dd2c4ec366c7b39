"""``HeaderRegexp(`User-Agent`, `(?i)bot`)``: a Go regular expression, not anchored, on each of the field's values."""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules import go_regex
from edgerouter.rules.predicates import Clause
from edgerouter.rules.text import field_name


class HeaderRegexp(Clause):
    """A field's name and a pattern."""

    def __init__(self, args: list[str]) -> None:
        self.name = field_name(args[0])
        self.regex = go_regex.compile(args[1], 1)

    def test(self, exchange: Exchange) -> bool:
        """Any of the values."""
        return self.regex.search_any(exchange.request.headers.get_all(self.name))


matcher("HeaderRegexp", arity=2)(HeaderRegexp)  # by a call: a decorated class would not be native when compiled
