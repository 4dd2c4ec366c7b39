"""Metrics to a StatsD server, over UDP.

    metrics:
      statsD:
        address: 127.0.0.1:8125
        pushInterval: 10s
        prefix: edgerouter
        tags: true

Counters are sent as what was added since the last push (``|c``), gauges as they are (``|g``), histograms as the
number of requests (``.count|c``) and the sum of their durations in milliseconds (``.sum|c``). StatsD itself knows no
labels: without ``tags`` all series of one name are summed up; with it they travel as DogStatsD tags (``|#k:v,...``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration
from edgerouter.contracts.snapshot import MetricsBackend, Sample
from edgerouter.registry import metrics_backend

DATAGRAM: Final = 1432  # bytes: fits one Ethernet frame, so nothing is fragmented
_NAME: Final = re.compile(r"[^A-Za-z0-9_.]+")
_TAG: Final = re.compile(r"[,|#\s]+")

Key = tuple[str, tuple[tuple[str, str], ...]]


class Options(Model, frozen=True):
    """Options of ``metrics.statsD``."""

    address: str = "localhost:8125"  # host:port of the StatsD server
    push_interval: Duration = Duration(10)  # time between two pushes
    prefix: str = "edgerouter"  # first part of every name
    tags: bool = False  # send labels as DogStatsD tags instead of summing over them
    add_entry_points_labels: bool = True  # series by entry point
    add_routers_labels: bool = False  # series by router
    add_services_labels: bool = True  # series by service


@metrics_backend("statsD", Options)
class StatsD(MetricsBackend):
    """Keeps what it sent, so that counters become differences."""

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._sent: dict[Key, float] = {}
        host, _, port = options.address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(
                f"metrics.statsD.address: expected host:port such as localhost:8125, got {options.address!r}"
            )
        self._address = (host.strip("[]"), int(port))

    async def publish(self, samples: list[Sample]) -> None:
        """Send all current samples; raises OSError when the address cannot be found or reached."""
        values: dict[tuple[Key, str], float] = {}
        for sample in samples:
            for name, kind, value in _values(sample):
                key = (self._key(name, sample.labels), kind)
                values[key] = values.get(key, 0.0) + value
        lines = [line for (key, kind), value in values.items() if (line := self._line(key, kind, value))]
        self._sent = {key: value for (key, kind), value in values.items() if kind == "c"}
        await self._send(datagrams(lines))

    def _key(self, name: str, labels: dict[str, str]) -> Key:
        full = f"{self.options.prefix}.{_NAME.sub('_', name)}" if self.options.prefix else _NAME.sub("_", name)
        return (full, tuple(labels.items())) if self.options.tags else (full, ())

    def _line(self, key: Key, kind: str, value: float) -> str:
        if kind == "c":
            value -= self._sent.get(key, 0.0)
            if value <= 0.0:
                return ""
        tags = ",".join(f"{_TAG.sub('_', name)}:{_TAG.sub('_', text)}" for name, text in key[1])
        return f"{key[0]}:{value:.15g}|{kind}" + (f"|#{tags}" if tags else "")

    async def _send(self, packets: Iterable[bytes]) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=self._address)
        try:
            for packet in packets:
                transport.sendto(packet)
        finally:
            transport.close()


def _values(sample: Sample) -> Iterable[tuple[str, str, float]]:
    """(dotted name, StatsD kind, value) of what one sample becomes."""
    name = sample.name.removeprefix("edgerouter_").removesuffix("_total").removesuffix("_seconds").replace("_", ".")
    if sample.kind == "histogram":
        yield f"{name}.count", "c", sample.buckets[-1][1]
        yield f"{name}.sum", "c", sample.value * 1000.0
    else:
        yield name, "c" if sample.kind == "counter" else "g", sample.value


def datagrams(lines: Iterable[str]) -> Iterable[bytes]:
    """Lines packed into as few datagrams as fit."""
    packet = b""
    for line in lines:
        data = line.encode()
        if packet and len(packet) + 1 + len(data) > DATAGRAM:
            yield packet
            packet = b""
        packet = packet + b"\n" + data if packet else data
    if packet:
        yield packet
