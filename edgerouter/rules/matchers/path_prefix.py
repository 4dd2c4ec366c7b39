"""``PathPrefix(`/api`)``: the path begins with this text: ``/api``, ``/api/x`` and ``/apix`` alike."""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules.predicates import PREFIX, Clause, Need
from edgerouter.rules.text import normal_path


class PathPrefix(Clause):
    """A plain prefix, not one of whole segments."""

    def __init__(self, args: list[str]) -> None:
        self.prefix = normal_path(args[0])

    def test(self, exchange: Exchange) -> bool:
        """Look at the beginning of the normalised path."""
        return exchange.request.path.startswith(self.prefix)

    def need(self) -> Need | None:
        """The prefix."""
        return Need(PREFIX, self.prefix, whole=True)


matcher("PathPrefix", arity=1)(PathPrefix)  # by a call: a decorated class would not be native when compiled
