"""From a provider's change to a plan in every worker: build, publish, show, tell. The order of it, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Provider, Snapshot
from edgerouter.control import announce
from edgerouter.control.build import Build, Builder, Inputs
from edgerouter.control.build_keys import Keys
from edgerouter.control.internal import internal_snapshot
from edgerouter.control.ledger import Ledger
from edgerouter.control.prepare import Prepared
from edgerouter.control.publish import Publisher
from edgerouter.control.supervisor import Supervisor
from edgerouter.control.view import Picture

FIRST_ANSWERS: Final = 5.0  # seconds that the first plan waits for providers that have not answered yet
PATIENCE: Final = 10.0  # seconds until a worker that does not acknowledge is worth a line in the log
log = logging.getLogger("edgerouter.control")


class Configuring:
    """Runs the providers and publishes what they say. ``control_path`` is the control process's Unix socket."""

    def __init__(
        self, prepared: Prepared, keys: Keys, publisher: Publisher, picture: Picture, control_path: str
    ) -> None:
        self._prepared = prepared
        self._publisher = publisher
        self._picture = picture
        self._internal = internal_snapshot(prepared.static, control_path)
        self._builder = Builder(keys)
        self._ledger = Ledger()
        self._problems = announce.ProblemLog()
        self._found: tuple[Problem, ...] = ()
        self._guard = guarded(prepared.providers)
        self._begun = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._supervisor = Supervisor(
            prepared.providers,
            self._changed,
            float(prepared.static.providers.providers_throttle_duration),
            on_state=self._show_states,
        )

    async def run(self) -> None:
        """Returns never; cancelled at the end."""
        self._supervisor.start()
        try:
            if not await self._supervisor.answered(FIRST_ANSWERS):
                log.warning("some providers have not answered yet; the first configuration goes without them")
            self._begun = True
            self._changed()
            await asyncio.Event().wait()
        finally:
            await self._supervisor.stop()

    def reload(self) -> None:
        """Ask every provider that can to look at its source anew (SIGHUP)."""
        for name, provider in self._prepared.providers.items():
            again = getattr(provider, "reload", None)
            if callable(again):
                log.info("%s: reading its source again", name)
                again()

    def _changed(self) -> None:
        if not self._begun:
            return
        began = time.monotonic()
        snapshots: dict[str, Snapshot] = {"internal": self._internal, **self._supervisor.snapshots}
        build = self._builder.build(Inputs(static=self._prepared.static, snapshots=snapshots, guard=self._guard))
        seconds = time.monotonic() - began
        generation = self._publisher.publish(build.plan)
        self._show(build, generation, seconds)
        task = asyncio.ensure_future(self._confirm(generation, build, began))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _show(self, build: Build, generation: int, seconds: float) -> None:
        now = time.time()
        self._ledger.update(build.ledger, now)
        self._found = build.problems
        self._picture.update(
            generation=generation,
            published=now,
            build_seconds=seconds,
            routers=build.routers,
            services=build.services,
            middlewares=build.middlewares,
            entry_points=build.entry_points,
            ledger=self._ledger.lines(now),
        )
        self._show_states()

    def _show_states(self) -> None:
        problems = (*self._found, *self._supervisor.problems())
        self._problems.tell(self._found)  # the supervisor tells of lost sources itself
        self._picture.update(providers=dict(sorted(self._supervisor.states.items())), problems=problems)

    async def _confirm(self, generation: int, build: Build, began: float) -> None:
        everywhere = await self._publisher.served(generation, PATIENCE)
        if generation == self._publisher.generation:
            seconds = time.monotonic() - began
            announce.applied(generation, len(build.routers), len(build.services), seconds, everywhere)
            self._supervisor.report(build.problems, build.ledger)


def guarded(providers: Mapping[str, Provider]) -> frozenset[str]:
    """Providers whose objects may not name ``*@internal``: those with an option ``allowInternal`` that is off."""
    return frozenset(
        name for name, provider in providers.items() if getattr(provider.options, "allow_internal", True) is False
    )
