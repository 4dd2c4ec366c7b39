"""Tokens of a rule to its tree: precedence ``!`` before ``&&`` before ``||``. Knows no matcher by name."""

from __future__ import annotations

from typing import Final

from edgerouter.rules.error import RuleError
from edgerouter.rules.lexer import AND, CLOSE, COMMA, END, NAME, NOT, OPEN, OR, STRING, Token, tokenize
from edgerouter.rules.nodes import Call, Conjunction, Disjunction, Negation, Node

_DEEPEST: Final = 100  # nested parentheses and negations; a bound for the recursion, far beyond any real rule
_WORDS: Final = {"and": "&&", "or": "||", "not": "!"}


def parse(text: str) -> Node:
    """Return the tree of a rule; raises RuleError with the place of the first fault."""
    parser = _Parser(text)
    if parser.token.kind == END:
        raise RuleError("the rule is empty", 0, text)
    node = parser.disjunction(0)
    if parser.token.kind != END:
        raise parser.fault(_after(parser.token))
    return node


def _after(token: Token) -> str:
    if token.kind == CLOSE:
        return "this parenthesis closes nothing"
    return "expected && or || before this"


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.index = 0
        self.token = self.tokens[0]

    def fault(self, message: str) -> RuleError:
        token = self.token
        word = _WORDS.get(token.value.lower()) if token.kind == NAME else None
        if word is not None:
            message = f"{token.value!r} is written {word}"
        return RuleError(message, token.start, self.text)

    def advance(self) -> Token:
        token = self.token
        self.index += 1
        self.token = self.tokens[min(self.index, len(self.tokens) - 1)]
        return token

    def disjunction(self, depth: int) -> Node:
        if depth > _DEEPEST:
            raise self.fault("too many nested parentheses")
        operands = [self.conjunction(depth)]
        while self.token.kind == OR:
            self.advance()
            operands.append(self.conjunction(depth))
        return operands[0] if len(operands) == 1 else Disjunction(operands)

    def conjunction(self, depth: int) -> Node:
        operands = [self.unary(depth)]
        while self.token.kind == AND:
            self.advance()
            operands.append(self.unary(depth))
        return operands[0] if len(operands) == 1 else Conjunction(operands)

    def unary(self, depth: int) -> Node:
        if depth > _DEEPEST:
            raise self.fault("too many nested negations")
        if self.token.kind == NOT:
            start = self.advance().start
            return Negation(self.unary(depth + 1), start)
        if self.token.kind == OPEN:
            return self.group(depth)
        if self.token.kind == NAME and self.token.value.lower() not in _WORDS:
            return self.call()
        raise self.fault(_instead(self.token))

    def group(self, depth: int) -> Node:
        opened = self.advance()
        node = self.disjunction(depth + 1)
        if self.token.kind == END:
            raise RuleError("this parenthesis is never closed", opened.start, self.text)
        if self.token.kind != CLOSE:
            raise self.fault("expected &&, || or a closing parenthesis before this")
        self.advance()
        return node

    def call(self) -> Call:
        name = self.advance()
        if self.token.kind != OPEN:
            raise self.fault(f"expected ( and the arguments of {name.value}, as in {name.value}(`...`)")
        opened = self.advance()
        args: list[str] = []
        places: list[int] = []
        while self.token.kind != CLOSE:
            if args:
                self.expect_comma(opened)
            argument = self.argument(name.value, opened)
            args.append(argument.value)
            places.append(argument.start)
        return Call(name.value, args, places, name.start, self.advance().end)

    def expect_comma(self, opened: Token) -> None:
        if self.token.kind == END:
            raise RuleError("this parenthesis is never closed", opened.start, self.text)
        if self.token.kind != COMMA:
            raise self.fault("expected a comma or a closing parenthesis")
        self.advance()

    def argument(self, name: str, opened: Token) -> Token:
        if self.token.kind == END:
            raise RuleError("this parenthesis is never closed", opened.start, self.text)
        if self.token.kind != STRING:
            raise self.fault(f"expected a string in backticks or double quotes as argument of {name}")
        if not self.token.value:
            raise self.fault(f"an argument of {name} is empty")
        return self.advance()


def _instead(token: Token) -> str:
    if token.kind == END:
        return "the rule ends too early: a matcher is missing"
    if token.kind == STRING:
        return "a string stands only inside of a matcher, as in Host(`example.com`)"
    return "expected a matcher, as in Host(`example.com`)"
