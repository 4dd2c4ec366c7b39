"""All metrics of the router as samples, whoever shows or sends them. Names, labels and help texts live here.

Numbers come from the workers' counters (``reader``), names and states from ``Facts``, which the composition root
makes of the view. Runs in the control process; knows no exposition format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from edgerouter.contracts.snapshot import Sample
from edgerouter.telemetry.reader import CounterReader, Series, Totals, Traffic
from edgerouter.telemetry.series import CIPHERS, METHODS, PROTOCOLS, TLS_VERSIONS

PREFIX: Final = "edgerouter"
_LEVELS: Final = ("entrypoint", "router", "service")

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
    "edgerouter_worker_loop_stall_seconds": ("gauge", "Longest time that a worker's loop came late since it started."),
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


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the control process knows: names behind keys, and states. ``routers`` maps to (name, service's name),
    ``servers`` lists (service, url, up) of services with a health check; ``last_reload`` is Unix time in seconds."""

    entrypoints: dict[int, str] = {}
    routers: dict[int, tuple[str, str]] = {}
    services: dict[int, str] = {}
    servers: tuple[tuple[str, str, bool], ...] = ()
    reloads: int = 0
    last_reload: float = 0.0
    restarts: int = 0


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """Which levels have series, and whether internal routers count (metrics.addInternals and the add*Labels)."""

    entrypoints: bool = True
    routers: bool = False
    services: bool = True
    internals: bool = False


class Audience:
    """One consumer of samples: a router or service that vanished is shown to it once more, then no longer."""

    def __init__(self) -> None:
        self._last = Facts()

    def visible(self, now: Facts) -> Facts:
        """The facts to show now."""
        last, self._last = self._last, now
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

    def add_source(self, source: Callable[[], Iterable[Sample]], families: dict[str, tuple[str, str]]) -> None:
        """More samples, and the kind and help text of their names; called at every collection."""
        self.families.update(families)
        self._sources.append(source)

    def samples(self, audience: Audience, levels: Levels | None = None) -> list[Sample]:
        """All samples now. Each consumer brings its own ``audience``; ``levels`` differ by backend."""
        facts = self.facts()
        self.reader.forget(set(facts.routers), set(facts.services))
        totals = self.reader.totals()
        shown = audience.visible(facts)
        samples = list(_states(facts, totals))
        samples += _traffic(totals, shown, levels or self.levels, self.reader.bounds)
        for source in self._sources:
            samples += source()
        return samples


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


Labels = tuple[tuple[str, str], ...]


class _Level:
    """Sums of one level (entrypoint, router or service) by labels."""

    def __init__(self, name: str, buckets: int) -> None:
        self.name = name
        self.buckets = buckets
        self.traffic: dict[Labels, Traffic] = {}
        self.tls: dict[Labels, int] = {}

    def add(self, owner: Labels, what: int, traffic: Traffic) -> None:
        """``owner`` holds the level's own labels."""
        protocol, method, status = what >> 4 & 15, what >> 8 & 15, what >> 24 & 1023
        labels = (("code", str(status)), ("method", METHODS[method]), ("protocol", PROTOCOLS[protocol]), *owner)
        known = self.traffic.get(labels)
        if known is None:
            known = self.traffic[labels] = Traffic(self.buckets)
        known.merge(traffic)
        version, cipher = what >> 12 & 15, what >> 16 & 255
        if version:
            secure = (("tls_version", TLS_VERSIONS[version]), ("tls_cipher", CIPHERS[cipher]), *owner)
            self.tls[secure] = self.tls.get(secure, 0) + traffic.requests()

    def samples(self, bounds: list[float]) -> Iterable[Sample]:
        """In order of labels, so that two collections can be compared."""
        name = self.name
        for labels, traffic in sorted(self.traffic.items()):
            shown = dict(labels)
            yield _sample(f"{name}_requests_total", traffic.requests(), **shown)
            yield _sample(f"{name}_requests_bytes_total", traffic.bytes_in, **shown)
            yield _sample(f"{name}_responses_bytes_total", traffic.bytes_out, **shown)
            yield _histogram(f"{PREFIX}_{name}_request_duration_seconds", shown, traffic, bounds)
        for labels, count in sorted(self.tls.items()):
            yield _sample(f"{name}_requests_tls_total", count, **dict(labels))


def _histogram(name: str, labels: dict[str, str], traffic: Traffic, bounds: list[float]) -> Sample:
    buckets: list[tuple[float, int]] = []
    below = 0
    for bound, count in zip([*bounds, float("inf")], traffic.buckets, strict=True):
        below += count
        buckets.append((bound, below))
    return Sample(name, "histogram", labels, traffic.duration / 1e9, tuple(buckets))


def _internal(series: Series, facts: Facts) -> bool:
    router = facts.routers.get(series[2], ("", ""))[0]
    return router.endswith("@internal") or facts.services.get(series[3], "").endswith("@internal")


def _traffic(totals: Totals, facts: Facts, levels: Levels, bounds: list[float]) -> Iterable[Sample]:
    entrypoints, routers, services = (_Level(name, len(bounds) + 1) for name in _LEVELS)
    retries: dict[str, int] = {}
    for series, traffic in totals.traffic.items():
        what, entrypoint, router, service = series
        if not levels.internals and _internal(series, facts):
            continue
        if levels.entrypoints and entrypoint in facts.entrypoints:
            entrypoints.add((("entrypoint", facts.entrypoints[entrypoint]),), what, traffic)
        if levels.routers and router in facts.routers:
            name, target = facts.routers[router]
            routers.add((("router", name), ("service", target)), what, traffic)
        if levels.services and service in facts.services:
            name = facts.services[service]
            services.add((("service", name),), what, traffic)
            retries[name] = retries.get(name, 0) + traffic.retries
    for level in (entrypoints, routers, services):
        yield from level.samples(bounds)
    for name, count in sorted(retries.items()):
        yield _sample("service_retries_total", count, service=name)
