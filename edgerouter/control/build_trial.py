"""Makes a plugin once in the control process, to hear what it says of its options. The instance is thrown away.

What only the constructor can know (an expression that does not parse, a balancer that nobody has) is so a problem that
people see, not just a router that answers 500 in every worker.
"""

from __future__ import annotations

from typing import Any, Final

from edgerouter.clients.references import Resolver
from edgerouter.contracts.plugins import PluginContext
from edgerouter.control.build_plain import masked
from edgerouter.registry import Plugin, load
from edgerouter.telemetry.records import SharedRecords

_RECORDS: Final = SharedRecords()  # for services, which make no records; middlewares get their own, to be forgotten


def _context(name: str, records: SharedRecords) -> PluginContext:
    return PluginContext(name, "", "", lambda service: None, records, lambda: 0.0, 0)


def try_middleware(name: str, kind: str, plain: Any) -> str:
    """What is wrong with the options, "" when nothing is. Kinds that nobody has are somebody else's question."""
    plugin = load("middlewares").get(kind)
    return "" if plugin is None else _said(plugin, plain, (_context(name, SharedRecords()),))


def try_service(name: str, kind: str, plain: Any) -> str:
    """The same for a service, without its servers."""
    plugin = load("services").get(kind)
    return "" if plugin is None else _said(plugin, plain, (_context(name, _RECORDS), []))


def with_values(room: str, kind: str, plain: Any) -> Any:
    """The options with the values of their references, for questions to them; None where they cannot be had."""
    plugin = load(room).get(kind)
    try:
        return None if plugin is None or plugin.options is None else Resolver().typed(plain, plugin.options)
    except ValueError:  # what is wrong with them is said by the trial
        return None


def _said(plugin: Plugin, plain: Any, arguments: tuple[Any, ...]) -> str:
    if plugin.options is None:
        return ""
    options: Any = None
    resolver = Resolver()
    try:
        options = resolver.typed(plain, plugin.options)
        plugin.cls(options, *arguments)
        examine = getattr(plugin.cls, "examine", None)  # what takes modules that a worker must not import
        if examine is not None:
            examine(options)
    except Exception as error:  # a plugin may be anybody's; whatever it raises, its users are refused and others not
        return resolver.masked(masked(str(error) or type(error).__name__, options))
    return ""
