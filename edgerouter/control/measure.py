"""The metrics of the control process: one registry over all workers' counters, and the backends that are pushed to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from edgerouter.config.static import StaticConfiguration
from edgerouter.contracts.snapshot import MetricsBackend
from edgerouter.telemetry.levels import Facts
from edgerouter.telemetry.push import levels_of, push_forever
from edgerouter.telemetry.reader import CounterReader
from edgerouter.telemetry.registry import MetricsRegistry

PUSH_INTERVAL = 10.0  # seconds, for a backend without an option pushInterval
log = logging.getLogger("edgerouter.metrics")


def counter_reader(static: StaticConfiguration) -> CounterReader:
    """A reader for the histogram bounds that the workers are given."""
    prometheus = static.metrics.prometheus
    return CounterReader(list(prometheus.buckets) if prometheus is not None else None)


def metrics_registry(static: StaticConfiguration, reader: CounterReader, facts: Callable[[], Facts]) -> MetricsRegistry:
    """The registry with the levels that /metrics shows."""
    return MetricsRegistry(reader, facts, levels_of(static.metrics.prometheus, static.metrics.add_internals))


def push_tasks(backends: Mapping[str, MetricsBackend], registry: MetricsRegistry) -> list[asyncio.Task[None]]:
    """One task a backend, to be cancelled at the end."""
    loop = asyncio.get_running_loop()
    return [
        loop.create_task(push_forever(backend, registry, _interval(backend), _failed(name)))
        for name, backend in backends.items()
    ]


def _interval(backend: MetricsBackend) -> float:
    return float(getattr(backend.options, "push_interval", PUSH_INTERVAL))


def _failed(name: str) -> Callable[[Exception], None]:
    def failed(error: Exception) -> None:
        log.warning("metrics.%s: samples could not be sent: %s; it is tried again and again", name, error)

    return failed
