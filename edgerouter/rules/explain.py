"""Why a rule is true or false for an exchange, clause by clause: the very predicates that routing evaluates."""

from __future__ import annotations

from edgerouter.contracts.plugins import Predicate
from edgerouter.http.exchange import Exchange
from edgerouter.rules.compile import Part, Rule
from edgerouter.rules.predicates import All, Either, Not


class Verdict:
    """One clause: its text with its negation, and whether it holds as it stands."""

    def __init__(self, text: str, holds: bool) -> None:
        self.text = text
        self.holds = holds


class Explanation:
    """``matched`` is the rule's value; ``verdicts`` every clause, in the order of the text.

    ``decisive`` are the clauses each of which alone keeps the rule from holding.
    """

    def __init__(self, rule: Rule, matched: bool, verdicts: list[Verdict], decisive: list[str]) -> None:
        self.rule = rule
        self.matched = matched
        self.verdicts = verdicts
        self.decisive = decisive

    def false_clauses(self) -> list[str]:
        """The clauses that do not hold."""
        return [verdict.text for verdict in self.verdicts if not verdict.holds]


def explain_rule(rule: Rule, exchange: Exchange) -> Explanation:
    """Evaluate the rule and each of its clauses, those too that the rule did not need."""
    verdicts = [Verdict(_written(part), part.predicate.test(exchange) != part.negated) for part in rule.parts]
    matched = rule.predicate.test(exchange)
    decisive: list[str] = []
    if not matched:
        decisive = [_written(part) for part in rule.parts if _holds(rule.predicate, exchange, part.predicate)]
    return Explanation(rule, matched, verdicts, decisive)


def _written(part: Part) -> str:
    return f"!{part.text}" if part.negated else part.text


def _holds(predicate: Predicate, exchange: Exchange, flipped: Predicate) -> bool:
    """The value that the predicate would have if one clause were the other way round."""
    if predicate is flipped:
        return not predicate.test(exchange)
    if isinstance(predicate, All):
        return all(_holds(part, exchange, flipped) for part in predicate.parts)
    if isinstance(predicate, Either):
        return any(_holds(part, exchange, flipped) for part in predicate.parts)
    if isinstance(predicate, Not):
        return not _holds(predicate.part, exchange, flipped)
    return predicate.test(exchange)
