"""Who is sent what, and when: everybody the changes since his own last plan, nobody two at a time."""

from __future__ import annotations

import asyncio

from edgerouter.contracts.messages import Applied, Delta, Message
from edgerouter.contracts.plan import Plan, RouterEntry, entry_key
from edgerouter.control.publish import Publisher
from edgerouter.control.publish_delta import deltas


class Listener:
    """A worker's place: keeps what it is sent."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.heard: list[Delta] = []

    def send(self, message: Message) -> None:
        assert isinstance(message, Delta)
        self.heard.append(message)

    def names(self) -> list[list[str]]:
        return [[entry.name for entry in delta.entries] for delta in self.heard]


def plan(**rules: str) -> Plan:
    entries = [RouterEntry(name, ("web",), rule, 1, (), "s@file", 1) for name, rule in rules.items()]
    by_key = {entry_key(entry): entry for entry in entries}
    return Plan(by_key, {key: hash(entry) for key, entry in by_key.items()})


async def test_each_worker_gets_what_changed_for_it() -> None:
    publisher, first, late = Publisher(deltas), Listener(0), Listener(1)
    publisher.join(first)
    assert first.heard == []
    publisher.publish(plan(a="Path(`/a`)", b="Path(`/b`)"))
    publisher.acknowledge(first, Applied(generation=1))
    publisher.publish(plan(a="Path(`/a`)", c="Path(`/c`)"))
    publisher.join(late)
    assert first.names() == [["a", "b"], ["c"]]
    assert first.heard[1].removed == ("router:b",)
    assert late.names() == [["a", "c"]]
    assert [delta.generation for delta in first.heard + late.heard] == [1, 2, 2]


async def test_who_is_busy_gets_only_the_newest_plan_when_he_is_done() -> None:
    publisher, worker = Publisher(deltas), Listener(0)
    publisher.join(worker)
    for rule in ("/1", "/2", "/3"):
        publisher.publish(plan(a=f"Path(`{rule}`)"))
    assert [delta.generation for delta in worker.heard] == [1]
    publisher.acknowledge(worker, Applied(generation=1))
    assert [delta.generation for delta in worker.heard] == [1, 3]
    publisher.acknowledge(worker, Applied(generation=3))
    assert len(worker.heard) == 2


async def test_served_waits_for_all_and_not_for_the_dead() -> None:
    publisher, one, two = Publisher(deltas), Listener(0), Listener(1)
    publisher.join(one)
    publisher.join(two)
    generation = publisher.publish(plan(a="Path(`/`)"))
    assert not await publisher.served(generation, 0.01)
    waiting = asyncio.ensure_future(publisher.served(generation, 10))
    publisher.acknowledge(one, Applied(generation=generation))
    await asyncio.sleep(0)
    assert not waiting.done()
    publisher.leave(two)
    assert await waiting


async def test_an_empty_plan_is_answered_too() -> None:
    publisher, worker = Publisher(deltas), Listener(0)
    publisher.publish(Plan({}, {}))
    publisher.join(worker)
    assert [(delta.generation, delta.last) for delta in worker.heard] == [(1, True)]
