"""Following a daemon: what a stop does, whenever it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edgerouter.contracts.snapshot import Snapshot
from edgerouter.providers._follow import Follow


class Events:
    """A daemon that sends an event whenever the test says so."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def events(self, filters: str) -> AsyncIterator[dict[str, Any]]:
        while True:
            yield await self.queue.get()


class Listing(Follow):
    """Finds nothing, and rests until an event comes."""

    listings = decisions = 0
    facts_now: tuple[str, ...] = ()

    def mark(self, event: dict[str, Any]) -> bool:
        return False

    async def renew(self) -> None:
        self.listings += 1

    def known(self) -> tuple[str, ...]:
        return self.facts_now

    def decide(self, known: tuple[str, ...]) -> Snapshot:
        self.decisions += 1
        return Snapshot(sleeping=dict.fromkeys(known, "it is away"))

    def rest(self, heard: bool) -> float:
        return 60.0


async def collect(follow: Follow) -> None:
    async for _ in follow.run(follow=True):
        pass


async def passes(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


@pytest.mark.parametrize("turns", range(12))
async def test_a_stop_that_comes_with_an_event_is_a_stop(turns: int) -> None:
    """The cancellation arrives so many turns of the loop after the event: also in the very turn in which the rest
    between listings ends. asyncio.wait_for of Python 3.11 forgot it there, and following never ended."""
    events = Events()
    follow = Listing(events)  # type: ignore[arg-type]
    task = asyncio.create_task(collect(follow))
    async with asyncio.timeout(10):
        while not follow.listings:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)  # the pause after a listing, as long as the listing: none
        events.queue.put_nowait({})
        await passes(turns)
        task.cancel()
        ended, _ = await asyncio.wait([task], timeout=5)
    assert ended and task.cancelled(), f"it still lists: {follow.listings} times"


async def test_only_a_listing_that_finds_something_new_is_decided_upon() -> None:
    events = Events()
    follow = Listing(events)  # type: ignore[arg-type]
    found = follow.run(follow=True)
    try:
        async with asyncio.timeout(30):
            assert (await anext(found)).sleeping == {}
            answer = asyncio.create_task(anext(found))
            for listings in (2, 3):
                events.queue.put_nowait({})
                while follow.listings < listings:
                    await asyncio.sleep(0)
            await passes(20)
            assert follow.decisions == 1 and not answer.done()
            follow.facts_now = ("shop",)
            events.queue.put_nowait({})
            assert (await answer).sleeping == {"shop": "it is away"} and follow.decisions == 2
    finally:
        await found.aclose()
