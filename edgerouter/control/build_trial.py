"""Makes a plugin once in the control process, to hear what it says of its options. The instance is thrown away.

What only the constructor can know (an expression that does not parse, a balancer that nobody has) is so a problem that
people see, not just a router that answers 500 in every worker.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from edgerouter.clients.references import Resolver
from edgerouter.contracts.plugins import PluginContext
from edgerouter.control.build_plain import masked
from edgerouter.registry import Plugin, load
from edgerouter.telemetry.records import SharedRecords

_RECORDS: Final = SharedRecords()  # for services, which make no records; middlewares get their own, to be forgotten


def _context(name: str, records: SharedRecords) -> PluginContext:
    return PluginContext(name, "", "", lambda service: None, records, lambda: 0.0, 0)


class Trials:
    """Of one build. Options that are alike and were found good are not tried again: of a thousand containers most strip
    the same prefix or none. The next build tries anew, since files and variables may have changed."""

    def __init__(self) -> None:
        self._good: set[tuple[str, str, bytes]] = set()

    def middleware(self, name: str, kind: str, plain: Any) -> str:
        """What is wrong with the options, "" when nothing is. Kinds that nobody has are somebody else's question."""
        return self._said("middlewares", name, kind, plain)

    def service(self, name: str, kind: str, plain: Any) -> str:
        """The same for a service, without its servers."""
        return self._said("services", name, kind, plain)

    def _said(self, room: str, name: str, kind: str, plain: Any) -> str:
        plugin = load(room).get(kind)
        if plugin is None:
            return ""
        key = (room, kind, msgspec.msgpack.encode(plain))
        if key in self._good:
            return ""
        if room == "services":
            wrong = _said(plugin, plain, (_context(name, _RECORDS), []))
        else:
            wrong = _said(plugin, plain, (_context(name, SharedRecords()),))
        if not wrong:
            self._good.add(key)
        return wrong


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
