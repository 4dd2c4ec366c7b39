"""Constraints: an expression over an item's labels that says whether it is taken. Grammar and strings are the rules'.

    Label(`team`, `shop`) && !LabelRegex(`stage`, `^(dev|test)$`)

Compiled once when the provider is made; a fault in it is a fault of the static configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from edgerouter.errors import ConfigurationError
from edgerouter.rules import go_regex
from edgerouter.rules.error import RuleError
from edgerouter.rules.nodes import Call, Conjunction, Disjunction, Negation, Node
from edgerouter.rules.parser import parse

Labels = Mapping[str, str]
Test = Callable[[Labels], bool]
_NAMES: Final = ("Label", "LabelRegex")


def compile_constraints(text: str) -> Test:
    """Return the test that ``text`` stands for; an empty text takes everything. Raises ConfigurationError."""
    if not text.strip():
        return lambda labels: True
    try:
        return _compile(parse(text), text)
    except RuleError as error:
        raise ConfigurationError(f"constraints: {error}") from error


def _compile(node: Node, text: str) -> Test:
    if isinstance(node, Negation):
        inner = _compile(node.operand, text)
        return lambda labels: not inner(labels)
    if isinstance(node, Conjunction):
        every = [_compile(operand, text) for operand in node.operands]
        return lambda labels: all(test(labels) for test in every)
    if isinstance(node, Disjunction):
        some = [_compile(operand, text) for operand in node.operands]
        return lambda labels: any(test(labels) for test in some)
    assert isinstance(node, Call)
    return _call(node, text)


def _call(node: Call, text: str) -> Test:
    if node.name not in _NAMES:
        known = "known are Label(`key`, `value`) and LabelRegex(`key`, `expression`)"
        raise RuleError(f"there is no {node.name!r} in constraints; {known}", node.start, text)
    if len(node.args) != 2:
        raise RuleError(f"{node.name} takes 2 arguments, got {len(node.args)}", node.start, text)
    key, wanted = node.args
    if node.name == "Label":
        return lambda labels: labels.get(key) == wanted
    try:
        regex = go_regex.compile(wanted)
    except ValueError as error:
        raise RuleError(f"{wanted!r} is no regular expression: {error}", node.places[1], text) from error
    # The engine matches bytes, which go_regex takes one character each.
    return lambda labels: key in labels and regex.search(labels[key].encode().decode("latin-1"))
