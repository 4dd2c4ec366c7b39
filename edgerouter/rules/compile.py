"""The text of a rule to a Rule: looks matchers up, builds predicates, and draws out what an index needs."""

from __future__ import annotations

from typing import Final

from edgerouter.contracts.plugins import Predicate
from edgerouter.registry import Plugin, load
from edgerouter.rules import v2
from edgerouter.rules.branches import Branch, branches_of
from edgerouter.rules.error import ArgumentError, RuleError
from edgerouter.rules.names import nearest, spellings
from edgerouter.rules.nodes import Call, Conjunction, Disjunction, Negation, Node
from edgerouter.rules.parser import parse
from edgerouter.rules.predicates import HOST, HOST_UNDER, All, Clause, Either, Need, Not

__all__ = ["Rule", "RuleError", "compile_rule"]

_TCP_ONLY: Final = frozenset(("hostsni", "hostsniregexp", "alpn"))


class Part:
    """One clause of a rule: its text, its predicate, and whether it stands under a negation."""

    def __init__(self, text: str, predicate: Predicate, negated: bool) -> None:
        self.text = text
        self.predicate = predicate
        self.negated = negated


class Rule:
    """A rule that can be evaluated. ``branches`` are the necessary conditions, one for each way to be true;
    ``parts`` its clauses in the order of the text."""

    def __init__(self, text: str, syntax: str, predicate: Predicate, parts: list[Part]) -> None:
        self.text = text
        self.syntax = syntax
        self.predicate = predicate
        self.parts = parts
        self.branches: list[Branch] = branches_of(predicate)

    def hosts(self) -> list[str]:
        """Every exact host that the rule names and does not negate, once, in order."""
        named = [need.value for part in self.parts if not part.negated for need in _needs(part.predicate)]
        return list(dict.fromkeys(named))

    def host_names(self) -> list[str]:
        """The same with wildcards (``*.example.com``): every name that a certificate for it would have to bear."""
        needs = [need for part in self.parts if not part.negated for need in _needs(part.predicate, True)]
        named = [need.value if need.kind == HOST else f"*.{need.value}" for need in needs]
        return list(dict.fromkeys(named))


def _needs(predicate: Predicate, wildcards: bool = False) -> list[Need]:
    """The exact hosts of a clause, and wildcards if wanted; several when it has several values (v2)."""
    if isinstance(predicate, Either):
        return [need for part in predicate.parts for need in _needs(part, wildcards)]
    need = predicate.need() if isinstance(predicate, Clause) else None
    if need is None:
        return []
    return [need] if need.kind == HOST or (wildcards and need.kind == HOST_UNDER) else []


def compile_rule(text: str, syntax: str = "v3") -> Rule:
    """Return the rule; ``syntax`` is ``v3`` or ``v2``. Raises RuleError with the place of the first fault."""
    if syntax not in ("", "v3", "v2"):
        raise RuleError(f"unknown rule syntax {syntax!r}: write v3 or v2", 0)
    builder = _Builder(text, syntax or "v3")
    predicate = builder.build(parse(text), False)
    return Rule(text, syntax or "v3", predicate, builder.parts)


class _Builder:
    def __init__(self, text: str, syntax: str) -> None:
        self.text = text
        self.matchers = v2.matchers() if syntax == "v2" else load("matchers")
        self.names = _spellings(self.matchers)
        self.parts: list[Part] = []

    def build(self, node: Node, negate: bool) -> Predicate:
        """Negations are pushed inwards, so that they stand on clauses only (De Morgan)."""
        if isinstance(node, Negation):
            return self.build(node.operand, not negate)
        if isinstance(node, Conjunction):
            parts = [self.build(operand, negate) for operand in node.operands]
            return Either(parts) if negate else All(parts)
        if isinstance(node, Disjunction):
            parts = [self.build(operand, negate) for operand in node.operands]
            return All(parts) if negate else Either(parts)
        assert isinstance(node, Call)
        predicate = self.clause(node)
        self.parts.append(Part(self.text[node.start : node.end], predicate, negate))
        return Not(predicate) if negate else predicate

    def clause(self, call: Call) -> Predicate:
        plugin = self.matchers[self.canonical(call)]
        self.check_count(call, plugin)
        try:
            predicate = plugin.cls(list(call.args))
        except ArgumentError as fault:
            place = call.places[min(fault.index, len(call.places) - 1)]
            if fault.offset and self.text[place] == "`":
                place += 1 + fault.offset
            raise RuleError(f"{plugin.name}: {fault.message}", place, self.text) from fault
        except ValueError as fault:
            raise RuleError(f"{plugin.name}: {fault}", call.places[0], self.text) from fault
        assert isinstance(predicate, Predicate)
        return predicate

    def canonical(self, call: Call) -> str:
        name = self.names.get(call.name)
        if name is None:
            if call.name.lower() in _TCP_ONLY:
                hint = "is of TCP routers, which are not served yet; write Host(`example.com`) in HTTP routers"
                raise RuleError(f"{call.name} {hint}", call.start, self.text)
            near = nearest(call.name, self.matchers)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(sorted(self.matchers))}"
            raise RuleError(f"unknown matcher {call.name!r}: {hint}", call.start, self.text)
        return name

    def check_count(self, call: Call, plugin: Plugin) -> None:
        least, most = plugin.arity
        if least <= len(call.args) <= most:
            return
        expected = str(least) if least == most else f"{least} or {most}" if most == least + 1 else f"at least {least}"
        noun = "argument" if expected == "1" else "arguments"
        place = call.places[most] if len(call.args) > most else call.start
        hint = ""
        if len(call.args) > most == 1:
            hint = f"; for a choice write {plugin.name}(`...`) || {plugin.name}(`...`)"
        raise RuleError(f"{plugin.name} takes {expected} {noun}, here are {len(call.args)}{hint}", place, self.text)


_known: dict[tuple[str, ...], dict[str, str]] = {}


def _spellings(matchers: dict[str, Plugin]) -> dict[str, str]:
    key = tuple(matchers)
    found = _known.get(key)
    if found is None:
        found = spellings(matchers)
        _known[key] = found
    return found
