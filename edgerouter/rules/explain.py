"""Why a rule is true or false for an exchange, clause by clause: the very predicates that routing evaluates."""

from __future__ import annotations

from edgerouter.http.exchange import Exchange
from edgerouter.rules.compile import Rule


class Verdict:
    """One clause: its text with its negation, and whether it holds as it stands."""

    def __init__(self, text: str, holds: bool) -> None:
        self.text = text
        self.holds = holds


class Explanation:
    """``matched`` is the rule's value; ``verdicts`` every clause, in the order of the text."""

    def __init__(self, rule: Rule, matched: bool, verdicts: list[Verdict]) -> None:
        self.rule = rule
        self.matched = matched
        self.verdicts = verdicts

    def false_clauses(self) -> list[str]:
        """The clauses that do not hold."""
        return [verdict.text for verdict in self.verdicts if not verdict.holds]


def explain_rule(rule: Rule, exchange: Exchange) -> Explanation:
    """Evaluate the rule and each of its clauses, those too that the rule did not need."""
    verdicts = []
    for part in rule.parts:
        holds = part.predicate.test(exchange) != part.negated
        verdicts.append(Verdict(f"!{part.text}" if part.negated else part.text, holds))
    return Explanation(rule, rule.predicate.test(exchange), verdicts)
