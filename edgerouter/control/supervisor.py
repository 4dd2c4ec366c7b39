"""Runs providers: takes their snapshots, restarts those that fail, tells when the configuration changed.

What lives here: the life of streams. A stream that fails or ends never withdraws its last snapshot: it goes on serving,
marked stale with the reason. What snapshots mean is ``build``'s question.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import Final

import msgspec

from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Outcome, Provider, Snapshot, Workload
from edgerouter.control.supervisor_throttle import Throttle, only_servers
from edgerouter.control.supervisor_timing import Timing
from edgerouter.control.view import ProviderView

FIRST_DELAY: Final = 0.5  # seconds before the first restart; doubled at each further one
LONGEST_DELAY: Final = 30.0
STEADY: Final = 10.0  # a stream that lived this long starts counting anew
STOP_SECONDS = 5.0  # that a provider has for its end
THROTTLE: Final = 0.2  # providers.providersThrottleDuration

log = logging.getLogger("edgerouter.providers")


def back_off(failures: int, random: float) -> float:
    """Seconds before restart number ``failures``: doubled up to the cap, and spread over its upper half."""
    delay = float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures - 1, 16)))
    return delay * (0.5 + random / 2)


class Supervisor:
    """``on_change`` is called whenever the Plan should be built anew; ``on_state`` when only ``states`` changed.

    ``snapshots`` holds each provider's newest answer; a provider that has not answered yet is not in it.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        on_change: Callable[[], None],
        throttle: float = THROTTLE,
        timing: Timing | None = None,
        on_state: Callable[[], None] = lambda: None,
    ) -> None:
        self.snapshots: dict[str, Snapshot] = {}
        self.states = {name: ProviderView(name=name, kind=name) for name in providers}
        self._providers = dict(providers)
        self._timing = timing or Timing()
        self._throttle = Throttle(throttle, self._timing, on_change)
        self._on_state = on_state
        self._tasks: set[asyncio.Task[None]] = set()
        self._reports: dict[str, Outcome] = {}
        self._reporting: set[str] = set()
        self._answered = asyncio.Event()

    def start(self) -> None:
        """Run every provider."""
        for name, provider in self._providers.items():
            self._spawn(name, self._run(name, provider))
        self._look_for_silent()

    async def stop(self) -> None:
        """End all streams. One that does not end in time is left behind: a stop must not wait for a plugin's fault."""
        self._throttle.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in left:
            log.warning(
                "%s: it did not end within %g s of being told to, and is left behind", task.get_name(), STOP_SECONDS
            )

    async def silent(self, seconds: float) -> list[str]:
        """Wait until every provider has answered once or failed, at most that long; the names of those that did not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._answered.wait()
        return [name for name, state in self.states.items() if state.state == "starting"]

    def problems(self) -> tuple[Problem, ...]:
        """One for each provider that has lost its source."""
        return tuple(
            Problem(f"providers.{state.name}", _lost(state), "", state.name, "warning")
            for state in self.states.values()
            if state.state == "stale"
        )

    def report(self, problems: Iterable[Problem], workloads: Iterable[tuple[str, Workload]]) -> None:
        """Tell each provider what became of its snapshot; a provider that is still busy with one gets the newest."""
        by_provider: dict[str, list[Workload]] = {name: [] for name in self.snapshots}
        for name, workload in workloads:
            by_provider.setdefault(name, []).append(workload)
        everything = tuple(problems)
        for name, provider in self._providers.items():
            if type(provider).report is Provider.report or name not in by_provider:
                continue
            mine = tuple(problem for problem in everything if problem.source == name)
            self._reports[name] = Outcome(provider=name, problems=mine, workloads=tuple(by_provider[name]))
            if name not in self._reporting:
                self._reporting.add(name)
                self._spawn(name, self._report(name, provider))

    async def _report(self, name: str, provider: Provider) -> None:
        try:
            while name in self._reports:
                await provider.report(self._reports.pop(name))
        except Exception as error:
            log.warning("%s: what became of its configuration could not be written back: %s", name, said(error))
        finally:
            self._reporting.discard(name)

    def _spawn(self, name: str, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, name: str, provider: Provider) -> None:
        failures = 0
        while True:
            began = self._timing.now()
            try:
                await self._stream(name, provider.watch())
            except Exception as error:  # whatever a provider raises means: the source is lost, try again
                failures = 1 if self._timing.now() - began >= STEADY else failures + 1
                self._failed(name, error)
            else:
                self._set(name, state="ended", reason="its stream is complete", since=self._timing.wall())
                return
            await self._timing.sleep(back_off(failures, self._timing.random()))

    async def _stream(self, name: str, stream: AsyncIterator[Snapshot]) -> None:
        close = getattr(stream, "aclose", None)
        try:
            async for snapshot in stream:
                if not isinstance(snapshot, Snapshot):
                    raise TypeError(f"watch() gave a {type(snapshot).__name__}, not a Snapshot")
                self._take(name, snapshot)
        finally:
            if close is not None:
                await close()

    def _take(self, name: str, snapshot: Snapshot) -> None:
        state, wall = self.states[name], self._timing.wall()
        recovered = state.state == "stale"
        since = state.since if state.state == "running" else wall
        count = state.snapshots + 1
        self._set(name, state="running", reason="", since=since, snapshots=count, last_snapshot=wall)
        if recovered:
            log.info("%s: back again", name)
        old = self.snapshots.get(name)
        if old == snapshot:
            return
        self.snapshots[name] = snapshot
        self._throttle.changed(only_servers(old, snapshot))

    def _failed(self, name: str, error: Exception) -> None:
        state = self.states[name]
        since = state.since if state.state == "stale" else self._timing.wall()
        self._set(name, state="stale", reason=said(error), since=since, restarts=state.restarts + 1)
        log.warning("%s: %s", name, _lost(self.states[name]))

    def _set(self, name: str, **fields: object) -> None:
        before = self.states[name]
        self.states[name] = msgspec.structs.replace(before, **fields)
        self._look_for_silent()
        if before.state != self.states[name].state:
            self._on_state()

    def _look_for_silent(self) -> None:
        if all(state.state != "starting" for state in self.states.values()):
            self._answered.set()


def said(error: Exception) -> str:
    """What an exception says, on one line; its class where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def _lost(state: ProviderView) -> str:
    kept = "its last configuration goes on serving" if state.snapshots else "it has given no configuration yet"
    return f"lost its source ({state.reason}); {kept}"
