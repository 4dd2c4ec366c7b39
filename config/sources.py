"""File, environment and flags -> one ``StaticConfiguration``, or every problem of all three with its place.

The three are merged, flags over environment over file. The only file of this room that opens files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final

import msgspec

from edgerouter.config import absent, checks, legacy
from edgerouter.config.documents import Document, read_document
from edgerouter.config.fit import Table, boolean, dotted, fit_partly
from edgerouter.config.fit_types import Fault
from edgerouter.config.flags import Setting, Settings, read_environment, read_flags
from edgerouter.config.nest import child, finish, grow, same
from edgerouter.config.outline import Tables
from edgerouter.config.places import Path, lowered, place_of
from edgerouter.config.static import Metrics, Providers, StaticConfiguration
from edgerouter.config.types import Problem

NAMES: Final = ("edgerouter", "traefik")
ENDINGS: Final = (".toml", ".yaml", ".yml")
_LATER: Final = frozenset(
    (
        "experimental.plugins",
        "experimental.localplugins",
        "experimental.abortonpluginfailure",
        "experimental.fastproxy",
        "experimental.otlplogs",
        "experimental.knative",
        "experimental.kubernetesgateway",
        "experimental.kubernetesingressnginx",
        "log.otlp",
        "accesslog.otlp",
        "serverstransport.spiffe",
    )
)


class Loaded(msgspec.Struct, frozen=True):
    """``static`` is None when any problem is an error; ``file``: the configuration file that was read, or "";
    ``places``: where each option was written."""

    static: StaticConfiguration | None
    problems: tuple[Problem, ...]
    file: str = ""
    places: Mapping[Path, str] = {}

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that forbid a start."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def place(self, message: str) -> str:
        """Where the option was written that a message begins with (``workers: expected ...``); "" when nowhere."""
        return place_of(self.places, tuple(message.partition(":")[0].split(".")), "")


def load_static(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    providers: Table,
    metrics: Table | None = None,
    candidates: Iterable[str] | None = None,
) -> Loaded:
    """Read everything; never raises for what is configured.

    ``providers`` and ``metrics``: options classes by plugin name. ``candidates``: files to look for when none is
    named, ``search(environment)`` by default.
    """
    reader = _Reader({Providers: providers, Metrics: metrics or {}})
    flags = read_flags(arguments, reader.tables, legacy.SWITCHES)
    variables = read_environment(environment, reader.tables)
    file = flags.file or variables.file or _first(search(environment) if candidates is None else candidates)
    reader.file(file)
    reader.settings(variables, variables.given)
    modern, problems = legacy.modernize(flags.given)
    reader.settings(flags, modern)
    reader.problems.extend(problems)
    return Loaded(reader.finish(), tuple(reader.problems), file, reader.places)


def tables_of(providers: Table, metrics: Table | None = None) -> Tables:
    """The open parts of the static model, for whoever walks it."""
    return {Providers: providers, Metrics: metrics or {}}


def search(environment: Mapping[str, str]) -> Iterator[str]:
    """Where a configuration file is looked for when none is named, best first (Traefik's places, both names)."""
    home = environment.get("HOME", "")
    folders = [environment.get("XDG_CONFIG_HOME", ""), f"{home}/.config" if home else "", "."]
    for name in NAMES:
        for folder in (f"/etc/{name}", *folders):
            if folder:
                yield from (f"{folder}/{name}{ending}" for ending in ENDINGS)


def _first(candidates: Iterable[str]) -> str:
    return next((name for name in candidates if FilePath(name).is_file()), "")


def read_file(name: str) -> Document:
    """A file's content; a file that cannot be read is a problem."""
    try:
        text = FilePath(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        return Document(None, {}, (Problem("", message, "name another file with --configFile", name),))
    except UnicodeDecodeError as error:
        return Document(None, {}, (Problem("", f"is no UTF-8 text, from byte {error.start} on", "", name),))
    except ValueError as error:  # a name that no file can have
        return Document(None, {}, (Problem("", f"cannot be read: {error}", "name another file", name),))
    return read_document(text, name)


class _Reader:
    """Merges sources in rising precedence, then decodes once."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.problems: list[Problem] = []
        self.tree: dict[str, Any] = {}
        self.places: dict[Path, str] = {}

    def file(self, name: str) -> None:
        if not name:
            return
        document = read_file(name)
        self.problems.extend(document.problems)
        self.places.update(document.places)
        if isinstance(document.data, Mapping):
            _merge(self.tree, document.data)
        elif document.data is not None:
            self.problems.append(Problem("", "expected options, e.g. entryPoints:", "", f"{name}:1"))

    def settings(self, source: Settings, given: Iterable[Setting]) -> None:
        self.problems.extend(source.problems)
        root: dict[str, Any] = {}
        for setting in given:
            grow(root, setting.path, setting.value)
            for length in range(1, len(setting.path) + 1):
                self.places[lowered(setting.path[:length])] = setting.place
        _merge(self.tree, finish(root))

    def finish(self) -> StaticConfiguration | None:
        self._weed(self.tree, ())
        self._absent()
        static, faults = fit_partly(self.tree, StaticConfiguration, (), self.tables)
        self._report(faults, "error")
        if static is None:
            return None
        more = checks.faults(static, self.tables[Providers])
        self._report([fault for fault in more if not _follows(fault, faults)], "error")
        if any(problem.severity == "error" for problem in self.problems):
            return None
        self._report(checks.warnings(static), "warning")
        return static

    def _report(self, faults: Iterable[Fault], severity: str) -> None:
        for fault in faults:
            place = place_of(self.places, fault.path, "default")
            self.problems.append(Problem(dotted(fault.path), fault.message, fault.hint, place, severity))

    def _weed(self, node: dict[str, Any], path: Path) -> None:
        """Take out what earlier versions had, and what is not there yet, and say so."""
        for key in list(node):
            at = (*path, str(key))
            hint = legacy.removed(at)
            if hint:
                self._report([Fault(at, "this option was removed", hint)], "error")
            elif ".".join(at).lower() in _LATER:
                self._report([Fault(at, "this is accepted, and is not there yet")], "warning")
            elif isinstance(node[key], dict):
                self._weed(node[key], at)
                continue
            else:
                continue
            del node[key]

    def _absent(self) -> None:
        """Providers and metrics backends that Traefik has and this product has not (yet)."""
        for section, cls, names in (("providers", Providers, absent.PROVIDERS), ("metrics", Metrics, absent.METRICS)):
            node = child(self.tree, section)
            declared = {*(name.lower() for name in self.tables[cls]), "prometheus"}
            for key in list(node):
                name = absent.spelled(key, names)
                if not name or name.lower() in declared:
                    continue
                if boolean(node[key]) is not False:
                    there = f"there is: {', '.join(sorted(self.tables[cls]))}" if self.tables[cls] else ""
                    kind = "error" if section == "providers" else "warning"
                    self._report([Fault((section, key), f"{name} is not there yet", there)], kind)
                del node[key]


def _follows(fault: Fault, others: Iterable[Fault]) -> bool:
    """Whether a fault may only be there because of another one beside it."""
    beside = fault.path[:-1]
    return bool(beside) and any(other.path[: len(beside)] == beside for other in others)


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put ``over`` on top: options one by one, lists as a whole; a bare true leaves the options below it."""
    for key, value in over.items():
        name = same(base, str(key))
        below = base.get(name)
        if isinstance(below, dict) and isinstance(value, Mapping):
            _merge(below, value)
        elif isinstance(below, dict) and boolean(value):
            continue
        elif isinstance(value, Mapping):
            base[name] = {}
            _merge(base[name], value)
        else:
            base[name] = value
