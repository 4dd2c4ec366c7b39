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
from edgerouter.contracts.messages import ReopenLogs
from edgerouter.control import announce, publish_delta
from edgerouter.control.build_keys import Keys
from edgerouter.control.configure import Configuring
from edgerouter.control.drain import Ending
from edgerouter.control.facts import facts_of
from edgerouter.control.launch import Launcher
from edgerouter.control.log import open_log
from edgerouter.control.notify import notify, watchdog_interval
from edgerouter.control.orphans import is_init, reap_orphans
from edgerouter.control.prepare import Prepared, prepare, with_real_ports
from edgerouter.control.privileges import drop
from edgerouter.control.publish import Publisher
from edgerouter.control.runtime_dir import SOCKET, runtime_dir
from edgerouter.control.sockets import Opened, close_all, open_all
from edgerouter.control.view import Picture, View
from edgerouter.control.workers import HEARTBEAT, Workers
from edgerouter.dashboard.api import make_app
from edgerouter.errors import ConfigurationError
from edgerouter.telemetry.reader import CounterReader
from edgerouter.telemetry.records import create_records
from edgerouter.telemetry.registry import MetricsRegistry
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
            return _serve(with_real_ports(prepared, opened), opened, folder / SOCKET)
    except ConfigurationError as error:
        print(f"edgerouter: {error.message}", file=sys.stderr)
        return 2
    finally:
        close_all(opened)


def _end_early(number: int, frame: object) -> None:
    """Asked to end before there is anything to end."""
    raise SystemExit(0)


def _serve(prepared: Prepared, opened: list[Opened], socket_path: Path) -> int:
    async def live() -> int:
        return await Control(prepared, opened, socket_path).run()

    with asyncio.Runner(loop_factory=loop_factory(prepared.static.experimental.loop)) as runner:
        return runner.run(live())


class Control:
    """The parts of the control process, and its life."""

    def __init__(self, prepared: Prepared, opened: list[Opened], socket_path: Path) -> None:
        static = prepared.static
        self._prepared = prepared
        self._opened = opened
        self._socket_path = socket_path
        self._began = time.monotonic()
        self._keys = Keys()
        self._picture = Picture(View(started=time.time()))
        prometheus = static.metrics.prometheus
        self._reader = CounterReader(list(prometheus.buckets) if prometheus is not None else None)
        self._publisher = Publisher(publish_delta.deltas, prepared.workers)
        launcher = Launcher(
            static,
            prepared.points,
            opened,
            {name: self._keys.key("entrypoint", name) for name in prepared.points},
            str(socket_path),
            create_records(workers=prepared.workers),
            self._reader,
        )
        self._workers = Workers(prepared.workers, self._publisher, launcher.launch, launcher.retire)
        self._metrics = MetricsRegistry(self._reader, lambda: facts_of(self._picture.view, self._workers.restarts))
        self._configuring = Configuring(prepared, self._keys, self._publisher, self._picture, str(socket_path))
        self._stop = asyncio.Event()
        self._ending: Ending | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """From the first worker to the last."""
        loop = asyncio.get_running_loop()
        self._listen_to_signals(loop)
        announce.listening(self._opened, self._prepared.workers)
        runner = await self._serve_pages()
        self._workers.start()
        supervision = loop.create_task(self._configuring.run())
        self._tasks.add(loop.create_task(self._announce_ready()))
        self._tick(loop, watchdog_interval())
        stop = asyncio.ensure_future(self._stop.wait())
        ends: list[asyncio.Future[Any]] = [stop, supervision, self._workers.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        code = self._exit_code(supervision)
        notify("STOPPING=1")
        self._ending = self._make_ending()
        if code:
            self._ending.hurry.set()
        await self._ending.run()
        supervision.cancel()
        await asyncio.gather(supervision, return_exceptions=True)
        await runner.cleanup()
        log.info("the end", extra={"event": "end"})
        return code

    def _exit_code(self, supervision: asyncio.Task[None]) -> int:
        """0 when the end was asked for; otherwise why it came is logged."""
        if self._workers.failed.done():
            log.critical("no worker can be started: %s", self._workers.failed.result())
            return 1
        if supervision.done():
            log.critical("the supervision of providers ended", exc_info=supervision.exception())
            return 1
        return 0

    def _make_ending(self) -> Ending:
        ping = self._prepared.static.ping
        status = ping.terminating_status_code if ping is not None else 503
        return Ending(self._workers, self._opened, self._prepared.points, status)

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
            if self._ending is not None:
                self._ending.hurry.set()
            return
        log.info("%s: ending in order", signal.Signals(number).name, extra={"event": "ending"})
        self._stop.set()

    def _tick(self, loop: asyncio.AbstractEventLoop, watchdog: float) -> None:
        """What is looked at now and then."""
        loop.call_later(min(HEARTBEAT, watchdog or HEARTBEAT), self._tick, loop, watchdog)
        self._picture.update(workers=self._workers.views())
        if watchdog:
            notify("WATCHDOG=1")
        if is_init():
            reap_orphans(self._workers.pids)

    # -- pages and readiness ----------------------------------------------------------------------------------------

    async def _serve_pages(self) -> web.AppRunner:
        """API, dashboard and metrics on the private Unix socket; workers reach it as they reach any server."""
        app = make_app(self._picture, self._metrics, self._prepared.static)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        await web.UnixSite(runner, str(self._socket_path)).start()
        return runner

    async def _announce_ready(self) -> None:
        await self._workers.complete.wait()
        seconds = time.monotonic() - self._began
        announce.ready(self._prepared.static, self._opened, seconds, __version__)
        notify("READY=1")
