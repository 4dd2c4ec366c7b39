"""The control process: its composition root. Sockets, workers, providers, API and dashboard are put together here.

What lives here: the order in which things begin and end, and who is handed whom. Every step is somebody else's file.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from edgerouter import __version__
from edgerouter.certs.store import Store
from edgerouter.clients.references import Limits
from edgerouter.config.static import EntryPoint, LifeCycle, StaticConfiguration
from edgerouter.contracts.messages import AS_LONG_AS_USUAL, Drain, Hello, ReopenLogs, ServersHealth
from edgerouter.contracts.plan import Plan
from edgerouter.control import announce, publish_delta
from edgerouter.control.build_keys import Keys
from edgerouter.control.configure import Configuring, files_roots, guarded
from edgerouter.control.drain import Ending
from edgerouter.control.end_anyway import LAST_SECONDS, end_within
from edgerouter.control.explain import Explainer
from edgerouter.control.facts import CERTIFICATE_FAMILIES, certificate_samples, facts_of
from edgerouter.control.handover import Handover, PointLeft, pack_snapshots, unpack_snapshots
from edgerouter.control.health import HealthChecks
from edgerouter.control.internal import socket_path
from edgerouter.control.launch import Launcher
from edgerouter.control.ledger import Ledger
from edgerouter.control.log import open_log
from edgerouter.control.measure import counter_reader, metrics_registry, push_tasks
from edgerouter.control.mirrors import FAMILIES as MIRRORS
from edgerouter.control.mirrors import mirror_samples
from edgerouter.control.missed import Missed
from edgerouter.control.notify import notify, watchdog_interval
from edgerouter.control.orphans import is_init, reap_orphans
from edgerouter.control.pages import Pages
from edgerouter.control.prepare import Prepared, kinds, prepare, with_real_ports
from edgerouter.control.privileges import drop
from edgerouter.control.publish import Publisher
from edgerouter.control.reclaim import Reclaim
from edgerouter.control.record_room import FAMILIES as RECORDS
from edgerouter.control.record_room import record_samples
from edgerouter.control.runtime_dir import SOCKET, runtime_dir
from edgerouter.control.sockets import Opened, close_all
from edgerouter.control.takeover import StartFailed, Succession, guard, open_points, unblock_signals
from edgerouter.control.upgrade import Outcome, UpgradeRefused, Upgrading, command_line
from edgerouter.control.view import Picture, View
from edgerouter.control.worker_process import WorkerProcess
from edgerouter.control.workers import HEARTBEAT, Workers
from edgerouter.dashboard.api import SERVICES, make_apps
from edgerouter.dashboard.explain import add_explain, add_names, add_workloads
from edgerouter.errors import ConfigurationError
from edgerouter.net import openssl
from edgerouter.telemetry.records import MOST_WORKERS, SharedRecords, create_records
from edgerouter.worker.loops import loop_factory

if TYPE_CHECKING:
    from edgerouter.certs.acme.resolvers import Resolvers

UNSENT_WITHIN: Final = 2.0  # seconds until every worker must have taken what it was sent, before an upgrade
log = logging.getLogger("edgerouter.control")


def run(static: StaticConfiguration, succession: Succession | None = None) -> int:
    """Run the router until it is told to end; the exit code: 0, 1 when it cannot go on, 2 for its configuration.

    ``succession``: it takes over from another program in this process."""
    opened: list[Opened] = []
    existing = None if succession is None else Path(succession.left.folder)
    signal.signal(signal.SIGTERM, _end_early)  # process 1 of a container would not see it otherwise
    try:
        with guard(succession):
            open_log(static.log)
            prepared, opened, gone = open_points(prepare(static), succession)
        with runtime_dir(prepared.owner, existing) as folder, guard(succession):
            if prepared.owner is not None:
                drop(*prepared.owner, keep_groups_of=prepared.group_files)
            return _serve(with_real_ports(prepared, opened), opened, folder, succession, gone)
    except ConfigurationError as error:
        print(f"edgerouter: {error.message}", file=sys.stderr)
        return 2
    finally:
        close_all(opened)


def _end_early(number: int, frame: object) -> None:
    """Asked to end before there is anything to end."""
    raise SystemExit(0)


def _serve(
    prepared: Prepared, opened: list[Opened], folder: Path, succession: Succession | None, gone: list[Opened]
) -> int:
    async def live() -> int:
        collect_less()
        return await Control(prepared, opened, folder, succession, gone).run()

    with asyncio.Runner(loop_factory=loop_factory(prepared.static.experimental.loop)) as runner:
        return runner.run(live())


def collect_less() -> None:
    """What is here now stays, and what comes comes in heaps (1,000 containers are 200,000 objects): without this the
    collector would walk all of it again and again while a configuration is made, a third of that work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _resolvers(prepared: Prepared) -> Resolvers | None:
    """Certificate resolvers, where there are any: what they import costs a second and 30 MB."""
    if not prepared.static.certificates_resolvers:
        return None
    from edgerouter.certs.acme.resolvers import Resolvers

    return Resolvers(prepared.static, prepared.points)


