"""The language of ``circuitBreaker.expression``: text -> a test over the sums of a window. Parsing only; no counting.

expression := both { "||" both }
both       := term { "&&" term }
term       := "(" expression ")" | value comparator value
value      := number | function "(" [ number { "," number } ] ")"
comparator := > >= < <= == !=
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Final, NoReturn

Test = Callable[["Sums"], bool]
Value = Callable[["Sums"], float]

_TOKEN: Final = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|([A-Za-z_]\w*)|(&&|\|\||>=|<=|==|!=|[><(),])|(\S))")
_COMPARATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_ARGUMENTS: Final = {
    "NetworkErrorRatio": 0,
    "ResponseCodeRatio": 4,
    "LatencyAtQuantileMS": 1,
    "RequestThreshold": 0,
}
_FORMS: Final = (
    "NetworkErrorRatio(), ResponseCodeRatio(500, 600, 0, 600), LatencyAtQuantileMS(50.0) or RequestThreshold()"
)
_DEPTH: Final = 50

# Latencies are counted in bins: one a millisecond up to 16, then 16 for every doubling, so exact to 1/16.
_FINE: Final = 16
_DOUBLINGS: Final = 13
LATENCY_BINS: Final = _FINE * (1 + _DOUBLINGS)


def latency_bin(milliseconds: int) -> int:
    """Return the bin of a latency; the last holds all above two minutes."""
    if milliseconds < _FINE:
        return max(0, milliseconds)
    shift = milliseconds.bit_length() - 5
    return min(_FINE * (1 + shift) + (milliseconds >> shift) - _FINE, LATENCY_BINS - 1)


def bin_latency(index: int) -> float:
    """Return the middle of a bin in milliseconds."""
    if index < _FINE:
        return float(index)
    shift = index // _FINE - 1
    return (_FINE + index % _FINE + 0.5) * (1 << shift)


class Sums:
    """What a window holds. ``in_ranges`` counts responses by ``Expression.ranges``, ``latencies`` by bin."""

    def __init__(self, requests: int, network_errors: int, in_ranges: list[int], latencies: list[int]) -> None:
        self.requests = requests
        self.network_errors = network_errors
        self.in_ranges = in_ranges
        self.latencies = latencies

    def latency_at(self, quantile: float) -> float:
        """Return the latency in milliseconds that ``quantile`` percent of the responses did not exceed; 0 if none."""
        wanted = sum(self.latencies) * quantile / 100
        seen = 0
        for index, count in enumerate(self.latencies):
            seen += count
            if count and seen >= wanted:
                return bin_latency(index)
        return 0.0


class Expression:
    """A parsed expression and what must be counted for it. ``ranges``: status codes, from inclusive, to exclusive."""

    def __init__(self, text: str) -> None:
        """Raises ValueError that points at the character."""
        self.text = text
        self.ranges: list[tuple[int, int]] = []
        self.uses_latency = False
        self.test: Test = _Parser(self).parse()

    def range_index(self, low: int, high: int) -> int:
        """Return the place of a range among those that are counted."""
        if (low, high) not in self.ranges:
            self.ranges.append((low, high))
        return self.ranges.index((low, high))


class _Token:
    def __init__(self, kind: str, text: str, position: int) -> None:
        self.kind = kind
        self.text = text
        self.position = position


class _Parser:
    def __init__(self, expression: Expression) -> None:
        self._expression = expression
        self._text = expression.text
        self._tokens = self._scan()
        self._next = 0
        self._depth = 0

    def parse(self) -> Test:
        test = self._either()
        if self._peek().kind != "end":
            self._fail("expected && or || or the end")
        return test

    def _scan(self) -> list[_Token]:
        tokens = []
        for match in _TOKEN.finditer(self._text):
            kind = ("number", "name", "sign", "stray")[(match.lastindex or 4) - 1]
            tokens.append(_Token(kind, match.group(match.lastindex or 4), match.start(match.lastindex or 4)))
        return [*tokens, _Token("end", "", len(self._text))]

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _accept(self, sign: str) -> bool:
        if self._peek().kind == "sign" and self._peek().text == sign:
            self._take()
            return True
        return False

    def _fail(self, what: str, token: _Token | None = None) -> NoReturn:
        token = token or self._peek()
        found = f"found {self._text[token.position :][:20]!r}" if token.kind != "end" else "the expression ends"
        pointer = " " * token.position + "^"
        raise ValueError(f"expression: character {token.position + 1}: {what}, {found}\n  {self._text}\n  {pointer}")

    def _either(self) -> Test:
        tests = [self._both()]
        while self._accept("||"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda sums: any(test(sums) for test in tests)

    def _both(self) -> Test:
        tests = [self._term()]
        while self._accept("&&"):
            tests.append(self._term())
        return tests[0] if len(tests) == 1 else lambda sums: all(test(sums) for test in tests)

    def _term(self) -> Test:
        if not self._accept("("):
            return self._comparison()
        self._depth += 1
        if self._depth > _DEPTH:
            self._fail(f"more than {_DEPTH} parentheses inside of each other")
        test = self._either()
        if not self._accept(")"):
            self._fail("expected )")
        self._depth -= 1
        return test

    def _comparison(self) -> Test:
        left = self._value()
        compare = _COMPARATORS.get(self._peek().text)
        if compare is None:
            self._fail("expected a comparison such as > 0.5")
        self._take()
        right = self._value()
        return lambda sums: compare(left(sums), right(sums))

    def _value(self) -> Value:
        token = self._take()
        if token.kind == "number":
            number = float(token.text)
            return lambda sums: number
        if token.kind != "name":
            self._fail(f"expected {_FORMS}", token)
        if token.text not in _ARGUMENTS:
            self._fail(f"no function is named {token.text}; write {_FORMS}", token)
        return self._function(token, self._arguments(token))

    def _arguments(self, name: _Token) -> list[float]:
        if not self._accept("("):
            self._fail(f"expected ( after {name.text}")
        given: list[float] = []
        while not self._accept(")"):
            if given and not self._accept(","):
                self._fail("expected , or )")
            token = self._take()
            if token.kind != "number":
                self._fail("expected a number", token)
            given.append(float(token.text))
        wanted = _ARGUMENTS[name.text]
        if len(given) != wanted:
            self._fail(f"{name.text} takes {wanted or 'no'} argument{'s' * (wanted != 1)}, not {len(given)}", name)
        return given

    def _function(self, name: _Token, given: list[float]) -> Value:
        if name.text == "NetworkErrorRatio":
            return lambda sums: sums.network_errors / sums.requests if sums.requests else 0.0
        if name.text == "RequestThreshold":
            return lambda sums: sums.requests
        if name.text == "LatencyAtQuantileMS":
            return self._latency(name, given[0])
        return self._code_ratio(name, [int(code) for code in given])

    def _latency(self, name: _Token, quantile: float) -> Value:
        if not 0 <= quantile <= 100:
            self._fail("a quantile is a number from 0 to 100", name)
        self._expression.uses_latency = True
        return lambda sums: sums.latency_at(quantile)

    def _code_ratio(self, name: _Token, codes: list[int]) -> Value:
        if codes[0] >= codes[1] or codes[2] >= codes[3]:
            self._fail("a range of status codes goes up, its end excluded: ResponseCodeRatio(500, 600, 0, 600)", name)
        part = self._expression.range_index(codes[0], codes[1])
        whole = self._expression.range_index(codes[2], codes[3])

        def ratio(sums: Sums) -> float:
            divisor = sums.in_ranges[whole]
            return sums.in_ranges[part] / divisor if divisor else 0.0

        return ratio
