"""Which options of a decoded configuration were set and have no effect in this version; ``absent`` lists them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from edgerouter.config.absent import NO_UDP, STATIC_WITHOUT_EFFECT
from edgerouter.config.fit import fields_of
from edgerouter.config.fit_types import Fault
from edgerouter.config.places import Path
from edgerouter.config.static import StaticConfiguration, effective_entry_points, parse_address


def without_effect(static: StaticConfiguration) -> list[Fault]:
    """One fault for each option of the static configuration that changes nothing although it was set."""
    found = list(given(static, STATIC_WITHOUT_EFFECT))
    for name, point in effective_entry_points(static).items():
        if parse_address(point.address).protocol == "udp":
            found.append(Fault(("entryPoints", name, "address"), NO_UDP))
    for room, sections in (("providers", static.providers.sections), ("metrics", static.metrics.sections)):
        for name, options in sections.items():
            found.extend(
                Fault((room, name, option), f"the option {option} of {name} has no effect")
                for option in not_there_yet(options)
            )
    return found


def not_there_yet(options: Any) -> tuple[str, ...]:
    """The options of a plugin that are set and have no effect, by its options class's own word."""
    ask = getattr(options, "not_there_yet", None)
    return tuple(ask()) if ask is not None else ()


def warnings(options: Any) -> tuple[str, ...]:
    """What a plugin's options class says of options that work and should be written differently."""
    ask = getattr(options, "warnings", None)
    return tuple(ask()) if ask is not None else ()


def given(model: Any, table: Mapping[str, str]) -> Iterator[Fault]:
    """A fault for each option of ``table`` (dotted paths, ``*`` for any name) that is not as it is by default."""
    for dotted, why in table.items():
        for path in _set(model, dotted.split("."), ()):
            yield Fault(path, why)


def _set(value: Any, parts: Iterable[str], path: Path) -> Iterator[Path]:
    """Where in ``value`` the option was set."""
    part, *rest = parts
    if part == "*":
        for name, item in value.items():
            yield from _set(item, rest, (*path, name))
        return
    cls: type = value.__class__
    field = fields_of(cls)[part.lower()]
    found = getattr(value, field.attribute)
    if not found or (found == field.default and not rest):
        return
    if rest:
        yield from _set(found, rest, (*path, part))
    else:
        yield (*path, part)