def _with(prepared: Prepared, resolvers: Resolvers | None) -> Prepared:
    """The same, with the resolvers among the providers."""
    if resolvers is None:
        return prepared
    return msgspec.structs.replace(prepared, providers={**prepared.providers, **resolvers.providers})


class Control:
    """The parts of the control process, and its life. ``folder`` is private: its Unix sockets are made there.

    With a ``succession`` it goes on where the program before it stopped; ``gone`` are sockets of that one's entry
    points that there are no more."""

    def __init__(
        self,
        prepared: Prepared,
        opened: list[Opened],
        folder: Path,
        succession: Succession | None = None,
        gone: Iterable[Opened] = (),
    ) -> None:
        static = prepared.static
        left = None if succession is None else succession.left
        self._succession = succession
        self._gone = list(gone)
        self._resolvers = _resolvers(prepared)
        self._prepared = prepared = _with(prepared, self._resolvers)
        self._opened = opened
        self._folder = folder
        self._began = time.monotonic()
        self._keys = Keys(None if left is None else left.keys)
        self._picture = Picture(View(started=time.time() if left is None else left.started))
        self._reader = counter_reader(static)
        self._publisher = Publisher(publish_delta.deltas, prepared.workers, 0 if left is None else left.generation)
        self._records = records_for(prepared.workers, -1 if left is None else left.records)
        self._launcher = Launcher(
            static,
            prepared.points,
            opened,
            {name: self._keys.key("entrypoint", name) for name in prepared.points},
            str(folder / SOCKET),
            self._records,
            self._reader,
        )
        self._workers = Workers(
            prepared.workers,
            self._publisher,
            self._launcher.launch,
            self._launcher.retire,
            prepared.static.experimental.patience,
        )
        self._metrics = metrics_registry(
            static, self._reader, lambda: facts_of(self._picture.view, self._workers.restarts)
        )
        shared = SharedRecords(self._records)
        self._health = HealthChecks(self._found, shared)
        self._workers.listen(self._greet)
        self._explainer = Explainer(static, prepared.points, self._picture)
        self._missed = Missed()
        for hear in (self._missed.hear, *(() if self._resolvers is None else (self._resolvers.hear,))):
            self._workers.listen(hear)
        self._certificates = _store(left, prepared)
        self._add_samples(shared)
        self._reclaim = Reclaim(
            self._keys, self._metrics, self._workers.send_to, busy=lambda: self._configuring.renewing
        )
        self._configuring = self._configure(left)
        self._pages = Pages(self._places(), None if left is None else left.pages)
        self._upgrading = self._upgrades(left)
        self._stop = asyncio.Event()
        ping_at = static.ping.entry_point if static.ping is not None else ""
        self._ending = Ending(self._workers, opened, prepared.points, terminating_status(static), ping_at)
        self._tasks: list[asyncio.Task[None]] = []

    def _add_samples(self, shared: SharedRecords) -> None:
        """What the metrics show besides the workers' counters."""
        self._metrics.add_source(mirror_samples(lambda: self._picture.view, shared), MIRRORS)
        self._metrics.add_source(record_samples(shared), RECORDS)
        self._metrics.add_source(lambda: certificate_samples(self._picture.view), CERTIFICATE_FAMILIES)
        if self._resolvers is not None:
            self._metrics.add_source(self._resolvers.samples, self._resolvers.FAMILIES)

    def _configure(self, left: Handover | None) -> Configuring:
        return Configuring(
            self._prepared,
            self._keys,
            self._publisher,
            self._picture,
            str(self._folder),
            self._health,
            take=self._taken,
            snapshots=None if left is None else unpack_snapshots(left.snapshots, self._prepared.providers, kinds()),
            ledger=None if left is None else Ledger(before=left.ledger),
            certificates=self._certificates if self._resolvers is None else self._resolvers.watched(self._certificates),
        )

    def _taken(self, plan: Plan) -> None:
        self._explainer.take(plan)
        self._reclaim.take(plan)

    def _upgrades(self, left: Handover | None) -> Upgrading:
        return Upgrading(
            Outcome(__version__) if left is None else outcome_of(left),
            self._hindrance,
            self._leave,
            self._be_quiet,
            self._be_loud,
        )

    async def run(self) -> int:
        """From the first worker to the last."""
        loop = asyncio.get_running_loop()
        self._listen_to_signals(loop)
        unblock_signals()
        announce.listening(self._opened, self._prepared.workers)
        if self._succession is not None:
            self._adopt(self._succession.left)
        self._workers.start()
        supervision = loop.create_task(self._configuring.run())
        if self._succession is not None:
            await self._succeed(self._succession, supervision)
        await self._pages.serve()  # after a live upgrade there is something to show by now
        self._tasks = [loop.create_task(self._announce_ready()), *push_tasks(self._prepared.backends, self._metrics)]
        self._tasks.append(loop.create_task(self._reclaim.run()))
        self._tick(loop, watchdog_interval())
        stop = loop.create_task(self._stop.wait())
        ends: list[asyncio.Future[Any]] = [stop, supervision, self._workers.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        code = self._exit_code(supervision)
        notify("STOPPING=1")
        await self._upgrading.stop()
        self._health.stop()
        await self._ending.run()  # workers first: their last requests may be for API or dashboard
        end_within(LAST_SECONDS, code, self._folder)
        await self._end([stop, supervision, *self._tasks])
        await self._pages.close()
        log.info("the end", extra={"event": "end"})
        return code

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _exit_code(self, supervision: asyncio.Task[None]) -> int:
        """0 when the end was asked for; otherwise why it came is logged, and nothing is waited for."""
        if self._workers.failed.done():
            log.critical("no worker can be started: %s", self._workers.failed.result())
        elif supervision.done():
            log.critical("the supervision of providers ended", exc_info=supervision.exception())
        else:
            return 0
        self._ending.hurry.set()
        return 1

    # -- live upgrade -----------------------------------------------------------------------------------------------

    def _adopt(self, left: Handover) -> None:
        """Go on with what the program before this one counted, and watch over its workers."""
        self._reader.restore(left.counted)
        self._launcher.adopt(left.workers)
        self._launcher.waits = True
        self._workers.restarts = left.restarts
        self._workers.adopt(left.workers)

    async def _succeed(self, succession: Succession, supervision: asyncio.Task[None]) -> None:
        """When every worker is there the old ones drain. Raises StartFailed: then the old program comes back."""
        complete = asyncio.ensure_future(self._workers.complete.wait())
        ends: list[asyncio.Future[Any]] = [complete, supervision, self._workers.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not complete.done():
            complete.cancel()
            ended = self._workers.failed.done()
            raise StartFailed(f"no worker starts: {self._workers.failed.result()}" if ended else "providers ended")
        succession.confirm()
        self._launcher.waits = False
        await self._workers.succeed(goodbyes(self._prepared.points, succession.left))
        close_all(self._gone)
        self._upgrading.outcome = outcome_of(succession.left, confirmed=True)
        announce.succeeded(self._upgrading.outcome, succession.left.version, time.monotonic() - self._began)

    def _hindrance(self) -> str:
        if self._stop.is_set():
            return "the router is about to end"
        return "" if all(slot.serving for slot in self._workers.slots) else "not every worker serves"

    async def _be_quiet(self) -> None:
        """Nothing half said may be left behind."""
        await self._pages.pause()
        for _ in range(round(UNSENT_WITHIN / 0.01)):
            if not any(process.unsent() for process in self._workers.alive()):
                return
            await asyncio.sleep(0.01)
        raise UpgradeRefused("a worker does not take its messages")

    async def _be_loud(self) -> None:
        self._reader.go_on()
        await self._pages.serve()
        if not self._stop.is_set():
            notify("READY=1")

    def _leave(self) -> Handover:
        view = self._picture.view
        alive = self._workers.alive()
        return Handover(
            version=__version__,
            program=command_line(),
            points=tuple(PointLeft(name=e.name, host=e.host, port=e.port, fds=e.fds) for e in self._opened),
            workers=tuple(process.leave(self._reader.memory(process.label)) for process in alive),
            pages=self._pages.fds,
            folder=str(self._folder),
            records=self._records,
            keys=self._keys.state,
            counted=self._reader.counted(),
            generation=self._publisher.generation,
            restarts=self._workers.restarts,
            upgrades=self._upgrading.outcome.count,
            started=view.started,
            patience=self._prepared.static.experimental.patience,
            snapshots=pack_snapshots(self._configuring.snapshots),
            ledger=view.ledger,
            certificates=self._certificates.state,
        )

    # -- signals ----------------------------------------------------------------------------------------------------

    def _listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_end, number)
        loop.add_signal_handler(signal.SIGHUP, self._configuring.reload)
        loop.add_signal_handler(signal.SIGUSR1, self._workers.send_all, ReopenLogs())
        loop.add_signal_handler(signal.SIGUSR2, self._asked_to_upgrade)

    def _asked_to_upgrade(self) -> None:
        why = self._upgrading.ask()
        if why:
            log.error("SIGUSR2: no upgrade now: %s", why, extra={"event": "upgradeFailed"})

    def _asked_to_end(self, number: signal.Signals) -> None:
        """The second time means: at once."""
        if self._stop.is_set():
            log.warning("%s again: ending at once", signal.Signals(number).name)
            self._ending.hurry.set()
            return
        log.info("%s: ending in order", signal.Signals(number).name, extra={"event": "ending"})
        self._stop.set()
        if self._succession is not None:
            self._succession.asked_to_end = True

    def _tick(self, loop: asyncio.AbstractEventLoop, watchdog: float) -> None:
        """What is looked at now and then."""
        loop.call_later(min(HEARTBEAT, watchdog or HEARTBEAT), self._tick, loop, watchdog)
        self._picture.update(workers=self._workers.views())
        if self._health.watches_failures():
            self._configuring.show_health()
        if watchdog:
            notify("WATCHDOG=1")
        if is_init() or self._succession is not None:
            reap_orphans(self._workers.pids)

    # -- health of servers -------------------------------------------------------------------------------------------

    def _found(self, health: ServersHealth) -> None:
        """A health check found a server down, or well again."""
        self._workers.send_all(health)
        self._configuring.show_health()

    def _greet(self, process: WorkerProcess, message: Any) -> None:
        """A new worker believes that all servers are up."""
        if isinstance(message, Hello):
            process.send(self._health.known())

    # -- pages and readiness ----------------------------------------------------------------------------------------

    def _places(self) -> dict[Path, Callable[[], web.Application]]:
        """API, dashboard and metrics, each on a private Unix socket; workers reach them as they reach any server. One
        more is for ``edgerouter healthcheck``, ``edgerouter upgrade`` and their like."""
        places: dict[Path, Callable[[], web.Application]] = {self._folder / SOCKET: self._own_page}
        for name in SERVICES:
            places[Path(socket_path(str(self._folder), name))] = partial(self._internal_page, name)
        if self._resolvers is not None:
            places[Path(socket_path(str(self._folder), "acme-http"))] = self._resolvers.tokens.app
        return places

    def _own_page(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ping", self._ping)
        app.router.add_get("/upgrade", self._upgrade)
        app.router.add_post("/upgrade", self._upgrade)
        add_explain(app.router, "", self._explainer, self._missed)
        add_workloads(app.router, "", self._picture)
        add_names(app.router, "", self._picture)
        if self._resolvers is not None:
            self._resolvers.add_retry(app.router)
        return app

    def _internal_page(self, name: str) -> web.Application:
        apps = make_apps(self._picture, self._metrics, self._prepared.static, self._explainer, self._missed)
        return apps[name]

    async def _upgrade(self, request: web.Request) -> web.Response:
        """How the last upgrade went; POST begins one: who may open this socket is the router's own user, or root."""
        if request.method == "POST":
            asked = await request.json() if request.can_read_body else {}
            why = self._upgrading.ask(str(asked.get("program", "")))
            if why:
                return web.json_response({"state": "failed", "reason": why}, status=409)
        return web.json_response(msgspec.to_builtins(self._upgrading.outcome))

    async def _ping(self, request: web.Request) -> web.Response:
        """For ``edgerouter healthcheck``, which needs no port."""
        well = self._workers.complete.is_set() and not self._stop.is_set()
        return web.Response(text="OK" if well else "not ready", status=200 if well else 503)

    async def _announce_ready(self) -> None:
        await self._workers.complete.wait()
        seconds = time.monotonic() - self._began
        announce.ready(self._prepared.static, self._opened, seconds, __version__)
        notify("READY=1")


def records_for(workers: int, before: int) -> int:
    """The shared records: those from before if they have room, else new ones. Twice the workers' parts, since after a
    live upgrade the old ones go on for a while."""
    if before >= 0:
        try:
            if SharedRecords(before).workers >= workers:
                return before
        except ValueError as error:
            log.warning("limits and breakers begin anew: %s", error)
    return create_records(workers=min(MOST_WORKERS, 2 * workers))


def outcome_of(left: Handover, confirmed: bool = False) -> Outcome:
    """How the upgrade went that this program comes from."""
    state = "failed" if left.tries else "done"
    return Outcome(__version__, left.upgrades, state if confirmed else "checking", left.reason)


def goodbyes(points: Mapping[str, EntryPoint], left: Handover) -> list[Drain]:
    """What the old workers are told: connections end when they would, or with their next answer."""
    drains = []
    for point in left.points:
        cycle = points[point.name].transport.life_cycle if point.name in points else LifeCycle()
        grace = float(cycle.upgrade_grace_time_out)
        drains.append(Drain(timeout=grace, idle=AS_LONG_AS_USUAL, entry_points=(point.name,)))
    return drains


def terminating_status(static: StaticConfiguration) -> int:
    """What ping answers while the router ends."""
    return static.ping.terminating_status_code if static.ping is not None else 503


def _store(left: Handover | None, prepared: Prepared) -> Store:
    limits = Limits(guarded(prepared.providers), files_roots(prepared.providers))
    state, transport = None if left is None else left.certificates, prepared.static.servers_transport
    return Store(openssl.REASON, state, limits=limits, transport=transport)
