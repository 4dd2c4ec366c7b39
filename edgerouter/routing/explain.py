"""Why an exchange went to its router: every router of its entry point, in the order of trial, clause by clause.

For people, so it may be slow: it walks all routers; the predicates are those that ``match`` evaluates. With thousands
of routers the clauses are looked at only where they tell something: ``most`` bounds how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Final

from edgerouter.http.exchange import Exchange
from edgerouter.routing.entry import Entry
from edgerouter.routing.table import RoutingTable
from edgerouter.rules.compile import Rule
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
        self.entry = entry
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


def in_order(table: RoutingTable) -> list[Entry]:
    """All routers as they are tried: live ones first, then by priority."""
    return sorted(table.entries.values(), key=cmp_to_key(_order))


def explain(
    table: RoutingTable, exchange: Exchange, ordered: Sequence[Entry] | None = None, most: int = 0
) -> Explanation:
    """Try every router of the exchange's entry point; those of other entry points are listed when their rule holds.

    ``ordered`` is what ``in_order`` gave for this table. ``most``: of routers whose rule does not hold, only so many
    have their clauses looked at, those with the fewest false ones; 0: all.
    """
    route = table.match(exchange)
    winner = "" if route is None else route.name
    secure = exchange.request.scheme == "https"
    trials: list[Trial] = []
    failed: list[tuple[int, int, Trial]] = []
    for entry in in_order(table) if ordered is None else ordered:
        trial = _try(entry, exchange, secure, winner)
        if trial.outcome != OTHER_ENTRYPOINT or trial.holds:
            trials.append(trial)
        if trial.outcome == FAILED and entry.rule is not None:
            failed.append((_false_clauses(entry.rule, exchange), len(failed), trial))
        elif entry.rule is not None and trial.holds:
            trial.verdicts = explain_rule(entry.rule, exchange).verdicts
    for _, _, trial in sorted(failed, key=_by_falseness)[: most or len(failed)]:
        _look_closer(trial, exchange)
    return Explanation(winner, trials)


def _by_falseness(item: tuple[int, int, Trial]) -> tuple[int, int]:
    return item[0], item[1]


def _false_clauses(rule: Rule, exchange: Exchange) -> int:
    """How many clauses do not hold; a rule of which none holds is no near miss, and comes last."""
    count = 0
    for part in rule.parts:
        if part.predicate.test(exchange) == part.negated:
            count += 1
    return count if count < len(rule.parts) else 1000 + count


def _look_closer(trial: Trial, exchange: Exchange) -> None:
    """Say which clauses kept the router's rule from holding."""
    rule = trial.entry.rule
    assert rule is not None
    found = explain_rule(rule, exchange)
    trial.verdicts = found.verdicts
    trial.reason = f"does not hold: {', '.join(found.decisive or found.false_clauses())}"
    if found.decisive and any(verdict.holds for verdict in found.verdicts):
        trial.outcome = NEAR


def _order(one: Entry, other: Entry) -> int:
    if one.asleep != other.asleep:
        return 1 if one.asleep else -1
    return -1 if one.before(other) else int(other.before(one))


def _try(entry: Entry, exchange: Exchange, secure: bool, winner: str) -> Trial:
    if entry.rule is None:
        return Trial(entry, UNREADABLE, "its rule could not be read, so it matches nothing", False, [])
    holds = entry.rule.predicate.test(exchange)
    outcome, reason = _judge(entry, exchange, secure, holds, winner)
    return Trial(entry, outcome, reason, holds, [])


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
    return FAILED, "its rule does not hold"
