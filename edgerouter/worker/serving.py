"""What a worker serves with: engine, recorder, clock, listening sockets, signs of life, put together from Start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from edgerouter.contracts import messages
from edgerouter.net.clock import Clock
from edgerouter.proxy.engine import Engine
from edgerouter.proxy.forwarded import parse_networks
from edgerouter.proxy.unmatched import Missed, Unmatched
from edgerouter.telemetry.access_log import AccessLog
from edgerouter.telemetry.memory import CounterMemory
from edgerouter.telemetry.recorder import Recorder
from edgerouter.telemetry.records import SharedRecords
from edgerouter.worker.entrances import Entrances
from edgerouter.worker.heartbeat import Heartbeat

LOG_TICK: Final = 0.2  # seconds that a line of the access log waits for others at most, and what is lost for telling


class Serving:
    """Everything between the sockets and the plan."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: messages.Start) -> None:
        self.start_message = start
        self.memory = _memory(start)
        self.access_log = _access_log(start)
        self.clock = Clock(loop)
        self.recorder = Recorder(self.memory, self.access_log)
        self.records = SharedRecords(start.records_fd, start.slot, start.part)
        self.engine = Engine(loop, self.recorder, self.clock, records=self.records)
        self.unmatched = Unmatched(parse_networks(start.static.explain.trusted_ips))
        self.engine.unmatched = self.unmatched
        self.entrances = Entrances(loop, self.engine, start.entry_points)
        self._serves = False
        self._heartbeat = Heartbeat(loop, start.heartbeat, self._beat)
        self._log_tick = Heartbeat(loop, LOG_TICK, self.recorder.tick)
        self._send: Callable[[messages.Message], None] = lambda message: None

    def start(self, send: Callable[[messages.Message], None]) -> None:
        """Begin to tick; ``send`` takes messages to the control process."""
        self._send = send
        self.engine.doors.demand.ask = self._want
        self.clock.start()
        self._heartbeat.start()
        self._log_tick.start()

    def close(self) -> None:
        """Stop what ticks and flush."""
        self._heartbeat.stop()
        self._log_tick.stop()
        self.clock.stop()
        if self.access_log is not None:
            self.access_log.close()
        self.recorder.tick()  # what the last lines' writing lost

    def reopen_logs(self) -> None:
        """The access log's file was rotated."""
        if self.access_log is not None:
            self.access_log.reopen()

    def begin(self) -> None:
        """There is a table to serve with. How late the loop was while nobody could be kept waiting is forgotten."""
        if not self._serves:
            self._serves = True
            self.clock.take_stall()

    def retire(self, places: tuple[int, ...]) -> None:
        """Counters of routers and services that are gone."""
        if self.memory is not None:
            self.memory.retire(list(places))

    def refused(self, name: str, seconds: float) -> None:
        """No certificate comes for a name that clients ask for."""
        self.engine.doors.demand.refused(name, self.clock.now, seconds)

    def _want(self, name: str, point: str) -> None:
        self._send(messages.CertificateWanted(name=name, entry_point=point))

    def _beat(self) -> None:
        stall = self.clock.take_stall() if self._serves else 0.0
        if self.memory is not None:
            self.memory.stalled(stall)
        beat = messages.Heartbeat(
            stall=stall, in_flight=self.engine.in_flight, connections=self.engine.open_connections()
        )
        self._send(beat)
        missed = self.unmatched.take()
        if missed:
            self._send(messages.Unmatched(requests=tuple(map(_as_message, missed))))


def _as_message(missed: Missed) -> messages.UnmatchedRequest:
    return messages.UnmatchedRequest(
        id=missed.id,
        method=missed.method,
        url=missed.url,
        headers=tuple(missed.headers),
        entry_point=missed.entry_point,
        client=missed.client,
        at=missed.at,
    )


def _memory(start: messages.Start) -> CounterMemory | None:
    prometheus = start.static.metrics.prometheus
    if start.metrics_fd < 0:
        return None
    return CounterMemory(start.metrics_fd, list(prometheus.buckets) if prometheus is not None else None)


def _access_log(start: messages.Start) -> AccessLog | None:
    options = start.static.access_log
    return AccessLog(options) if options is not None else None
