"""``Header(`X-Tenant`, `acme`)``: one of the field's values is exactly this. The name's case does not matter."""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.registry import matcher
from edgerouter.rules.predicates import HEADER, Clause, Need
from edgerouter.rules.text import as_carried, field_name


class Header(Clause):
    """A field's name and value."""

    def __init__(self, args: list[str]) -> None:
        self.name = field_name(args[0])
        self.value = as_carried(args[1])

    def test(self, exchange: Exchange) -> bool:
        """Any of the values."""
        return self.value in exchange.request.headers.get_all(self.name)

    def need(self) -> Need | None:
        """Name and value."""
        return Need(HEADER, self.value, self.name.lower(), whole=True)


matcher("Header", arity=2)(Header)  # by a call: a decorated class would not be native when compiled
