"""All metrics of the router as samples, whoever shows or sends them. Names, labels and help texts live here.

Numbers come from the workers' counters (``reader``), names and states from ``Facts``, which the composition root
makes of the view. Runs in the control process; knows no exposition format.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec

from edgerouter.contracts.snapshot import Sample
from edgerouter.telemetry.levels import Facts, Labels, Level, Levels, sum_up
from edgerouter.telemetry.reader import CounterReader, Totals, Traffic

PREFIX: Final = "edgerouter"
FORGOTTEN: Final = 300.0  # seconds without a collection after which nothing is kept for a consumer

_STATES: Final[dict[str, tuple[str, str]]] = {
    "edgerouter_config_reloads_total": ("counter", "Configurations that were published to the workers."),
    "edgerouter_config_last_reload_success": ("gauge", "Unix time of the last published configuration, in seconds."),
    "edgerouter_open_connections": ("gauge", "Client connections that are open, by entry point."),
    "edgerouter_connections_opened_total": ("counter", "Client connections accepted, by entry point."),
    "edgerouter_exchanges_in_flight": ("gauge", "Requests that are being answered."),
    "edgerouter_exchange_failures_total": ("counter", "Exchanges that failed, by named cause and entry point."),
    "edgerouter_service_retries_total": ("counter", "Requests sent to a service again."),
    "edgerouter_service_server_up": ("gauge", "1 while a server with a health check is up, else 0."),
    "edgerouter_workers": ("gauge", "Worker processes whose counters are read."),
    "edgerouter_worker_restarts_total": ("counter", "Worker processes that were replaced after they died or hung."),
    "edgerouter_worker_loop_stall_seconds": (
        "gauge",
        "Longest time that a worker's loop came late since it began to serve.",
    ),
    "edgerouter_worker_loop_stalled_seconds_total": ("counter", "Sum of the times that workers' loops came late."),
    "edgerouter_metrics_lost_total": (
        "counter",
        "Requests not counted, because the machine had no memory for a series.",
    ),
    "edgerouter_access_log_lines_lost_total": ("counter", "Access log lines that the disk or pipe did not take."),
}


def _level_families(level: str, noun: str) -> dict[str, tuple[str, str]]:
    name = f"{PREFIX}_{level}"
    return {
        f"{name}_requests_total": ("counter", f"Requests answered, by {noun}, code, method and protocol."),
        f"{name}_requests_tls_total": ("counter", f"Requests over TLS, by {noun}, version and cipher."),
        f"{name}_request_duration_seconds": ("histogram", f"Time that requests took, by {noun}."),
        f"{name}_requests_bytes_total": ("counter", f"Bytes of request bodies, by {noun}."),
        f"{name}_responses_bytes_total": ("counter", f"Bytes of response bodies, by {noun}."),
    }


# name -> (kind, help); what a backend or the exposition needs to know about a sample's name
FAMILIES: Final[dict[str, tuple[str, str]]] = {
    **_STATES,
    **_level_families("entrypoint", "entry point"),
    **_level_families("router", "router"),
    **_level_families("service", "service"),
}


class Collected(NamedTuple):
    """What one collection found: ``states`` of the router, and the traffic of each level."""

    states: list[Sample]
    levels: list[Level]


class Audience:
    """One consumer of samples: a router or service that vanished is shown to it once more, then no longer. ``shown``
    counts its collections, the last one was at ``at`` (monotonic seconds)."""

    def __init__(self) -> None:
        self._last = Facts()
        self.shown = 0
        self.at = 0.0

    def visible(self, now: Facts) -> Facts:
        """The facts to show now."""
        last, self._last = self._last, now
        self.shown += 1
        self.at = time.monotonic()
        return msgspec.structs.replace(
            now, routers={**last.routers, **now.routers}, services={**last.services, **now.services}
        )


class MetricsRegistry:
    """``facts`` is asked at every collection. ``add_source`` lets other rooms add samples of their own."""

    def __init__(self, reader: CounterReader, facts: Callable[[], Facts] = Facts, levels: Levels | None = None) -> None:
        self.reader = reader
        self.facts = facts
        self.levels = levels or Levels()
        self.families: dict[str, tuple[str, str]] = dict(FAMILIES)
        self._sources: list[Callable[[], Iterable[Sample]]] = []
        self._audiences: set[Audience] = set()

    def add_source(self, source: Callable[[], Iterable[Sample]], families: dict[str, tuple[str, str]]) -> None:
        """More samples, and the kind and help text of their names; called at every collection."""
        self.families.update(families)
        self._sources.append(source)

    def collections(self) -> dict[object, int]:
        """How often each consumer has collected, of those that do so now and then."""
        since = time.monotonic() - FORGOTTEN
        return {audience: audience.shown for audience in list(self._audiences) if audience.at > since}

    def collect(self, audience: Audience, levels: Levels | None = None) -> Collected:
        """All that there is now. Each consumer brings its own ``audience``; ``levels`` differ by backend."""
        facts = self.facts()
        self._audiences.add(audience)
        totals = self.reader.totals()
        states = list(_states(facts, totals))
        for source in self._sources:
            states += source()
        return Collected(states, sum_up(totals, audience.visible(facts), levels or self.levels))

    def samples(self, audience: Audience, levels: Levels | None = None) -> list[Sample]:
        """``collect``, as one list of samples."""
        collected = self.collect(audience, levels)
        bounds = [*self.reader.bounds, float("inf")]
        return collected.states + [sample for level in collected.levels for sample in _level(level, bounds)]


def _sample(name: str, value: float, **labels: str) -> Sample:
    full = f"{PREFIX}_{name}"
    return Sample(full, FAMILIES[full][0], labels, value)


def _states(facts: Facts, totals: Totals) -> Iterable[Sample]:
    yield _sample("config_reloads_total", facts.reloads)
    yield _sample("config_last_reload_success", facts.last_reload)
    for key, name in sorted(facts.entrypoints.items(), key=lambda item: item[1]):
        yield _sample("open_connections", totals.open.get(key, 0), entrypoint=name, protocol="TCP")
        yield _sample("connections_opened_total", totals.opened.get(key, 0), entrypoint=name)
    yield _sample("exchanges_in_flight", totals.in_flight)
    for (key, cause), count in sorted(totals.failures.items()):
        if key in facts.entrypoints:
            yield _sample("exchange_failures_total", count, cause=cause, entrypoint=facts.entrypoints[key])
    for service, url, up in facts.servers:
        yield _sample("service_server_up", float(up), service=service, url=url)
    yield _sample("workers", len(totals.longest_stall))
    yield _sample("worker_restarts_total", facts.restarts)
    for worker, stall in sorted(totals.longest_stall.items(), key=lambda item: str(item[0])):
        yield _sample("worker_loop_stall_seconds", stall, worker=str(worker))
    yield _sample("worker_loop_stalled_seconds_total", totals.stalled)
    yield _sample("metrics_lost_total", totals.lost_series)
    yield _sample("access_log_lines_lost_total", totals.lost_lines)


def _level(level: Level, bounds: list[float]) -> Iterable[Sample]:
    name = level.name
    for labels, traffic in level.rows():
        shown = dict(labels)
        yield _sample(f"{name}_requests_total", traffic.requests(), **shown)
        yield _sample(f"{name}_requests_bytes_total", traffic.bytes_in, **shown)
        yield _sample(f"{name}_responses_bytes_total", traffic.bytes_out, **shown)
        yield _histogram(f"{PREFIX}_{name}_request_duration_seconds", labels, traffic, bounds)
    for labels, count in level.tls():
        yield _sample(f"{name}_requests_tls_total", count, **dict(labels))
    if name == "service":
        for labels, count in level.retries():
            yield _sample("service_retries_total", count, **dict(labels))


def _histogram(name: str, labels: Labels, traffic: Traffic, bounds: list[float]) -> Sample:
    buckets = tuple(zip(bounds, accumulate(traffic.buckets), strict=True))
    return Sample(name, "histogram", dict(labels), traffic.duration / 1e9, buckets)
