"""Command-line flags and environment variables -> settings: a path, a value, and where it was written.

Names are told from values by the typed model; values stay text. What 1.x flags mean is ``legacy``'s matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from edgerouter.config.fit import closest, fields_of
from edgerouter.config.nest import MOST_PARTS, split
from edgerouter.config.outline import Tables, below, is_list, is_switch, shape_at
from edgerouter.config.places import Path, lowered
from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import Problem

PREFIXES: Final = ("TRAEFIK_", "EDGEROUTER_")  # rising precedence
CONFIG_FILE: Final = ("configfile", "c")  # the second is 1.x's
_OWN: Final = ("PURE", "CI", "CONFIGFILE", "HANDOVER")  # variables of ours that are no options
# What an orchestrator sets in every container when a service is called edgerouter, or traefik.
_SERVICE: Final = re.compile(r".*(_SERVICE_HOST|_SERVICE_PORT(_.*)?|_PORT_\d+_(TCP|UDP)(_.*)?)")
_WORDS: Final = ("true", "false", "name:")  # values that may follow a switch; the last is an entry point in 1.x form


class Setting(msgspec.Struct, frozen=True):
    """One option that was given: ``value`` is text, or a list of texts for a flag that was repeated."""

    path: Path
    value: Any
    place: str


class Settings(msgspec.Struct, frozen=True):
    """All options of one source, in order; ``file``: the configuration file that it names."""

    given: tuple[Setting, ...]
    problems: tuple[Problem, ...] = ()
    file: str = ""


def read_flags(arguments: Sequence[str], tables: Tables, switches: frozenset[str] = frozenset()) -> Settings:
    """``--a.b=v``, ``--a.b v``, ``-a.b``; a switch alone is true; a list's values accumulate; ``--`` ends.

    ``switches``: lower-cased names outside of the model that take no following value.
    """
    given: list[Setting] = []
    problems: list[Problem] = []
    file = ""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            problems.extend(_stray(extra) for extra in rest)
            break
        if not word.startswith("-") or word == "-":
            problems.append(_stray(word))
            continue
        name, equals, text = word.lstrip("-").partition("=")
        shape = shape_at(split(name), tables)
        value = text if equals else _value(name, shape, rest, switches)
        if len(split(name)) > MOST_PARTS:
            problems.append(Problem(name[:100], f"more than {MOST_PARTS} parts", "", f"flag --{name[:100]}"))
        elif value is None:
            problems.append(Problem(name, "a value is missing", f"write --{name}=...", f"flag --{name}"))
        elif name.lower() in CONFIG_FILE:
            file = value
        else:
            _add(given, Setting(split(name), value, f"flag --{name}"), shape)
    return Settings(tuple(given), tuple(problems), file)


def _stray(word: str) -> Problem:
    return Problem("", f"{word!r} is no flag", f"write --{word}" if "=" in word else "remove it", "command line")


def _value(name: str, shape: Any, rest: list[str], switches: frozenset[str]) -> str | None:
    """The value of a flag that stands without ``=``; None when it is missing."""
    follows = bool(rest) and not re.match(r"--?[A-Za-z]", rest[0]) and rest[0] != "--"
    if is_switch(shape) or name.lower() in switches:
        return rest.pop(0) if follows and rest[0].lower().startswith(_WORDS) else "true"
    if follows:
        return rest.pop(0)
    return "true" if shape is None and name.lower() not in CONFIG_FILE else None


def _add(given: list[Setting], setting: Setting, shape: Any) -> None:
    same = [before for before in given if lowered(before.path) == lowered(setting.path)]
    if same and is_list(shape):
        given.remove(same[0])
        setting = Setting(setting.path, [*_listed(same[0].value), *_listed(setting.value)], setting.place)
    given.append(setting)


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [part.strip() for part in value.split(",") if part.strip()]


def read_environment(environment: Mapping[str, str], tables: Tables) -> Settings:
    """``EDGEROUTER_A_B=v``; ``TRAEFIK_A_B=v`` counts less. Variables outside of the model's roots are none of ours."""
    given: list[Setting] = []
    problems: list[Problem] = []
    file = ""
    for prefix in PREFIXES:
        for name in sorted(environment):
            if not name.upper().startswith(prefix):
                continue
            rest = name[len(prefix) :]
            if rest.upper() == "CONFIGFILE":
                file = environment[name]
            elif rest.count("_") >= MOST_PARTS:
                problems.append(Problem("", f"more than {MOST_PARTS} parts", "", f"variable {name[:100]}", "warning"))
            elif _is_option(rest):
                given.append(Setting(_variable_path(rest, tables), environment[name], f"variable {name}"))
            else:
                problems.extend(_nearly(name, rest))
    return Settings(tuple(given), tuple(problems), file)


def _is_option(rest: str) -> bool:
    root = rest.partition("_")[0].lower()
    return root in fields_of(StaticConfiguration) and not _SERVICE.fullmatch(rest.upper())


def _nearly(name: str, rest: str) -> list[Problem]:
    """A variable whose first word is nearly an option is more likely a typing error than somebody else's."""
    root = rest.partition("_")[0]
    if rest.upper() in _OWN or _SERVICE.fullmatch(rest.upper()) or len(root) < 4:
        return []
    hint = closest(root, [field.name for field in fields_of(StaticConfiguration).values()], 0.8)
    return [Problem(root, "this variable is no option", hint, f"variable {name}", "warning")] if hint else []


def _variable_path(rest: str, tables: Tables) -> Path:
    """``PROVIDERS_DOCKER``; a number below a list is an index."""
    path: list[str] = []
    shape: Any = shape_at((), tables)
    for part in rest.split("_"):
        step = f"[{part}]" if part.isdigit() and is_list(shape) else part.lower()
        path.append(step)
        shape = None if shape is None else below(shape, step, tables)
    return tuple(path)
