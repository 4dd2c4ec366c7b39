"""From change to plan: built beside the loop, one at a time, the newest wins, and no fault of a build ends it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from live.toolbox import until

from edgerouter.config.dynamic import DynamicConfiguration, HttpConfiguration, Model, Router
from edgerouter.config.static import EntryPoint, Providers, StaticConfiguration
from edgerouter.config.types import Duration
from edgerouter.contracts.snapshot import Provider, ProviderContext, Snapshot
from edgerouter.control.build import Builder
from edgerouter.control.build_keys import Keys
from edgerouter.control.build_routers import RuleCheck, check_rule
from edgerouter.control.configure import Configuring
from edgerouter.control.health import HealthChecks
from edgerouter.control.prepare import Prepared, prepare
from edgerouter.control.publish import Publisher
from edgerouter.control.publish_delta import deltas
from edgerouter.control.view import Picture, View
from edgerouter.telemetry.records import SharedRecords


class Nothing(Model, frozen=True):
    """No options."""


def answer(*rules: str) -> Snapshot:
    """Routers ``r0``, ``r1`` ... with these rules."""
    routers = {f"r{number}": Router(rule=rule, service="noop@internal") for number, rule in enumerate(rules)}
    return Snapshot(configuration=DynamicConfiguration(http=HttpConfiguration(routers=routers)))


class Told(Provider):
    """Says what the test tells it to."""

    def __init__(self) -> None:
        super().__init__(Nothing(), ProviderContext(name="told", kinds={}, prefixes=()))
        self.answers: asyncio.Queue[Snapshot] = asyncio.Queue()

    async def watch(self) -> AsyncIterator[Snapshot]:
        while True:
            yield await self.answers.get()


class Scene:
    """A provider that the test speaks for, and everything up to the workers."""

    def __init__(self, check: RuleCheck) -> None:
        self.provider = Told()
        self.picture = Picture(View())
        self.publisher = Publisher(deltas)
        self.configuring = Configuring(
            self._prepared(),
            Keys(),
            self.publisher,
            self.picture,
            "/nowhere",
            HealthChecks(lambda health: None, SharedRecords()),
            lambda keys: Builder(keys, check),
        )

    def _prepared(self) -> Prepared:
        static = StaticConfiguration(
            entry_points={"web": EntryPoint(address="127.0.0.1:0")},
            providers=Providers(providers_throttle_duration=Duration(0)),
        )
        prepared = prepare(static)
        return Prepared(
            static=static,
            points=prepared.points,
            addresses=prepared.addresses,
            workers=1,
            providers={"told": self.provider},
            backends={},
        )

    def say(self, *rules: str) -> None:
        self.provider.answers.put_nowait(answer(*rules))

    def rules(self) -> list[str]:
        """Rules that are served."""
        return [view.rule for view in self.picture.view.routers.values() if view.provider == "told"]

    async def serves(self, *rules: str) -> None:
        await until(lambda: self.rules() == list(rules), f"{rules}, and not {self.rules()}")


@asynccontextmanager
async def scene(check: RuleCheck) -> AsyncIterator[Scene]:
    made = Scene(check)
    task = asyncio.ensure_future(made.configuring.run())
    try:
        yield made
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_build_does_not_hold_the_loop_and_what_came_meanwhile_is_built_once() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(rule: str, syntax: str) -> str:
        if rule == "Host(`slow.test`)":
            entered.set()
            assert go_on.wait(20), "the loop was held by the build, or the test is broken"
        return check_rule(rule, syntax)

    async with scene(slow) as made:
        made.say("Host(`slow.test`)")
        await until(entered.is_set, "the build's begin")
        for number in range(5):
            made.say(f"Host(`n{number}.test`)")
        await until(made.provider.answers.empty, "the provider's snapshots to be taken")
        assert made.publisher.generation == 0
        go_on.set()
        await made.serves("Host(`n4.test`)")
        assert made.publisher.generation == 2


async def test_a_fault_of_a_build_is_told_and_the_last_plan_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def faulty(rule: str, syntax: str) -> str:
        if "boom" in rule:
            raise RuntimeError("a fault of ours")
        return check_rule(rule, syntax)

    caplog.set_level(logging.ERROR)
    async with scene(faulty) as made:
        made.say("Host(`a.test`)")
        await made.serves("Host(`a.test`)")
        made.say("Host(`a.test`)", "Host(`boom.test`)")
        await until(lambda: made.picture.view.problems, "the problem to be shown")
        (problem,) = made.picture.view.problems
        assert problem.path == "configuration" and "a fault of ours" in problem.message
        assert "the last one goes on serving" in caplog.text
        assert made.rules() == ["Host(`a.test`)"]
        made.say("Host(`a.test`)", "Host(`b.test`)")
        await made.serves("Host(`a.test`)", "Host(`b.test`)")
        assert made.picture.view.problems == ()


async def test_a_first_build_that_fails_leaves_the_next_one_its_chance() -> None:
    faults = [RuntimeError("once")]

    def faulty(rule: str, syntax: str) -> str:
        if faults:
            raise faults.pop()
        return ""

    async with scene(faulty) as made:
        made.say("Host(`a.test`)")
        await until(lambda: made.picture.view.problems, "the problem to be shown")
        made.say("Host(`b.test`)")
        await made.serves("Host(`b.test`)")


async def test_the_loop_goes_on_while_thousands_of_routers_are_built() -> None:
    async with scene(check_rule) as made:
        rules = [f"Host(`h{number}.test`) && PathPrefix(`/p{number}`)" for number in range(3000)]
        made.say(*rules)
        longest, before = 0.0, time.monotonic()
        while len(made.rules()) < len(rules):
            await asyncio.sleep(0.001)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
        built = made.picture.view.build_seconds
        assert longest < max(0.25, built / 2), f"the loop was held for {longest:.3f} s of a build of {built:.3f} s"
