"""``Path(`/status`)``: the whole path, exactly. No placeholders."""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules.predicates import PATH, Clause, Need
from edgerouter.rules.text import normal_path


class Path(Clause):
    """The exact path."""

    def __init__(self, args: list[str]) -> None:
        self.path = normal_path(args[0])

    def test(self, exchange: Exchange) -> bool:
        """Compare with the normalised path."""
        return exchange.request.path == self.path

    def need(self) -> Need | None:
        """The path."""
        return Need(PATH, self.path, whole=True)


matcher("Path", arity=1)(Path)  # by a call: a decorated class would not be native when compiled
