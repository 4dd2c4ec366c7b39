"""What the traffic counters add up to for each entry point, router and service: rows of labels and numbers.

Whoever shows them (a page, a backend) brings its own format; nothing here knows one. With 10,000 services there are as
many rows, so a row is made of numbers only and its labels are looked up once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from edgerouter.telemetry.reader import Series, Totals, Traffic
from edgerouter.telemetry.series import CIPHERS, METHODS, PROTOCOLS, TLS_VERSIONS

Labels = tuple[tuple[str, str], ...]
_TLS: Final = 0xFFF << 12  # version and cipher in ``what``


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


class Level:
    """Sums of one level: ``name`` is entrypoint, router or service, ``owners`` the labels behind its keys."""

    def __init__(self, name: str, owners: Mapping[int, Labels]) -> None:
        self.name = name
        self._owners = owners
        self._sums: dict[tuple[int, int], Traffic] = {}
        self._tls: dict[tuple[int, int], int] = {}

    def add(self, key: int, what: int, traffic: Traffic) -> None:
        """One series of the counters; a key without an owner is not shown."""
        if key not in self._owners:
            return
        place = (key, what & ~_TLS)
        known = self._sums.get(place)
        if known is None:
            self._sums[place] = traffic.copy()
        else:
            known.take(traffic)
        if what & _TLS:
            place = (key, what & _TLS)
            self._tls[place] = self._tls.get(place, 0) + traffic.requests()

    def rows(self) -> list[tuple[Labels, Traffic]]:
        """In order of labels, so that two collections can be compared."""
        rows = [(self._labels(key, what), traffic) for (key, what), traffic in self._sums.items()]
        rows.sort(key=_by_labels)
        return rows

    def _labels(self, key: int, what: int) -> Labels:
        protocol, method, status = what >> 4 & 15, what >> 8 & 15, what >> 24 & 1023
        said = (("code", str(status)), ("method", METHODS[method]), ("protocol", PROTOCOLS[protocol]))
        return said + self._owners[key]

    def tls(self) -> list[tuple[Labels, int]]:
        """Requests over TLS, in order of labels."""
        rows = []
        for (key, what), count in self._tls.items():
            secure = (("tls_version", TLS_VERSIONS[what >> 12 & 15]), ("tls_cipher", CIPHERS[what >> 16 & 255]))
            rows.append((secure + self._owners[key], count))
        return sorted(rows)

    def retries(self) -> list[tuple[Labels, int]]:
        """Requests sent again, by owner, in order of labels."""
        sums: dict[int, int] = {}
        for (key, _), traffic in self._sums.items():
            sums[key] = sums.get(key, 0) + traffic.retries
        return sorted((self._owners[key], count) for key, count in sums.items())


def _by_labels(row: tuple[Labels, Traffic]) -> Labels:
    return row[0]


def sum_up(totals: Totals, facts: Facts, levels: Levels) -> list[Level]:
    """The levels that are wanted."""
    entrypoints = {key: (("entrypoint", name),) for key, name in facts.entrypoints.items()}
    routers = {key: (("router", name), ("service", target)) for key, (name, target) in facts.routers.items()}
    services = {key: (("service", name),) for key, name in facts.services.items()}
    made: list[tuple[int, Level]] = []
    if levels.entrypoints:
        made.append((1, Level("entrypoint", entrypoints)))
    if levels.routers:
        made.append((2, Level("router", routers)))
    if levels.services:
        made.append((3, Level("service", services)))
    hidden = _Hidden(facts) if not levels.internals else None
    for series, traffic in totals.traffic.items():
        if hidden is None or series not in hidden:
            for place, level in made:
                level.add(series[place], series[0], traffic)
    return [level for _, level in made]


class _Hidden:
    """Series of internal routers and services."""

    def __init__(self, facts: Facts) -> None:
        self._routers = {key for key, (name, _) in facts.routers.items() if name.endswith("@internal")}
        self._services = {key for key, name in facts.services.items() if name.endswith("@internal")}

    def __contains__(self, series: Series) -> bool:
        return series[2] in self._routers or series[3] in self._services
