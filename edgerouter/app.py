"""The control process: its composition root. Sockets, workers, providers, API and dashboard are put together here.

What lives here: the order in which things begin and end, and who is handed whom. Every step is somebody else's file.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from edgerouter import __version__
from edgerouter.config.static import StaticConfiguration
from edgerouter.contracts.messages import Hello, ReopenLogs, ServersHealth
from edgerouter.control import announce, publish_delta
from edgerouter.control.build_keys import Keys
from edgerouter.control.configure import Configuring
from edgerouter.control.drain import Ending
from edgerouter.control.explain import Explainer
from edgerouter.control.facts import facts_of
from edgerouter.control.health import HealthChecks
from edgerouter.control.internal import socket_path
from edgerouter.control.launch import Launcher
from edgerouter.control.log import open_log
from edgerouter.control.measure import counter_reader, metrics_registry, push_tasks
from edgerouter.control.mirrors import FAMILIES as MIRRORS
from edgerouter.control.mirrors import mirror_samples
from edgerouter.control.notify import notify, watchdog_interval
from edgerouter.control.orphans import is_init, reap_orphans
from edgerouter.control.prepare import Prepared, prepare, with_real_ports
from edgerouter.control.privileges import drop
from edgerouter.control.publish import Publisher
from edgerouter.control.runtime_dir import SOCKET, runtime_dir
from edgerouter.control.sockets import Opened, close_all, open_all
from edgerouter.control.view import Picture, View
from edgerouter.control.worker_process import WorkerProcess
from edgerouter.control.workers import HEARTBEAT, Workers
from edgerouter.dashboard.api import make_apps
from edgerouter.dashboard.explain import add_explain, add_workloads
from edgerouter.errors import ConfigurationError
from edgerouter.telemetry.records import SharedRecords, create_records
from edgerouter.worker.loops import loop_factory

log = logging.getLogger("edgerouter.control")


def run(static: StaticConfiguration) -> int:
    """Run the router until it is told to end; the exit code: 0, 1 when it cannot go on, 2 for its configuration."""
    opened: list[Opened] = []
    signal.signal(signal.SIGTERM, _end_early)  # process 1 of a container would not see it otherwise
    try:
        open_log(static.log)
        prepared = prepare(static)
        opened = open_all(prepared.addresses, prepared.workers)
        with runtime_dir(prepared.owner) as folder:
            if prepared.owner is not None:
                drop(*prepared.owner, keep_groups_of=prepared.group_files)
            return _serve(with_real_ports(prepared, opened), opened, folder)
    except ConfigurationError as error:
        print(f"edgerouter: {error.message}", file=sys.stderr)
        return 2
    finally:
        close_all(opened)


def _end_early(number: int, frame: object) -> None:
    """Asked to end before there is anything to end."""
    raise SystemExit(0)


def _serve(prepared: Prepared, opened: list[Opened], folder: Path) -> int:
    async def live() -> int:
        return await Control(prepared, opened, folder).run()

    with asyncio.Runner(loop_factory=loop_factory(prepared.static.experimental.loop)) as runner:
        return runner.run(live())


class Control:
    """The parts of the control process, and its life. ``folder`` is private: its Unix sockets are made there."""

    def __init__(self, prepared: Prepared, opened: list[Opened], folder: Path) -> None:
        static = prepared.static
        self._prepared = prepared
        self._opened = opened
        self._folder = folder
        self._began = time.monotonic()
        self._keys = Keys()
        self._picture = Picture(View(started=time.time()))
        self._reader = counter_reader(static)
        self._publisher = Publisher(publish_delta.deltas, prepared.workers)
        records = create_records(workers=prepared.workers)
        launcher = Launcher(
            static,
            prepared.points,
            opened,
            {name: self._keys.key("entrypoint", name) for name in prepared.points},
            str(folder / SOCKET),
            records,
            self._reader,
        )
        self._workers = Workers(
            prepared.workers,
            self._publisher,
            launcher.launch,
            launcher.retire,
            prepared.static.experimental.patience,
        )
        self._metrics = metrics_registry(
            static, self._reader, lambda: facts_of(self._picture.view, self._workers.restarts)
        )
        shared = SharedRecords(records)
        self._metrics.add_source(mirror_samples(lambda: self._picture.view, shared), MIRRORS)
        self._health = HealthChecks(self._found, shared)
        self._workers.listen(self._greet)
        self._explainer = Explainer(static, prepared.points, self._picture)
        self._configuring = Configuring(
            prepared,
            self._keys,
            self._publisher,
            self._picture,
            str(folder),
            self._health,
            take=self._explainer.take,
        )
        self._stop = asyncio.Event()
        ping_at = static.ping.entry_point if static.ping is not None else ""
        self._ending = Ending(self._workers, opened, prepared.points, terminating_status(static), ping_at)
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> int:
        """From the first worker to the last."""
        loop = asyncio.get_running_loop()
        self._listen_to_signals(loop)
        announce.listening(self._opened, self._prepared.workers)
        runners = await self._serve_pages()
        self._workers.start()
        supervision = loop.create_task(self._configuring.run())
        self._tasks = [loop.create_task(self._announce_ready()), *push_tasks(self._prepared.backends, self._metrics)]
        self._tick(loop, watchdog_interval())
        stop = loop.create_task(self._stop.wait())
        ends: list[asyncio.Future[Any]] = [stop, supervision, self._workers.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        code = self._exit_code(supervision)
        self._health.stop()
        await self._end([stop, supervision, *self._tasks])
        await asyncio.gather(*(runner.cleanup() for runner in runners))
        log.info("the end", extra={"event": "end"})
        return code

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Workers first: their last requests may be for API or dashboard."""
        notify("STOPPING=1")
        await self._ending.run()
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

    # -- signals ----------------------------------------------------------------------------------------------------

    def _listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_end, number)
        loop.add_signal_handler(signal.SIGHUP, self._configuring.reload)
        loop.add_signal_handler(signal.SIGUSR1, self._workers.send_all, ReopenLogs())

    def _asked_to_end(self, number: signal.Signals) -> None:
        """The second time means: at once."""
        if self._stop.is_set():
            log.warning("%s again: ending at once", signal.Signals(number).name)
            self._ending.hurry.set()
            return
        log.info("%s: ending in order", signal.Signals(number).name, extra={"event": "ending"})
        self._stop.set()

    def _tick(self, loop: asyncio.AbstractEventLoop, watchdog: float) -> None:
        """What is looked at now and then."""
        loop.call_later(min(HEARTBEAT, watchdog or HEARTBEAT), self._tick, loop, watchdog)
        self._picture.update(workers=self._workers.views())
        if self._health.watches_failures():
            self._configuring.show_health()
        if watchdog:
            notify("WATCHDOG=1")
        if is_init():
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

    async def _serve_pages(self) -> list[web.AppRunner]:
        """API, dashboard and metrics, each on a private Unix socket; workers reach them as they reach any server. One
        more is for ``edgerouter healthcheck``."""
        apps = make_apps(self._picture, self._metrics, self._prepared.static, self._explainer)
        places = {self._folder / SOCKET: web.Application()}
        own = places[self._folder / SOCKET].router
        own.add_get("/ping", self._ping)
        add_explain(own, "", self._explainer)
        add_workloads(own, "", self._picture)
        places |= {Path(socket_path(str(self._folder), name)): app for name, app in apps.items()}
        runners = []
        for path, app in places.items():
            runner = web.AppRunner(app, access_log=None, handle_signals=False)
            await runner.setup()
            await web.UnixSite(runner, str(path)).start()
            runners.append(runner)
        return runners

    async def _ping(self, request: web.Request) -> web.Response:
        """For ``edgerouter healthcheck``, which needs no port."""
        well = self._workers.complete.is_set() and not self._stop.is_set()
        return web.Response(text="OK" if well else "not ready", status=200 if well else 503)

    async def _announce_ready(self) -> None:
        await self._workers.complete.wait()
        seconds = time.monotonic() - self._began
        announce.ready(self._prepared.static, self._opened, seconds, __version__)
        notify("READY=1")


def terminating_status(static: StaticConfiguration) -> int:
    """What ping answers while the router ends."""
    return static.ping.terminating_status_code if static.ping is not None else 503
