"""Fractions are exact: after any number of turns nobody is a whole turn away from its share."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerouter.services._rotation import Rotation, worker_phase


class Slot:
    """What stands in for the shared records: all that is asked of it is the worker's number."""

    def __init__(self, worker_slot: int) -> None:
        self.worker_slot = worker_slot


def rotation(weights: list[int], phase: float = 0.0) -> Rotation:
    made = Rotation(phase)
    made.assign([(str(i), weight) for i, weight in enumerate(weights)])
    return made


def worst(made: Rotation, weights: list[int], turns: int) -> float:
    """The largest distance between turns had and share due, over every window of turns."""
    total = sum(weights)
    low, high, spread = [0.0] * len(weights), [0.0] * len(weights), 0.0
    had = [0] * len(weights)
    for turn in range(1, turns + 1):
        had[made.next()] += 1
        for i, weight in enumerate(weights):
            lag = had[i] - weight * turn / total
            low[i], high[i] = min(low[i], lag), max(high[i], lag)
            spread = max(spread, high[i] - low[i])
    return spread


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.floats(0, 0.999))
def test_every_window_is_exact(weights: list[int], phase: float) -> None:
    turns = min(3 * sum(weights), 400)
    assert worst(rotation(weights, phase), weights, turns) < 2


@pytest.mark.parametrize(
    ("weights", "turns", "expected"),
    [
        ([1], 5, [5]),
        ([1, 1, 1], 7, [3, 2, 2]),
        ([99, 1], 100_000, [99_000, 1_000]),
        ([1, 99], 100, [1, 99]),
        ([50, 50], 1_000, [500, 500]),
        ([990, 9, 1], 10_000, [9_900, 90, 10]),
        ([3, 2, 1], 60, [30, 20, 10]),
        ([10**12, 10**10], 10_100, [10_000, 100]),
        ([2**40 + 1, 2**40 - 1], 1_000, [500, 500]),
    ],
)
def test_counts(weights: list[int], turns: int, expected: list[int]) -> None:
    made = rotation(weights)
    counted = Counter(made.next() for _ in range(turns))
    assert [counted[i] for i in range(len(weights))] == expected


def test_nobody() -> None:
    made = rotation([])
    assert made.next() == -1
    made.assign([("a", 1)])
    assert made.next() == 0
    made.assign([])
    assert made.next() == -1


def test_equals_take_turns() -> None:
    made = rotation([7, 7, 7])
    assert [made.next() for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_smooth_not_in_bursts() -> None:
    made = rotation([5, 1, 1])
    assert [made.next() for _ in range(7)].count(0) == 5
    twice = rotation([5, 1, 1])
    longest = run = 0
    for _ in range(70):
        run = run + 1 if twice.next() == 0 else 0
        longest = max(longest, run)
    assert longest <= 3


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5, 8])
def test_workers_start_apart(workers: int) -> None:
    phases = sorted(worker_phase(Slot(slot)) for slot in range(workers))
    gaps = [b - a for a, b in zip(phases, [*phases[1:], phases[0] + 1], strict=True)]
    assert len(set(phases)) == workers
    assert max(gaps) <= 2 / workers


def test_no_shared_records_means_the_first_worker() -> None:
    assert worker_phase(None) == 0.0


@pytest.mark.parametrize(("turns_each", "least", "most"), [(250, 10, 10), (25, 1, 1), (100, 4, 4), (333, 13, 14)])
def test_four_workers_with_few_requests_each(turns_each: int, least: int, most: int) -> None:
    made = [rotation([99, 1], worker_phase(Slot(slot))) for slot in range(4)]
    canary = sum(r.next() for r in made for _ in range(turns_each))
    assert least <= canary <= most


def test_four_workers_uneven_load() -> None:
    """A hundred thousand requests, however they fall on the workers: 1,000, more or less by one a worker."""
    chance = random.Random(5)
    for _ in range(5):
        made = [rotation([99, 1], worker_phase(Slot(slot))) for slot in range(4)]
        loads = [chance.random() for _ in made]
        turns = [int(100_000 * load / sum(loads)) for load in loads]
        canary = sum(r.next() for r, n in zip(made, turns, strict=True) for _ in range(n))
        assert abs(canary - sum(turns) / 100) < 4


def test_a_change_of_members_keeps_what_is_due() -> None:
    """A third server comes and goes every 7 turns; the canary still gets its fraction of all turns."""
    made = Rotation()
    two, three = [("a", 99), ("b", 1)], [("a", 99), ("b", 1), ("c", 100)]
    due, had = 0.0, Counter[str]()
    for change in range(600):
        members = two if change % 2 else three
        made.assign(members)
        for _ in range(7):
            had[members[made.next()][0]] += 1
            due += 1 / sum(weight for _, weight in members)
    assert abs(had["b"] - due) <= 3


def test_the_same_members_again_change_nothing() -> None:
    plain, touched = rotation([5, 3, 2]), rotation([5, 3, 2])
    for _ in range(30):
        touched.assign([("0", 5), ("1", 3), ("2", 2)])
        assert touched.next() == plain.next()


def test_equals_go_on_where_they_were() -> None:
    made = rotation([1, 1, 1])
    assert [made.next(), made.next()] == [0, 1]
    made.assign([("0", 1), ("1", 1), ("2", 1)])
    assert made.next() == 2
    made.assign([("1", 1), ("2", 1)])
    assert made.next() in (0, 1)
