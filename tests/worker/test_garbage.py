"""What a worker frees: old plans in slices whatever their shape, nothing that is shared, cycles when nobody waits."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from live.toolbox import until

from edgerouter.worker import garbage
from edgerouter.worker.garbage import Garbage, dismantled


class Thing:
    """Something that can be watched."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    gc.enable()


def plan(size: int, shared: Thing) -> tuple[dict[str, Thing], list[weakref.ref[Thing]]]:
    """Objects in containers in objects, some of them held twice, and references that keep nothing alive."""
    things = {str(number): Thing([Thing(number), shared], {"deep": Thing((Thing(), shared))}) for number in range(size)}
    things["again"] = things["0"]
    return things, [weakref.ref(thing) for thing in things.values()]


def test_everything_of_its_own_is_freed_and_nothing_else_a_little_at_a_time() -> None:
    shared = Thing()
    things, watched = plan(100, shared)
    kept = things["7"]
    old: list[Any] = [things, None, things]
    del things
    alive = []
    for _ in dismantled(old):
        alive.append(sum(ref() is not None for ref in watched))
    assert [ref() for ref in watched if ref() is not None] == [kept]
    assert kept.parts[0][1] is shared
    drops = [before - after for before, after in pairwise(alive)]
    assert max(drops) <= 2, "a step freed more than one object (held under two names)"


async def test_an_old_plan_does_not_hold_the_loop() -> None:
    made = Garbage(asyncio.get_running_loop(), lambda: False)
    shared = Thing()
    things, watched = plan(20_000, shared)
    longest, before = 0.0, time.thread_time()
    made.swapped(things)
    del things
    while any(ref() is not None for ref in watched):
        await asyncio.sleep(0)
        longest, before = max(longest, time.thread_time() - before), time.thread_time()
    assert longest < 0.05, f"{longest * 1000:.1f} ms in one turn"
    assert gc.isenabled() and gc.get_threshold()[2] == garbage.NEVER


@pytest.mark.parametrize(("idle", "patience"), [(True, 240), (False, 3)])
async def test_cycles_are_looked_for_when_nobody_waits_or_patience_ends(
    monkeypatch: pytest.MonkeyPatch, idle: bool, patience: int
) -> None:
    monkeypatch.setattr(garbage, "PAUSE", 0.01)
    monkeypatch.setattr(garbage, "WORTH", 0)
    monkeypatch.setattr(garbage, "PATIENCE", patience)
    gc.collect()
    one = Thing()
    one.parts = (one,)
    watched = weakref.ref(one)
    gc.collect()  # it is old now
    del one
    Garbage(asyncio.get_running_loop(), lambda: idle)
    await until(lambda: watched() is None, "the cycle to be found", 10)


async def test_everything_is_walked_after_many_swaps_in_a_quiet_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "PAUSE", 0.01)
    monkeypatch.setattr(garbage, "WHOLE_EVERY", 2)
    monkeypatch.setattr(garbage, "QUIET", 3)
    idle = [False]
    made = Garbage(asyncio.get_running_loop(), lambda: idle[0])
    one = Thing()
    one.parts = (one,)
    watched = weakref.ref(one)
    made.swapped()
    made.swapped()
    del one
    gc.collect()
    await asyncio.sleep(0.1)
    assert watched() is not None
    idle[0] = True
    await until(lambda: watched() is None, "the frozen cycle to be found", 10)
