"""Name -> class. A plugin is one file with one decorator; ``load(room)`` imports a room's files and lists them.

Rooms: ``providers middlewares services balancers matchers metrics``. Plugins from outside come by the entry-point
group ``edgerouter.plugins``: importing what an entry point names is enough, its decorators register it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T", bound=type[Any])

_FOLDERS: Final = {
    "providers": "edgerouter.providers",
    "middlewares": "edgerouter.middlewares",
    "services": "edgerouter.services",
    "balancers": "edgerouter.services.balancers",
    "matchers": "edgerouter.rules.matchers",
    "metrics": "edgerouter.telemetry.backends",
}


class Plugin(msgspec.Struct, frozen=True):
    """``name`` is the configuration key, ``options`` the class that its options are decoded into (None: none)."""

    room: str
    name: str
    cls: Any
    options: type[Any] | None = None
    arity: tuple[int, int] = (0, 0)  # matchers: least and most arguments


_plugins: dict[str, dict[str, Plugin]] = {room: {} for room in _FOLDERS}
_loaded: set[str] = set()


def _register(plugin: Plugin) -> None:
    known = _plugins[plugin.room].get(plugin.name)
    if known is not None and known.cls.__qualname__ != plugin.cls.__qualname__:
        raise ValueError(f"two plugins are named {plugin.name!r}: {known.cls!r} and {plugin.cls!r}")
    _plugins[plugin.room][plugin.name] = plugin


def _decorator(room: str, name: str, options: type[Any] | None) -> Callable[[T], T]:
    def register(cls: T) -> T:
        _register(Plugin(room, name, cls, options))
        return cls

    return register


def middleware(name: str, options: type[Any]) -> Callable[[T], T]:
    """Register a ``contracts.plugins.Middleware``; it is made as ``cls(options, context)``."""
    return _decorator("middlewares", name, options)


def service(name: str, options: type[Any]) -> Callable[[T], T]:
    """Register a ``contracts.plugins.Service``; it is made as ``cls(options, context, servers)``."""
    return _decorator("services", name, options)


def provider(name: str, options: type[Any]) -> Callable[[T], T]:
    """Register a ``contracts.snapshot.Provider``; it is made as ``cls(options, context)``."""
    return _decorator("providers", name, options)


def balancer(name: str) -> Callable[[T], T]:
    """Register a ``contracts.plugins.Balancer``; it is made as ``cls()``."""
    return _decorator("balancers", name, None)


def metrics_backend(name: str, options: type[Any]) -> Callable[[T], T]:
    """Register a ``contracts.snapshot.MetricsBackend``; it is made as ``cls(options)``."""
    return _decorator("metrics", name, options)


def matcher(name: str, arity: int, most: int = 0) -> Callable[[T], T]:
    """Register a matcher: ``cls(args)`` is a ``contracts.plugins.Predicate``, or raises ValueError that says why not.

    ``arity`` is the least number of arguments, ``most`` the most (``arity`` when 0).
    """

    def register(cls: T) -> T:
        _register(Plugin("matchers", name, cls, None, (arity, most or arity)))
        return cls

    return register


def load(room: str) -> dict[str, Plugin]:
    """Import every file of the room (names with ``_`` in front are shared helpers) and list its plugins by name."""
    if room not in _loaded:
        _loaded.add(room)
        package = import_module(_FOLDERS[room])
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_") and not module.ispkg:
                import_module(f"{package.__name__}.{module.name}")
        _load_outside()
    return dict(_plugins[room])


def _load_outside() -> None:
    if "outside" not in _loaded:
        _loaded.add("outside")
        for entry in entry_points(group="edgerouter.plugins"):
            entry.load()
