"""Snapshots in, plans out: the round from a provider's change to a build that is published, shown and reported.

What lives here: when to build, and who is told of it. A build runs in a thread, one at a time: it is pure, and ten
thousand new routers must not keep the control process from its workers' signs of life.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Provider
from edgerouter.control.aggregate import INTERNAL
from edgerouter.control.build import Build, Builder, Inputs
from edgerouter.control.build_keys import Keys
from edgerouter.control.internal import internal_snapshot
from edgerouter.control.ledger import Ledger
from edgerouter.control.supervisor import Supervisor
from edgerouter.control.supervisor_timing import Timing
from edgerouter.control.view import Picture, ProviderView

log = logging.getLogger("edgerouter.control")
FIRST_ANSWERS: Final = 2.0  # seconds that the first plan waits for all providers: no 404 at start where none is due


def guard_of(providers: Mapping[str, Provider]) -> frozenset[str]:
    """Providers whose objects may not name ``*@internal``: those that have the option allowInternal, and it is off."""
    return frozenset(
        n for n, provider in providers.items() if getattr(provider.options, "allow_internal", None) is False
    )


class Cycle:
    """``publish(build, seconds)`` sends a build out; ``seconds`` is what it took. ``picture`` shows it after that."""

    def __init__(
        self,
        static: StaticConfiguration,
        control_path: str,
        providers: Mapping[str, Provider],
        keys: Keys,
        picture: Picture,
        publish: Callable[[Build, float], None],
        timing: Timing | None = None,
    ) -> None:
        self._inputs = Inputs(
            static=static,
            snapshots={INTERNAL: internal_snapshot(static, control_path)},
            guard=guard_of(providers),
        )
        self._timing = timing or Timing()
        self._builder = Builder(keys)
        self._picture = picture
        self._publish = publish
        self._ledger = Ledger()
        self._due = asyncio.Event()
        self._build: Build | None = None
        self._fault: Problem | None = None
        throttle = float(static.providers.providers_throttle_duration)
        self.supervisor = Supervisor(providers, self._due.set, throttle, self._timing, self._show)

    async def run(self, first_answers: float = FIRST_ANSWERS) -> None:
        """Run until cancelled."""
        self.supervisor.start()
        try:
            await self.supervisor.answered(first_answers)
            self._due.set()
            while True:
                await self._due.wait()
                self._due.clear()
                try:
                    await self._round()
                except Exception:  # a fault of ours or of a plugin must not end the router: the last plan serves on
                    self._fault = _FAULT
                    log.exception("the configuration could not be built")
                    self._show()
        finally:
            await self.supervisor.stop()

    def servers_down(self, down: frozenset[tuple[str, str]]) -> None:
        """What health checks found: (service, server url) pairs; acted upon at once."""
        if down != self._inputs.down:
            self._inputs = msgspec.structs.replace(self._inputs, down=down)
            self._due.set()

    async def _round(self) -> None:
        inputs = self._inputs
        snapshots = {**self.supervisor.snapshots, INTERNAL: inputs.snapshots[INTERNAL]}
        inputs = msgspec.structs.replace(inputs, snapshots=snapshots)
        began = time.perf_counter()
        build = await asyncio.to_thread(self._builder.build, inputs)
        seconds = time.perf_counter() - began
        self._publish(build, seconds)
        self._build, self._fault = build, None
        self._ledger.update(build.ledger, self._timing.wall())
        self._picture.update(
            generation=self._picture.view.generation + 1,
            published=self._timing.wall(),
            build_seconds=seconds,
            routers=build.routers,
            services=build.services,
            middlewares=build.middlewares,
            entry_points=build.entry_points,
        )
        self._show()
        self.supervisor.report(build.problems, build.ledger)

    def _show(self) -> None:
        """The part of the picture that changes without a build too."""
        now = self._timing.wall()
        problems = self._build.problems if self._build is not None else ()
        if self._fault is not None:
            problems = (*problems, self._fault)
        self._picture.update(
            providers={INTERNAL: _INTERNAL_VIEW, **dict(sorted(self.supervisor.states.items()))},
            problems=tuple(sorted({*problems, *self.supervisor.problems()})),
            ledger=self._ledger.lines(now),
        )


_FAULT: Final = Problem(
    "", "the newest configuration could not be built; the last good one goes on serving", "see the log"
)
_INTERNAL_VIEW: Final = ProviderView(name=INTERNAL, kind=INTERNAL, state="running", snapshots=1)
