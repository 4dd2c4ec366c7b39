"""The breaker's language: sums and expression in, truth out; and where errors point."""

from __future__ import annotations

import pytest

from edgerouter.middlewares._breaker_expression import LATENCY_BINS, Expression, Sums, bin_latency, latency_bin


def sums(expression: Expression, statuses: dict[int, int], latencies: dict[int, int]) -> Sums:
    """As the window makes them. ``statuses``: code -> count; ``latencies``: milliseconds -> count."""
    bins = [0] * LATENCY_BINS
    for milliseconds, count in latencies.items():
        bins[latency_bin(milliseconds)] += count
    in_ranges = [
        sum(count for code, count in statuses.items() if low <= code < high) for low, high in expression.ranges
    ]
    return Sums(sum(statuses.values()), statuses.get(502, 0) + statuses.get(504, 0), in_ranges, bins)


HALF = {200: 4, 502: 2, 504: 2}
FIVES = {200: 6, 404: 2, 500: 2}


@pytest.mark.parametrize(
    ("text", "statuses", "latencies", "expected"),
    [
        ("NetworkErrorRatio() > 0.5", HALF, {}, False),
        ("NetworkErrorRatio() >= 0.5", HALF, {}, True),
        ("NetworkErrorRatio() == 0.5", HALF, {}, True),
        ("NetworkErrorRatio() != 0.5", HALF, {}, False),
        ("NetworkErrorRatio() < 0.51", HALF, {}, True),
        ("NetworkErrorRatio() <= .5", HALF, {}, True),
        ("0.4 < NetworkErrorRatio()", HALF, {}, True),
        ("NetworkErrorRatio() > 0", {}, {}, False),
        ("NetworkErrorRatio() > 0", {500: 9, 503: 9}, {}, False),
        ("ResponseCodeRatio(500, 600, 0, 600) >= 0.2", FIVES, {}, True),
        ("ResponseCodeRatio(500, 600, 0, 600) > 0.2", FIVES, {}, False),
        ("ResponseCodeRatio(500,501,0,500) == 0.25", FIVES, {}, True),
        ("ResponseCodeRatio(400, 500, 200, 300) > 0.3", FIVES, {}, True),
        ("ResponseCodeRatio(404, 500, 0, 404) > 0", {404: 1, 200: 1}, {}, True),
        ("ResponseCodeRatio(405, 500, 0, 404) > 0", {404: 1, 200: 1}, {}, False),
        ("ResponseCodeRatio(500, 600, 100, 101) > 0", FIVES, {}, False),
        ("RequestThreshold() >= 10", FIVES, {}, True),
        ("RequestThreshold() > 10", FIVES, {}, False),
        ("LatencyAtQuantileMS(50.0) == 10", {200: 3}, {10: 2, 12: 1}, True),
        ("LatencyAtQuantileMS(100) > 900", {200: 3}, {10: 2, 1000: 1}, True),
        ("LatencyAtQuantileMS(66) > 11", {200: 3}, {10: 2, 1000: 1}, False),
        ("LatencyAtQuantileMS(99) > 0", {}, {}, False),
        ("RequestThreshold() > 1 && NetworkErrorRatio() > 0.1", HALF, {}, True),
        ("RequestThreshold() > 9 && NetworkErrorRatio() > 0.1", HALF, {}, False),
        ("RequestThreshold() > 9 || NetworkErrorRatio() > 0.1", HALF, {}, True),
        ("1 > 2 && 1 > 2 || 2 > 1", {}, {}, True),
        ("1 > 2 && (1 > 2 || 2 > 1)", {}, {}, False),
        ("2 > 1 || 1 > 2 && 1 > 2", {}, {}, True),
        ("((2 > 1))", {}, {}, True),
        ("  2>1&&3>2  ", {}, {}, True),
    ],
)
def test_truth(text: str, statuses: dict[int, int], latencies: dict[int, int], expected: bool) -> None:
    expression = Expression(text)
    assert expression.test(sums(expression, statuses, latencies)) is expected


@pytest.mark.parametrize(
    ("text", "character", "message"),
    [
        ("NetworkErrorRatio() >> 0.5", 22, "expected NetworkErrorRatio"),
        ("NetworkErrorRatio()", 20, "expected a comparison such as > 0.5, the expression ends"),
        ("NetworkErrorRatio > 0.5", 19, r"expected \( after NetworkErrorRatio"),
        ("NetworkErrorRatio(1) > 0.5", 1, "NetworkErrorRatio takes no arguments, not 1"),
        ("ResponseCodeRatio(500, 600) > 0.5", 1, "takes 4 arguments, not 2"),
        ("ResponseCodeRatio(600, 500, 0, 600) > 0.5", 1, "a range of status codes goes up"),
        ("LatencyAtQuantileMS() > 5", 1, "takes 1 argument, not 0"),
        ("LatencyAtQuantileMS(101) > 5", 1, "a quantile is a number from 0 to 100"),
        ("NetworkErorRatio() > 0.5", 1, "no function is named NetworkErorRatio; write NetworkErrorRatio"),
        ("ResponseCodeRatio(500; 600) > 1", 22, r"expected , or \)"),
        ("ResponseCodeRatio(a) > 1", 19, "expected a number"),
        ("2 > 1 and 3 > 2", 7, r"expected && or \|\| or the end, found 'and 3 > 2'"),
        ("2 > 1 &&", 9, "the expression ends"),
        ("(2 > 1", 7, r"expected \), the expression ends"),
        ("2 > 1)", 6, "expected && or"),
        ("2 > 'x'", 5, "found \"'x'\""),
        ("2 = 1", 3, "expected a comparison"),
        ("()", 2, "expected NetworkErrorRatio"),
        ("(" * 51 + "2 > 1", 52, "more than 50 parentheses"),
    ],
)
def test_errors_point_at_the_character(text: str, character: int, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Expression(text)
    first, shown, pointer = str(caught.value).split("\n")
    assert first.startswith(f"expression: character {character}: ")
    assert (shown, pointer) == (f"  {text}", "  " + " " * (character - 1) + "^")


def test_latencies_are_exact_to_a_sixteenth() -> None:
    for milliseconds in [*range(300), 1000, 5000, 9999, 60_000, 120_000]:
        assert abs(bin_latency(latency_bin(milliseconds)) - milliseconds) <= milliseconds / 16
    assert latency_bin(10**9) == LATENCY_BINS - 1
    assert latency_bin(-1) == 0
    bins = [latency_bin(milliseconds) for milliseconds in range(140_000)]
    assert bins == sorted(bins) and set(bins) == set(range(LATENCY_BINS))
