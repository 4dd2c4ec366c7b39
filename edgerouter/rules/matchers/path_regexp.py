"""``PathRegexp(`^/v[0-9]+/`)``: a Go regular expression, not anchored, on the path."""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules import go_regex
from edgerouter.rules.predicates import PREFIX, Clause, Need
from edgerouter.rules.text import plain_prefix, readable_path


class PathRegexp(Clause):
    """A pattern on the path."""

    def __init__(self, args: list[str]) -> None:
        self.regex = go_regex.compile(args[0])

    def test(self, exchange: Exchange) -> bool:
        """Unanchored."""
        return self.regex.search(readable_path(exchange.request.path))

    def need(self) -> Need | None:
        """What the pattern wants at the very beginning, as in ``^/api/``."""
        prefix = plain_prefix(self.regex.prefix)
        return Need(PREFIX, prefix) if prefix else None


matcher("PathRegexp", arity=1)(PathRegexp)  # by a call: a decorated class would not be native when compiled
