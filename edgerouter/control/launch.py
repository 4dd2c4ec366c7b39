"""What a worker is started with: its Start message, its counters' memory, the descriptors that it inherits."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping

import msgspec

from edgerouter.config.static import EntryPoint, Providers, StaticConfiguration
from edgerouter.contracts.messages import ListenOn, Start
from edgerouter.control.handover import WorkerLeft
from edgerouter.control.sockets import Opened
from edgerouter.control.worker_process import WorkerProcess
from edgerouter.control.workers import HEARTBEAT
from edgerouter.telemetry.reader import CounterReader, new_memory
from edgerouter.telemetry.records import RecordBusy, SharedRecords

log = logging.getLogger("edgerouter.control")


class Launcher:
    """``entry_keys`` numbers the entry points in the metrics memory; ``static`` has real ports. While ``waits`` is set,
    new workers accept only when they are told to."""

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
        self.waits = False
        self._slots = len(opened[0].sockets) if opened else 1
        self._parts: set[int] = set()
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
        self._counters.attach(process.label, fd)
        process.part = self._free_part(process.slot)
        start = Start(
            slot=process.slot,
            slots=self._slots,
            entry_points=self._entry_points,
            metrics_fd=fd,
            records_fd=self._records_fd if process.part >= 0 else -1,
            control_path=self._control_path,
            static=self._static,
            heartbeat=HEARTBEAT,
            part=process.part,
            waits=self.waits,
        )
        try:
            await process.start(start, (*self._fds, fd, self._records_fd))
        finally:
            os.close(fd)

    def adopt(self, workers: Iterable[WorkerLeft]) -> None:
        """Read the counters of workers of the program before this one, and leave them their parts of the records."""
        for worker in workers:
            self._counters.attach(worker.label, worker.counters)
            self._parts.add(worker.part)

    def _free_part(self, slot: int) -> int:
        """A part of the shared records that no living worker writes, by preference that of the slot; -1 when there is
        none, since many old workers are still draining: then this one counts by itself."""
        free = (part for part in (slot, *range(self._records.workers)) if part not in self._parts)
        part = next(free, -1)
        if part < 0:
            log.warning("worker %d keeps its limits to itself: too many old workers are still draining", slot)
        self._parts.add(part)
        return part

    def retire(self, process: WorkerProcess) -> None:
        """The process is gone: what it had in flight is no more."""
        self._counters.detach(process.label)
        self._parts.discard(process.part)
        if process.part < 0:
            return
        try:
            self._records.zero_gauges(process.part)
        except RecordBusy as error:
            log.warning("gauges of worker %d keep their last values: %s", process.slot, error)
