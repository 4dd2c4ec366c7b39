"""Everything of the static configuration that can be found wrong before a port is opened. Opens and starts nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from edgerouter import registry
from edgerouter.config.fit import MANY, dotted, fit, nearest
from edgerouter.config.static import AccessLog as AccessLogOptions
from edgerouter.config.static import Address, EntryPoint, StaticConfiguration, effective_entry_points, parse_address
from edgerouter.contracts.snapshot import MetricsBackend, Provider, ProviderContext
from edgerouter.control.cpus import worker_count
from edgerouter.control.privileges import resolve_group, resolve_user
from edgerouter.control.sockets import Opened
from edgerouter.errors import ConfigurationError
from edgerouter.telemetry.access_log import AccessLog
from edgerouter.telemetry.records import MOST_WORKERS

UNIX: Final = "unix://"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A static configuration that can be run. ``providers`` and metrics ``backends`` are by name, ``owner`` is the
    (uid, gid) to become, ``group_files`` are files whose group stays a supplementary one then."""

    static: StaticConfiguration
    points: dict[str, EntryPoint]
    addresses: dict[str, Address]
    workers: int
    providers: dict[str, Provider]
    backends: dict[str, MetricsBackend]
    owner: tuple[int, int] | None = None
    group_files: tuple[str, ...] = ()


def prepare(static: StaticConfiguration) -> Prepared:
    """Raises ConfigurationError that says where, what, and what to write instead."""
    points = {name: _inherit(static, point) for name, point in effective_entry_points(static).items()}
    owner = _owner(static)
    if static.access_log is not None:
        _open_access_log(static.access_log, owner)
    providers = _providers(static)
    return Prepared(
        static=static,
        points=points,
        addresses={name: _address(name, point) for name, point in points.items()},
        workers=_workers(static),
        providers=providers,
        backends=_backends(static),
        owner=owner,
        group_files=_sockets(providers),
    )


def usable(static: StaticConfiguration) -> None:
    """Raises ConfigurationError for what a start would refuse on any machine: it touches neither files nor ports."""
    _workers(static)
    _providers(static)
    _backends(static)


def with_real_ports(prepared: Prepared, opened: list[Opened]) -> Prepared:
    """The same, with the ports that the kernel chose where 0 was asked for: redirections and pages name them."""
    points = dict(prepared.points)
    for entry in opened:
        if prepared.addresses[entry.name].port != entry.port:
            host = f"[{entry.host}]" if ":" in entry.host else entry.host
            points[entry.name] = msgspec.structs.replace(points[entry.name], address=f"{host}:{entry.port}")
    static = msgspec.structs.replace(prepared.static, entry_points=points)
    return msgspec.structs.replace(prepared, static=static, points=points)


def kinds() -> dict[str, dict[str, Any]]:
    """The table that dynamic configuration is decoded against."""
    return {
        room: {name: plugin.options for name, plugin in registry.load(room).items()}
        for room in ("middlewares", "services")
    }


def _inherit(static: StaticConfiguration, point: EntryPoint) -> EntryPoint:
    if not static.global_.not_append_x_forwarded_for:
        return point
    headers = msgspec.structs.replace(point.forwarded_headers, not_append_x_forwarded_for=True)
    return msgspec.structs.replace(point, forwarded_headers=headers)


def _address(name: str, point: EntryPoint) -> Address:
    try:
        return parse_address(point.address)
    except ValueError as error:
        raise ConfigurationError(f"entryPoints.{name}.address: {error}") from error


def _workers(static: StaticConfiguration) -> int:
    if not 0 <= static.workers <= MOST_WORKERS:
        raise ConfigurationError(f"workers: expected 0 (one a CPU) to {MOST_WORKERS}, got {static.workers}")
    return worker_count(static.workers)


def _owner(static: StaticConfiguration) -> tuple[int, int] | None:
    if not static.user:
        if static.group:
            raise ConfigurationError("group: it is only changed together with the user; write user too")
        return None
    uid, gid = resolve_user(static.user)
    owner = uid, resolve_group(static.group) if static.group else gid
    if os.geteuid() != 0 and owner != (os.geteuid(), os.getegid()):
        raise ConfigurationError(f"user: only root can become {static.user}; start as root, or as that user without it")
    return owner


def _open_access_log(options: AccessLogOptions, owner: tuple[int, int] | None) -> None:
    """Workers open it too, as the user that they run as: a file that is made here is theirs."""
    made = bool(options.file_path) and not os.path.exists(options.file_path)
    AccessLog(options).close()
    if made and owner is not None:
        os.chown(options.file_path, *owner)


def _sockets(providers: Mapping[str, Provider]) -> tuple[str, ...]:
    """Unix sockets that providers talk to, as Docker's."""
    endpoints = [str(getattr(provider.options, "endpoint", "")) for provider in providers.values()]
    return tuple(endpoint.removeprefix(UNIX) for endpoint in endpoints if endpoint.startswith(UNIX))


def _providers(static: StaticConfiguration) -> dict[str, Provider]:
    """What a provider's constructor finds wrong is the static configuration's fault too."""
    table = kinds()
    prefixes = static.providers.label_prefixes
    providers: dict[str, Provider] = {}
    for name, cls, options in _sections("providers", static.providers.sections):
        context = ProviderContext(name=name, kinds=table, prefixes=prefixes)
        providers[name] = _made(f"providers.{name}", cls, options, context)
    return providers


def _backends(static: StaticConfiguration) -> dict[str, MetricsBackend]:
    return {
        name: _made(f"metrics.{name}", cls, options)
        for name, cls, options in _sections("metrics", static.metrics.sections)
    }


def _made(path: str, cls: Any, *arguments: Any) -> Any:
    """A plugin; the ValueError of its constructor is a fault of its options."""
    try:
        return cls(*arguments)
    except ValueError as error:
        said = str(error)
        named = said.lower().startswith(f"{path.lower()}.")
        raise ConfigurationError(said if named else f"{path}: {said}") from error


def _sections(room: str, sections: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, class and options of every plugin of the room that is turned on."""
    plugins = registry.load(room)
    for name, section in sections.items():
        plugin = plugins.get(name) or _instance_of(name, plugins)
        if plugin is None:
            hint = nearest(name, plugins) or "leave it out"
            raise ConfigurationError(f"{room}.{name}: there is no such thing; {hint}")
        if section is not None and section is not False:
            yield name, plugin.cls, _fitted((room, name), section, plugin.options)


def _instance_of(name: str, plugins: Mapping[str, registry.Plugin]) -> registry.Plugin | None:
    """The plugin of ``docker-east``, an instance of docker."""
    plugin = plugins.get(name.partition("-")[0])
    return plugin if plugin is not None and getattr(plugin.options, MANY, False) else None


def _fitted(path: tuple[str, ...], section: Any, cls: type | None) -> Any:
    if cls is None or isinstance(section, cls):
        return section
    fitted, faults = fit(section, cls, path)
    if faults:
        lines = [f"{dotted(f.path)}: {f.message}" + (f"; {f.hint}" if f.hint else "") for f in faults]
        raise ConfigurationError("\n".join(lines))
    return fitted
