"""From a provider's change to a plan in every worker: build, publish, show, tell. The order of it, and nothing else.

Plans are built in a thread, one at a time: with 10,000 routers that takes seconds, and workers must be heard meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from edgerouter.config.types import Problem
from edgerouter.contracts.certificates import CertificateSource
from edgerouter.contracts.plan import Plan
from edgerouter.contracts.snapshot import Provider, Snapshot
from edgerouter.control import announce
from edgerouter.control.build import Build, Builder, Inputs
from edgerouter.control.build_keys import Keys
from edgerouter.control.health import HealthChecks
from edgerouter.control.internal import internal_snapshot
from edgerouter.control.ledger import Ledger
from edgerouter.control.prepare import Prepared
from edgerouter.control.publish import Publisher
from edgerouter.control.supervisor import Supervisor, said
from edgerouter.control.view import Picture, ServiceView

FIRST_ANSWERS: Final = 5.0  # seconds that the first plan waits for providers that have not answered yet
LOOK_EVERY: Final = 1.0  # seconds between two looks at certificates' files
PATIENCE: Final = 10.0  # seconds until a worker that does not acknowledge is worth a line in the log
log = logging.getLogger("edgerouter.control")


class Configuring:
    """Runs the providers and publishes what they say. ``folder`` holds the control process's Unix sockets; ``health``
    checks the servers of each plan; ``take`` is called with every plan; ``snapshots`` are answers that the program
    before this one had: they hold until their providers answer anew."""

    def __init__(
        self,
        prepared: Prepared,
        keys: Keys,
        publisher: Publisher,
        picture: Picture,
        folder: str,
        health: HealthChecks,
        make_builder: Callable[[Keys], Builder] = Builder,
        take: Callable[[Plan], None] = lambda plan: None,
        snapshots: Mapping[str, Snapshot] | None = None,
        ledger: Ledger | None = None,
        certificates: CertificateSource | None = None,
    ) -> None:
        self._prepared = prepared
        self._publisher = publisher
        self._picture = picture
        self._health = health
        self._services: dict[str, ServiceView] = {}
        self._internal = internal_snapshot(prepared.static, folder)
        self._keys = keys
        self._make_builder = make_builder
        self._take = take
        self._certificates = certificates or CertificateSource()
        self._builder = make_builder(keys)
        self._ledger = ledger or Ledger()
        self._problems = announce.ProblemLog()
        self._found: tuple[Problem, ...] = ()
        self._fault: tuple[Problem, ...] = ()
        self._guard = guarded(prepared.providers)
        self._roots = files_roots(prepared.providers)
        self._wanted = asyncio.Event()
        self.renewing = False  # a build is under way
        self._tasks: set[asyncio.Task[None]] = set()
        self._supervisor = Supervisor(
            prepared.providers,
            self._wanted.set,
            float(prepared.static.providers.providers_throttle_duration),
            on_state=self._show_states,
        )
        self._supervisor.snapshots.update(snapshots or {})
        self._complete = bool(snapshots) and set(snapshots or {}) >= set(prepared.providers)

    async def run(self) -> None:
        """Returns never; cancelled at the end."""
        self._supervisor.start()
        try:
            silent = [] if self._complete else await self._supervisor.silent(FIRST_ANSWERS)
            if silent:
                words = "no answer from %s within %g s; the first configuration goes without"
                log.warning(words, ", ".join(f"providers.{name}" for name in silent), FIRST_ANSWERS)
            self._wanted.set()
            watching = asyncio.ensure_future(self._watch_certificates())
            self._tasks.add(watching)
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                await self._renew()
        finally:
            for task in self._tasks:
                task.cancel()
            await self._supervisor.stop()

    @property
    def snapshots(self) -> Mapping[str, Snapshot]:
        """Each provider's newest answer."""
        return self._supervisor.snapshots

    async def _watch_certificates(self) -> None:
        """Build again when a certificate's file changed, or what is said of one is no longer true."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._wanted.is_set() and not self.renewing and await asyncio.to_thread(self._certificates.changed):
                self._wanted.set()

    def reload(self) -> None:
        """Ask every provider that can to look at its source anew (SIGHUP)."""
        for name, provider in self._prepared.providers.items():
            again = getattr(provider, "reload", None)
            if callable(again):
                log.info("%s: reading its source again", name)
                again()

    async def _renew(self) -> None:
        """Build from the newest snapshots and publish; whatever goes wrong, the last plan goes on serving."""
        began = time.monotonic()
        snapshots: dict[str, Snapshot] = {"internal": self._internal, **self._supervisor.snapshots}
        self.renewing = True
        try:
            build = await asyncio.to_thread(self._build, snapshots)
            self._publish(build, began)
        except Exception as fault:  # ours, since a configuration's faults are problems and not exceptions
            log.exception("the newest configuration could not be used; the last one goes on serving")
            self._builder = self._make_builder(self._keys)  # the old one's memory may be half of this build
            message = f"it could not be used, and the last one goes on serving: {said(fault)}"
            self._fault = (Problem("configuration", message, "look at the log, and report it"),)
            self._show_states()
        finally:
            self.renewing = False

    def _build(self, snapshots: Mapping[str, Snapshot]) -> Build:
        keyring = self._certificates.load(snapshots)
        static = self._prepared.static
        return self._builder.build(
            Inputs(static=static, snapshots=snapshots, guard=self._guard, roots=self._roots, keyring=keyring)
        )

    def _publish(self, build: Build, began: float) -> None:
        seconds = time.monotonic() - began
        generation = self._publisher.publish(build.plan)
        self._services = build.services
        self._health.follow(build.plan)
        self._take(build.plan)
        self._fault = ()
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
            services=self._health.shown(build.services),
            middlewares=build.middlewares,
            entry_points=build.entry_points,
            certificates=build.certificates,
            ledger=self._ledger.lines(now),
        )
        self._show_states()

    def show_health(self) -> None:
        """Health checks found something."""
        self._picture.update(services=self._health.shown(self._services))

    def _show_states(self) -> None:
        found = (*self._fault, *self._found)
        problems = (*found, *self._supervisor.problems())
        self._problems.tell(found)  # the supervisor tells of lost sources itself
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


def files_roots(providers: Mapping[str, Provider]) -> dict[str, str]:
    """Providers whose objects may name files below one folder only: those with an option ``filesRoot``."""
    roots = {name: getattr(provider.options, "files_root", None) for name, provider in providers.items()}
    return {name: root for name, root in roots.items() if root is not None}
