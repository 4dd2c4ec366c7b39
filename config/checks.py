"""What a decoded static configuration can still have wrong, option by option, found before anything starts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Any, Final

import msgspec

from edgerouter.config import absent
from edgerouter.config.effect import without_effect
from edgerouter.config.fit import fields_of, nearest
from edgerouter.config.fit_types import Fault
from edgerouter.config.places import Path
from edgerouter.config.resolver_checks import resolver_faults
from edgerouter.config.static import (
    Address,
    EntryPoint,
    StaticConfiguration,
    effective_entry_points,
    parse_address,
)
from edgerouter.config.types import Duration

_BASE_PATH: Final = re.compile(r"/[a-zA-Z0-9/_.:~-]*")
_STATUS: Final = re.compile(r"[1-5]\d\d(-[1-5]\d\d)?")


def faults(static: StaticConfiguration, providers: Iterable[str]) -> list[Fault]:
    """Everything that must be put right; ``providers`` are the registered ones."""
    points = effective_entry_points(static)
    found = [*_addresses(static), *_users_of_points(static, points), *_numbers(static), *_times(static, ())]
    for name, point in static.entry_points.items():
        found.extend(_entry_point(("entryPoints", name), point, points))
    found.extend(resolver_faults(static.certificates_resolvers, points))
    if static.api is not None and not _BASE_PATH.fullmatch(static.api.base_path):
        found.append(Fault(("api", "basePath"), "expected a path such as /router", "letters, digits and /_.:~- only"))
    known = [*providers, *(name.lower() for name in absent.PROVIDERS), "kubernetes"]
    for name in static.providers.precedence:
        if name.partition("-")[0].lower() not in {item.lower() for item in known}:
            path = ("providers", "precedence")
            found.append(Fault(path, f"there is no provider {name!r}", nearest(name, providers)))
    return found


def _addresses(static: StaticConfiguration) -> Iterator[Fault]:
    """Each address can be read, and no two are one."""
    seen: dict[str, Address] = {}
    for name, point in effective_entry_points(static).items():
        path = ("entryPoints", name, "address")
        if not point.address:
            yield Fault(path, "the address is missing", "write e.g. :80")
            continue
        try:
            address = parse_address(point.address)
        except ValueError as error:
            yield Fault(path, str(error))
            continue
        for other, before in seen.items():
            if _collide(address, before):
                yield Fault(
                    path, f"{point.address} is the address of the entry point {other} too", "choose another port"
                )
        seen[name] = address


def _collide(one: Address, two: Address) -> bool:
    same_port = one.port == two.port != 0 and one.protocol == two.protocol
    return same_port and (one.host == two.host or not one.host or not two.host)


def _users_of_points(static: StaticConfiguration, points: dict[str, EntryPoint]) -> Iterator[Fault]:
    users: list[tuple[tuple[str, ...], str, bool]] = []
    if static.ping is not None:
        users.append((("ping", "entryPoint"), static.ping.entry_point, static.ping.manual_routing))
    if static.metrics.prometheus is not None:
        prometheus = static.metrics.prometheus
        users.append((("metrics", "prometheus", "entryPoint"), prometheus.entry_point, prometheus.manual_routing))
    for path, name, manual in users:
        if not manual and name not in points:
            yield Fault(path, f"there is no entry point {name!r}", nearest(name, points))


def _numbers(static: StaticConfiguration) -> Iterator[Fault]:
    if static.workers < 0:
        yield Fault(("workers",), f"expected 0 or more, got {static.workers}", "0 takes as many as there are CPUs")
    yield from _networks(("explain", "trustedIPs"), static.explain.trusted_ips)
    prometheus = static.metrics.prometheus
    if prometheus is not None:
        buckets = prometheus.buckets
        if not buckets or any(b <= 0 for b in buckets) or list(buckets) != sorted(set(buckets)):
            yield Fault(("metrics", "prometheus", "buckets"), "expected rising numbers above 0", "e.g. 0.1,0.3,1.2,5")
    if static.access_log is not None:
        for code in static.access_log.filters.status_codes:
            if not _STATUS.fullmatch(code):
                path = ("accessLog", "filters", "statusCodes")
                yield Fault(path, f"expected codes or ranges, got {code!r}", "e.g. 404,500-599")


def _times(value: Any, path: Path) -> Iterator[Fault]:
    """No time may be negative."""
    if isinstance(value, Duration) and value < 0:
        yield Fault(path, f"expected 0 or more, got {value:g}s")
    elif isinstance(value, msgspec.Struct):
        for field in fields_of(type(value)).values():
            below = path if field.name == "sections" else (*path, field.name)  # plugins by name
            yield from _times(getattr(value, field.attribute), below)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _times(item, (*path, name))


def _entry_point(path: tuple[str, ...], point: EntryPoint, points: dict[str, EntryPoint]) -> Iterator[Fault]:
    for option, count in (
        ("maxConnections", point.max_connections),
        ("maxConnectionsPerIP", point.max_connections_per_ip),
    ):
        if count < 0:
            yield Fault((*path, option), f"expected 0 (no limit) or more, got {count}")
    if point.http.max_header_count < 10:
        yield Fault((*path, "http", "maxHeaderCount"), f"expected 10 or more, got {point.http.max_header_count}")
    if point.http.max_header_bytes < 256:
        yield Fault((*path, "http", "maxHeaderBytes"), f"expected 256 or more, got {point.http.max_header_bytes}")
    trusted = [("forwardedHeaders", point.forwarded_headers.trusted_ips)]
    if point.proxy_protocol is not None:
        trusted.append(("proxyProtocol", point.proxy_protocol.trusted_ips))
    for section, networks in trusted:
        yield from _networks((*path, section, "trustedIPs"), networks)
    redirect = point.http.redirections.entry_point
    if redirect is not None:
        yield from _redirect((*path, "http", "redirections", "entryPoint", "to"), redirect.to, points)


def _redirect(path: tuple[str, ...], to: str, points: dict[str, EntryPoint]) -> Iterator[Fault]:
    if not to:
        yield Fault(path, "the target is missing", "write an entry point's name, or :port")
    elif to not in points and not re.fullmatch(r":\d{1,5}", to):
        yield Fault(path, f"there is no entry point {to!r}", nearest(to, points) + ", or write :port")


def _networks(path: tuple[str, ...], networks: Iterable[str]) -> Iterator[Fault]:
    for network in networks:
        if not _is_network(network):
            yield Fault(path, f"expected an IP address or CIDR, got {network!r}", "e.g. 10.0.0.0/8")


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def warnings(static: StaticConfiguration) -> list[Fault]:
    """What is accepted and has no effect, and what is probably not meant."""
    found = without_effect(static)
    if not static.providers.sections:
        hint = "write providers.docker, or providers.file"
        found.append(Fault(("providers",), "no provider is configured, so there is nothing to route", hint))
    return found
