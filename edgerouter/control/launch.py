"""What a worker is started with: its Start message, its counters' memory, the descriptors that it inherits."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

import msgspec

from edgerouter.config.static import EntryPoint, Providers, StaticConfiguration
from edgerouter.contracts.messages import ListenOn, Start
from edgerouter.control.sockets import Opened
from edgerouter.control.worker_process import WorkerProcess
from edgerouter.control.workers import HEARTBEAT
from edgerouter.telemetry.reader import CounterReader, new_memory
from edgerouter.telemetry.records import RecordBusy, SharedRecords

log = logging.getLogger("edgerouter.control")


class Launcher:
    """``entry_keys`` numbers the entry points in the metrics memory; ``static`` has real ports."""

    def __init__(
        self,
        static: StaticConfiguration,
        points: Mapping[str, EntryPoint],
        opened: list[Opened],
        entry_keys: Mapping[str, int],
        control_path: str,
        records_fd: int,
        counters: CounterReader,
    ) -> None:
        self._slots = len(opened[0].sockets) if opened else 1
        self._static = msgspec.structs.replace(static, providers=Providers(), certificates_resolvers={})
        self._fds = tuple(fd for entry in opened for fd in entry.fds)
        self._control_path = control_path
        self._records_fd = records_fd
        self._records = SharedRecords(records_fd)
        self._counters = counters
        self._entry_points = tuple(
            ListenOn(name=entry.name, key=entry_keys[entry.name], settings=points[entry.name], fds=entry.fds)
            for entry in opened
        )

    async def launch(self, process: WorkerProcess) -> None:
        """Start the process with a memory of its own: the counts of the slot's worker before stay as they are."""
        fd = new_memory(process.slot)
        self._counters.attach(process.slot, fd)
        start = Start(
            slot=process.slot,
            slots=self._slots,
            entry_points=self._entry_points,
            metrics_fd=fd,
            records_fd=self._records_fd,
            control_path=self._control_path,
            static=self._static,
            heartbeat=HEARTBEAT,
        )
        try:
            await process.start(start, (*self._fds, fd, self._records_fd))
        finally:
            os.close(fd)

    def retire(self, process: WorkerProcess) -> None:
        """The process is gone: what it had in flight is no more."""
        self._counters.detach(process.slot)
        try:
            self._records.zero_gauges(process.slot)
        except RecordBusy as error:
            log.warning("gauges of worker %d keep their last values: %s", process.slot, error)
