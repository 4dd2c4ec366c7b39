"""How clauses are combined, and what a clause can tell an index. The matchers themselves are in ``matchers/``.

``match`` and ``explain`` evaluate these very objects; ``match`` need not where an index has proved all of a rule.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from edgerouter.contracts.plugins import Predicate
from edgerouter.http.exchange import Exchange

ANY: Final = 0
HOST: Final = 1  # the request's host is ``value``
HOST_UNDER: Final = 2  # the request's host is one label and a dot more than ``value``
PATH: Final = 3  # the request's path is ``value``
PREFIX: Final = 4  # the request's path begins with ``value``
HEADER: Final = 5  # some value of the field ``name`` is ``value``


class Need:
    """A condition without which a clause is false, in a form that an index can look up.

    ``name`` is "" but for HEADER: the field's name in lower case. ``whole``: the clause is true whenever it holds.
    """

    def __init__(self, kind: int, value: str, name: str = "", whole: bool = False) -> None:
        self.kind = kind
        self.value = value
        self.name = name
        self.whole = whole


@mypyc_attr(allow_interpreted_subclasses=True)
class Clause(Predicate):
    """One matcher with its arguments."""

    def need(self) -> Need | None:
        """The condition that an index may use to leave this clause out; None when there is none."""
        return None


class All(Predicate):
    """True when every part is."""

    def __init__(self, parts: list[Predicate]) -> None:
        self.parts = parts

    def test(self, exchange: Exchange) -> bool:
        """Stops at the first part that is false."""
        for part in self.parts:  # noqa: SIM110 (a generator a request would cost more than the tests)
            if not part.test(exchange):
                return False
        return True


class Either(Predicate):
    """True when some part is."""

    def __init__(self, parts: list[Predicate]) -> None:
        self.parts = parts

    def test(self, exchange: Exchange) -> bool:
        """Stops at the first part that is true."""
        for part in self.parts:  # noqa: SIM110 (a generator a request would cost more than the tests)
            if part.test(exchange):
                return True
        return False


class Not(Predicate):
    """True when the part is false."""

    def __init__(self, part: Predicate) -> None:
        self.part = part

    def test(self, exchange: Exchange) -> bool:
        """The opposite of the part."""
        return not self.part.test(exchange)
