"""One router in a table: its route, its rule, and where it stands in the order. No index lives here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from edgerouter.contracts.plugins import Predicate, Route
from edgerouter.http.exchange import Exchange

if TYPE_CHECKING:
    from edgerouter.rules.compile import Rule

LOWEST: Final = -(2**63)  # below every priority that a router can have


class Entry:
    """``tie`` orders entries of the same priority: text, the smaller first. ``rule`` None: it could not be read.

    ``certain``: an index that leads here has found out all that the rule asks; the predicate need not be tested.
    """

    def __init__(self, route: Route, entry_points: tuple[str, ...], tls: bool, rule: Rule | None, tie: str) -> None:
        self.route = route  # first what a request looks at: it shall share a cache line
        self.priority: i64 = route.priority or len(route.rule.encode())
        self.certain = rule is not None and all(branch.whole for branch in rule.branches)
        self.predicate: Predicate | None = None if rule is None else rule.predicate
        self.entry_points = entry_points
        self.tls = tls
        self.rule = rule
        self.tie = tie
        self.asleep = bool(route.asleep)

    def holds(self, exchange: Exchange) -> bool:
        """True when the rule does, for an exchange that an index has led here."""
        if self.certain:
            return True
        predicate = self.predicate
        return predicate is not None and predicate.test(exchange)

    def before(self, other: Entry) -> bool:
        """True when this entry is tried before the other."""
        if self.priority != other.priority:
            return self.priority > other.priority
        return self.tie < other.tie

    def same(self, other: Entry) -> bool:
        """True when one can stand for the other in a table."""
        return (
            self.route is other.route
            and self.priority == other.priority
            and self.asleep == other.asleep
            and self.tie == other.tie
            and self.tls == other.tls
            and self.entry_points == other.entry_points
            and _same_rule(self.rule, other.rule)
        )


def _same_rule(one: Rule | None, other: Rule | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or (one.text == other.text and one.syntax == other.syntax)
