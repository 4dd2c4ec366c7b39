"""Why an exchange went to its router: every router of its entry point, in the order of trial, clause by clause.

For people, so it may be slow: it walks all routers; the predicates are those that ``match`` evaluates.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import Final

from edgerouter.http.exchange import Exchange
from edgerouter.routing.entry import Entry
from edgerouter.routing.table import RoutingTable
from edgerouter.rules.explain import Verdict, explain_rule

WON: Final = "won"
LOST: Final = "lost"  # its rule holds, but another router comes first
NEAR: Final = "near"  # one clause away from holding, and another of its clauses holds
FAILED: Final = "failed"
UNREADABLE: Final = "unreadable"  # its rule could not be read, so it reserves nothing
OTHER_TLS: Final = "other tls"  # for TLS connections only, or for plain ones only
OTHER_ENTRYPOINT: Final = "other entrypoint"  # on this entry point it would have matched nothing


class Trial:
    """What became of one router. ``reason`` is a sentence; ``holds`` says whether its rule does."""

    def __init__(self, entry: Entry, outcome: str, reason: str, holds: bool, verdicts: list[Verdict]) -> None:
        self.name = entry.route.name
        self.rule = entry.route.rule
        self.priority = int(entry.priority)
        self.asleep = entry.route.asleep
        self.refused = entry.route.refused
        self.outcome = outcome
        self.reason = reason
        self.holds = holds
        self.verdicts = verdicts


class Explanation:
    """``winner`` is the router's name, "" when none matched. ``trials`` are in the order in which they count."""

    def __init__(self, winner: str, trials: list[Trial]) -> None:
        self.winner = winner
        self.trials = trials

    def near(self) -> list[Trial]:
        """The routers that one clause kept from matching."""
        return [trial for trial in self.trials if trial.outcome == NEAR]


def explain(table: RoutingTable, exchange: Exchange) -> Explanation:
    """Try every router of the exchange's entry point; those of other entry points are listed when their rule holds."""
    route = table.match(exchange)
    winner = "" if route is None else route.name
    secure = exchange.request.scheme == "https"
    trials: list[Trial] = []
    for entry in sorted(table.entries.values(), key=cmp_to_key(_order)):
        trial = _try(entry, exchange, secure, winner)
        if trial.outcome != OTHER_ENTRYPOINT or trial.holds:
            trials.append(trial)
    return Explanation(winner, trials)


def _order(one: Entry, other: Entry) -> int:
    if one.asleep != other.asleep:
        return 1 if one.asleep else -1
    return -1 if one.before(other) else int(other.before(one))


def _try(entry: Entry, exchange: Exchange, secure: bool, winner: str) -> Trial:
    if entry.rule is None:
        return Trial(entry, UNREADABLE, "its rule could not be read, so it matches nothing", False, [])
    found = explain_rule(entry.rule, exchange)
    outcome, reason = _judge(entry, exchange, secure, found.matched, winner)
    if outcome == FAILED:
        reason = f"does not hold: {', '.join(found.decisive or found.false_clauses())}"
        if found.decisive and any(verdict.holds for verdict in found.verdicts):
            outcome = NEAR
    return Trial(entry, outcome, reason, found.matched, found.verdicts)


def _judge(entry: Entry, exchange: Exchange, secure: bool, holds: bool, winner: str) -> tuple[str, str]:
    if exchange.entrypoint not in entry.entry_points:
        points = ", ".join(entry.entry_points) or "no entry point"
        return OTHER_ENTRYPOINT, f"it listens on {points}, the request came in on {exchange.entrypoint}"
    if entry.tls != secure:
        kind = "TLS connections only (it has tls)" if entry.tls else "plain connections only (it has no tls)"
        return OTHER_TLS, f"it matches {kind}"
    if entry.route.name == winner:
        return WON, "its rule holds, and no router before it matched"
    if holds:
        return LOST, f"its rule holds, but {winner} comes first"
    return FAILED, ""
