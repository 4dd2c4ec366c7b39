"""The language of ``buffering.retryExpression``: text -> a test over what one attempt came to. Parsing only.

expression := both { "||" both }
both       := term { "&&" term }
term       := "!" term | "(" expression ")" | value [ comparator value ]
value      := number | "text" | IsNetworkError() | Attempts() | ResponseCode() | RequestMethod()
comparator := > >= < <= == !=
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

_TOKEN: Final = re.compile(r"""\s*(?:(\d+)|([A-Za-z_]\w*)|("[^"\\]*"|`[^`]*`)|(&&|\|\||>=|<=|==|!=|[><()!])|(\S))""")
_KINDS: Final = ("number", "name", "text", "sign", "stray")
_COMPARATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_NETWORK: Final = (502, 504)
_DEPTH: Final = 50


class Attempt:
    """``number`` counts from 1; ``status`` is that of the response."""

    def __init__(self, number: int, status: int, method: str) -> None:
        self.number = number
        self.status = status
        self.method = method


Value = Callable[[Attempt], Any]
_FUNCTIONS: Final[dict[str, tuple[type, Value]]] = {
    "IsNetworkError": (bool, lambda attempt: attempt.status in _NETWORK),
    "Attempts": (int, lambda attempt: attempt.number),
    "ResponseCode": (int, lambda attempt: attempt.status),
    "RequestMethod": (str, lambda attempt: attempt.method),
}
_FORMS: Final = 'IsNetworkError(), Attempts() < 3, ResponseCode() == 503 or RequestMethod() == "GET"'


class Expression:
    """``names_method``: the method is asked for, so that whoever wrote it has thought of POST."""

    def __init__(self, text: str) -> None:
        """Raises ValueError that points at the character."""
        kind, self.test = _Parser(text).parse()
        if kind is not bool:
            raise ValueError(f"retryExpression: {text!r} is no condition; write {_FORMS}")
        self.names_method = "RequestMethod" in text


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [
            (_KINDS[(found.lastindex or 5) - 1], found.group(found.lastindex or 5), found.start(found.lastindex or 5))
            for found in _TOKEN.finditer(text)
        ]
        self._tokens.append(("end", "", len(text)))
        self._next = 0
        self._depth = 0

    def parse(self) -> tuple[type, Value]:
        found = self._joined("||", any, lambda: self._joined("&&", all, self._term))
        if self._tokens[self._next][0] != "end":
            self._fail("expected && or || or the end")
        return found

    def _take(self) -> tuple[str, str, int]:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _accept(self, sign: str) -> bool:
        kind, text, _ = self._tokens[self._next]
        if kind == "sign" and text == sign:
            self._take()
            return True
        return False

    def _fail(self, what: str) -> NoReturn:
        _, text, place = self._tokens[self._next]
        found = f"found {text!r}" if text else "the expression ends"
        raise ValueError(
            f"retryExpression: character {place + 1}: {what}, {found}; write {_FORMS}\n  {self._text}\n  {' ' * place}^"
        )

    def _joined(
        self, sign: str, join: Callable[[Any], bool], part: Callable[[], tuple[type, Value]]
    ) -> tuple[type, Value]:
        kind, first = part()
        parts = [first]
        while self._accept(sign):
            other, value = part()
            if kind is not bool or other is not bool:
                self._fail(f"{sign} joins conditions")
            parts.append(value)
        return (kind, first) if len(parts) == 1 else (bool, lambda attempt: join(test(attempt) for test in parts))

    def _term(self) -> tuple[type, Value]:
        self._depth += 1
        if self._depth > _DEPTH:
            self._fail(f"more than {_DEPTH} inside of each other")
        found = self._not() if self._accept("!") else self._group() if self._accept("(") else self._comparison()
        self._depth -= 1
        return found

    def _not(self) -> tuple[type, Value]:
        kind, value = self._term()
        if kind is not bool:
            self._fail("! turns a condition around")
        return bool, lambda attempt: not value(attempt)

    def _group(self) -> tuple[type, Value]:
        found = self._joined("||", any, lambda: self._joined("&&", all, self._term))
        if not self._accept(")"):
            self._fail("expected )")
        return found

    def _comparison(self) -> tuple[type, Value]:
        kind, left = self._value()
        _, text, _ = self._tokens[self._next]
        compare = _COMPARATORS.get(text)
        if compare is None:
            return kind, left
        self._take()
        other, right = self._value()
        if kind is not other:
            self._fail("both sides of a comparison are numbers, or both are texts")
        return bool, lambda attempt: compare(left(attempt), right(attempt))

    def _value(self) -> tuple[type, Value]:
        kind, text, _ = self._tokens[self._next]
        if kind == "number":
            self._take()
            number = int(text)
            return int, lambda attempt: number
        if kind == "text":
            self._take()
            return str, lambda attempt: text[1:-1]
        if kind != "name" or text not in _FUNCTIONS:
            self._fail("expected a value")
        self._take()
        if not (self._accept("(") and self._accept(")")):
            self._fail(f"expected () after {text}")
        return _FUNCTIONS[text]
