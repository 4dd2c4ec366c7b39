"""Counters of what is gone: kept while somebody may want them, then given back; sums stay exact, kills included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from edgerouter.contracts.messages import Retire
from edgerouter.contracts.plan import Plan, RouterEntry, ServiceEntry
from edgerouter.control.build_keys import Keys
from edgerouter.control.reclaim import Reclaim
from edgerouter.telemetry.levels import Facts, Levels
from edgerouter.telemetry.memory import FIRST_BLOCKS, TRAFFIC, CounterMemory
from edgerouter.telemetry.prometheus import Exposition
from edgerouter.telemetry.reader import CounterReader, new_memory
from edgerouter.telemetry.registry import MetricsRegistry

WHAT = TRAFFIC | 1 << 8 | 200 << 24


class World:
    """Control process and one worker, with messages that arrive when they are sent."""

    def __init__(self) -> None:
        self.fd = new_memory(0)
        self.memory = CounterMemory(self.fd)
        self.reader = CounterReader()
        self.reader.attach(0, self.fd)
        self.keys = Keys()
        self.facts = Facts(entrypoints={1: "web"})
        self.registry = MetricsRegistry(self.reader, lambda: self.facts, Levels(routers=True))
        self.told: list[Retire] = []
        self.is_busy = False
        self.reclaim = Reclaim(self.keys, self.registry, self.tell, lambda: self.is_busy)
        self.exposition = Exposition(self.registry)

    def tell(self, worker: int | str, message: Retire) -> None:
        self.told.append(message)
        self.memory.retire(list(message.places))

    def plan(self, *names: str) -> list[int]:
        """These routers, each with a service of its name; their numbers."""
        entries: dict[str, RouterEntry | ServiceEntry] = {}
        for name in names:
            router, service = self.keys.key("router", name), self.keys.key("service", name)
            entries[f"router:{name}"] = RouterEntry(name, ("web",), "PathPrefix(`/`)", 1, (), name, router)
            entries[f"service:{name}"] = ServiceEntry(name, "loadBalancer", {}, service)
        routers = {e.key: (e.name, e.service) for e in entries.values() if isinstance(e, RouterEntry)}
        services = {e.key: e.name for e in entries.values() if isinstance(e, ServiceEntry)}
        self.facts = Facts(entrypoints={1: "web"}, routers=routers, services=services)
        self.reclaim.take(Plan(dict(entries), {}))
        return list(routers)

    def count(self, keys: list[int], times: int = 1) -> None:
        for key in keys:
            for _ in range(times):
                self.memory.add(WHAT, 1, key, key, 10, 20, 0.01, 1)

    def used(self) -> int:
        """Blocks that the memory has room for by now."""
        return (os.fstat(self.fd).st_size // 8 - 64) // 16

    def requests(self) -> int:
        return sum(traffic.requests() for traffic in self.reader.totals().traffic.values())

    def page(self) -> str:
        return self.exposition.render("")[0].decode()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    os.close(made.fd)


async def test_names_without_end_take_no_room_and_every_request_stays_counted(world: World) -> None:
    for change in range(60):
        world.count(world.plan("stays", *(f"r{change}-{number}" for number in range(20))))
        await world.reclaim.look()
    assert world.requests() == 60 * 21
    assert world.used() <= FIRST_BLOCKS * 2, "blocks are used again"
    assert len(world.keys.state["router"]) <= 41 and len(world.keys.state["service"]) <= 41
    assert 'edgerouter_entrypoint_requests_total{code="200",method="GET",protocol="http",entrypoint="web"} 1260\n' in (
        world.page()
    )
    assert 'router="stays",service="stays"} 60\n' in world.page()
    assert "edgerouter_metrics_lost_total 0\n" in world.page()


async def test_a_name_that_is_gone_is_kept_until_two_scrapes_have_passed(world: World) -> None:
    world.count(world.plan("a"))
    assert 'router="a"' in world.page()
    world.plan()
    await world.reclaim.look()
    assert 'router="a",service="a"} 1\n' in world.page() and world.told == []
    await world.reclaim.look()
    assert 'router="a"' not in world.page() and world.told == []
    await world.reclaim.look()
    assert world.told == [Retire(places=(0,))]
    await world.reclaim.look()
    assert len(world.told) == 1 and world.requests() == 1


async def test_one_that_returns_in_time_goes_on_and_later_begins_anew(world: World) -> None:
    (first,) = world.plan("a")
    world.count([first])
    world.page()
    world.plan()
    await world.reclaim.look()
    assert world.plan("a") == [first]
    await world.reclaim.look()
    world.count([first])
    assert 'router="a",service="a"} 2\n' in world.page()
    world.plan()
    for _ in range(2):
        world.page()
    await world.reclaim.look()
    (second,) = world.plan("a")
    assert second != first
    world.count([second])
    assert 'router="a",service="a"} 1\n' in world.page()
    assert world.requests() == 3


async def test_a_late_exchange_of_a_router_that_is_gone_is_counted_and_goes_too(world: World) -> None:
    keys = world.plan("a")
    world.count(keys)
    world.plan()
    await world.reclaim.look()
    world.count(keys, 5)
    for _ in range(3):
        await world.reclaim.look()
    assert len(world.told) == 2 and world.requests() == 6
    series = set(world.reader.totals().traffic)
    assert series == {(WHAT, 1, 0, 0)}


async def test_nothing_is_dropped_while_a_build_may_use_the_name(world: World) -> None:
    (first,) = world.plan("a")
    world.plan()
    world.is_busy = True
    await world.reclaim.look()
    assert world.keys.key("router", "a") == first
    world.is_busy = False
    await world.reclaim.look()
    assert world.keys.key("router", "a") != first


async def test_blocks_that_were_misjudged_lose_nothing(world: World) -> None:
    """A message that is late meets a block of another series."""
    keys = world.plan("a", "b")
    world.count(keys)
    world.memory.retire([0, 1, 1, 7, -1])
    world.count(keys, 2)
    assert world.requests() == 6
    world.memory.retire([0, 1])
    assert world.requests() == 6
    world.page()
    assert 'router="a",service="a"} 3\n' in world.page()


def test_a_number_is_not_given_twice_over_a_live_upgrade() -> None:
    keys = Keys()
    numbers = [keys.key("router", name) for name in "abc"]
    keys.drop("router", numbers[2])
    after = Keys(keys.state)
    assert after.key("router", "c") == 4 and after.key("router", "a") == numbers[0]
    assert Keys({"router": {"old": 5}}).key("router", "new") == 6


def test_what_is_handed_over_is_not_taken_from_living_workers(world: World) -> None:
    """Between the hand-over and the next program a page may be made: the retired block must be counted once."""
    world.count(world.plan("a"), 3)
    left = world.reader.counted()
    world.memory.retire([0])
    assert world.requests() == 3
    successor = CounterReader()
    successor.restore(left)
    successor.attach("0-1", world.fd)
    assert sum(traffic.requests() for traffic in successor.totals().traffic.values()) == 3
    assert world.reader.counted().traffic == []
    world.reader.go_on()


CHILD = """
import sys
from edgerouter.telemetry.memory import TRAFFIC, CounterMemory
memory = CounterMemory(int(sys.argv[1]))
number = 0
while True:
    number += 1
    memory.add(TRAFFIC | 200 << 24, 1, number, number, 1, 1, 0.01, 0)
    if number % 10 == 0:
        memory.retire(list(range(400)))
    sys.stdout.write(".")
    sys.stdout.flush()
    if number % 100 == 0:
        sys.stdin.read(1)
"""


def test_sums_are_exact_when_a_worker_is_killed_while_it_gives_back() -> None:
    """Each dot was written after its request was counted: all are there, and at most one more."""
    fd = new_memory(0)
    command = [sys.executable, "-c", CHILD, str(fd)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[fd])
    assert child.stdin is not None and child.stdout is not None
    reader = CounterReader()
    reader.attach(0, fd)
    dots = 0
    while dots < 3000:
        dots += len(child.stdout.read(100))
        assert sum(traffic.requests() for traffic in reader.totals().traffic.values()) >= dots
        reader.forget(set(), set())
        child.stdin.write(b".")
        child.stdin.flush()
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    dots += len(child.stdout.read())
    child.stdout.close()
    child.stdin.close()
    for _ in range(2):
        assert dots <= sum(traffic.requests() for traffic in reader.totals().traffic.values()) <= dots + 1
        reader.detach(0)
    assert os.fstat(fd).st_size < 3000 * 128 / 2, "blocks were used again"
    os.close(fd)
