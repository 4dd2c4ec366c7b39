"""Plain data -> one typed object, with every fault named by its path: the one decoder behind all of configuration.

Text is read leniently (flags, variables and labels hold nothing else), keys in any case; what does not fit is a
``Fault``, never an exception. Reading files, and knowing routers from middlewares, does not live here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect as shapes

from edgerouter.config.fit_types import Fault, Field, NoOptions, Path, Plain
from edgerouter.config.late import Late, refers
from edgerouter.config.types import Duration, Secret, decode_hook

T = TypeVar("T")
Table = Mapping[str, Any]  # name -> options class, or None where there are no options

TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))  # as Go's strconv.ParseBool reads them
FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))
MANY: Final = "MANY"  # class attribute, true for options of a plugin that may be there several times, each under a name
SECTIONS: Final = "sections"  # the field of an open struct that holds options of plugins, by the plugin's name
VALUE_KEY: Final = "="  # key of a value that was given where options were given too
_DROP: Final = object()
_UNTEXTUAL: Final = (shapes.BoolType, shapes.IntType, shapes.FloatType, shapes.LiteralType, shapes.EnumType)
_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_WHOLE: Final = re.compile(r"\s*[-+]?[0-9]{1,19}\s*")
_FLOAT: Final = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?")
_AT: Final = re.compile(r" - at `(?:key in )?\$\.?(.*)`$")


def dotted(path: Iterable[str]) -> str:
    """``("domains", "[0]", "main")`` is ``domains[0].main``."""
    return ".".join(path).replace(".[", "[")


def closest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """A hint that names the nearest of the right names, or nothing."""
    known = {name.lower(): name for name in names}
    close = get_close_matches(word.lower().replace("-", "").replace("_", ""), known, n=1, cutoff=cutoff)
    return f"did you mean {known[close[0]]!r}?" if close else ""


def nearest(word: str, names: Iterable[str]) -> str:
    """A hint that names the nearest of the right names, or all of them when there are few."""
    known = sorted(set(names))
    listed = f"known here: {', '.join(known)}" if 0 < len(known) <= 12 else ""
    return closest(word, known) or listed


def resolve(value: object) -> Any:
    """Plain data as it stands, with YAML's unquoted scalars read as booleans and numbers where they are such."""
    if isinstance(value, Plain):
        return _scalar(value)
    if isinstance(value, (dict, Mapping)):
        return {str(key): resolve(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item) for item in value]
    return value


def _scalar(text: str) -> Any:
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text in TRUE
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) and not text.lstrip("+-").isdigit() else str(text)


def boolean(value: object) -> bool | None:
    """A bool, or text that Go reads as one; None for anything else."""
    if isinstance(value, bool):
        return value
    text = str(value) if isinstance(value, (str, int)) else ""
    return True if text in TRUE else False if text in FALSE else None


@cache
def fields_of(cls: type) -> dict[str, Field]:
    """The options of a struct by lower-cased name."""
    info = shapes.type_info(cls)
    assert isinstance(info, shapes.StructType), cls
    return {f.encode_name.lower(): Field(f.encode_name, f.name, f.type, f.required, _default(f)) for f in info.fields}


@cache
def _required(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields_of(cls).values() if field.required)


def _default(field: shapes.Field) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory() if callable(field.default_factory) else None


def struct_of(shape: Any) -> type | None:
    """The struct class of a shape that is one, or one or None."""
    if isinstance(shape, shapes.StructType):
        return shape.cls
    if isinstance(shape, shapes.UnionType):
        found = [struct_of(part) for part in shape.types if not isinstance(part, shapes.NoneType)]
        return found[0] if len(found) == 1 else None
    return None


def fit(
    value: object, cls: type[T], path: Path = (), open_tables: Mapping[type, Table] | None = None
) -> tuple[T | None, list[Fault]]:
    """``value`` as a ``cls``, and all faults; None when there is any. ``open_tables``: see ``SECTIONS``."""
    made, faults = fit_partly(value, cls, path, open_tables)
    return (None if faults else made), faults


def fit_partly(
    value: object, cls: type[T], path: Path = (), open_tables: Mapping[type, Table] | None = None
) -> tuple[T | None, list[Fault]]:
    """The same, but made of what does fit, where that is enough: for further checks, never for use."""
    walk = _Walk(open_tables or {})
    return _made(walk, value, cls, path), walk.faults


def fit_late(value: object, cls: type[T], path: Path = ()) -> tuple[T | None, list[Fault], Late]:
    """As ``fit``, and references (``${env:X}``) are no faults where numbers, durations, flags or choices are expected:
    the object has its default there, and they are returned with their paths below ``path``."""
    walk = _Walk({}, late=[])
    made = _made(walk, value, cls, path)
    late = tuple((at[len(path) :], text) for at, text in walk.late or ())
    return (None if walk.faults else made), walk.faults, late


def _made(walk: _Walk, value: object, cls: type[T], path: Path) -> T | None:
    plain = walk.struct(value, cls, path)
    if plain is _DROP:
        return None
    try:
        return msgspec.convert(plain, cls, strict=False, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        walk.faults = walk.faults or [_refused(error, path)]
        return None


def _refused(error: msgspec.ValidationError, path: Path) -> Fault:
    """What the struct's own limits (ranges, patterns, ``__post_init__``) refuse, by msgspec's words."""
    text = str(error)
    at = _AT.search(text)
    inner: list[str] = []
    if at is not None:
        text = text[: at.start()]
        inner = [part for part in at.group(1).replace("[", ".[").split(".") if part]
    return Fault((*path, *inner), text[:1].lower() + text[1:].replace("`", ""))


def _short(value: object) -> str:
    text = repr(str(value)) if isinstance(value, str) else type(value).__name__ if _is_tree(value) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_tree(value: object) -> bool:
    return not isinstance(value, str) and isinstance(value, (dict, list, tuple, Mapping))


class _Walk:
    """Turns a tree into what msgspec accepts for a shape; collects faults, and ``late`` values where they may be."""

    def __init__(self, open_tables: Mapping[type, Table], late: list[tuple[Path, str]] | None = None) -> None:
        self.open_tables = open_tables
        self.late = late
        self.faults: list[Fault] = []

    def fault(self, path: Path, message: str, hint: str = "") -> Any:
        self.faults.append(Fault(path, message, hint))
        return _DROP

    def any(self, value: object, shape: Any, path: Path) -> Any:
        """Dispatch on the shape."""
        step = _STEPS.get(type(shape))
        if self.late is not None and refers(value) and _is_untextual(shape):
            self.late.append((path, str(value)))
            return _DROP
        return resolve(value) if step is None else step(self, value, shape, path)

    def struct(self, value: object, cls: type, path: Path) -> Any:
        if not isinstance(value, (dict, Mapping)):
            on = value is None or boolean(value)
            return {} if on else self.fault(path, f"expected options, got {_short(value)}", "write true, or options")
        known = fields_of(cls)
        table = self._table(cls)
        result: dict[str, Any] = {}
        for key, item in value.items():
            self._member(str(key), item, known, table, path, result)
        for name in _required(cls):
            if name not in result and not self._blamed((*path, name)):
                self.fault((*path, name), f"{name} is required")
        return result

    def _blamed(self, path: Path) -> bool:
        return any(fault.path[: len(path)] == path for fault in self.faults)

    def _table(self, cls: type) -> dict[str, tuple[str, Any]] | None:
        table = self.open_tables.get(cls)
        return None if table is None else {name.lower(): (name, options) for name, options in table.items()}

    def _member(
        self,
        key: str,
        item: object,
        known: dict[str, Field],
        table: dict[str, tuple[str, Any]] | None,
        path: Path,
        result: dict[str, Any],
    ) -> None:
        field = known.get(key.lower())
        if field is not None and (table is None or field.name != SECTIONS):
            self._keep(result, field.name, self.any(item, field.shape, (*path, field.name)), path)
        elif table is not None and key.lower() in table:
            name, options = table[key.lower()]
            self._section(item, name, options, path, result.setdefault(SECTIONS, {}))
        elif key == VALUE_KEY:
            self.fault(path, "options and a value were given", "write true, or the options alone")
        else:
            names = [f.name for f in known.values() if f.name != SECTIONS]
            names += [name for name, _ in (table or {}).values()]
            self.fault((*path, key), f"unknown option {key!r}", nearest(key, names))

    def _section(self, item: object, name: str, options: Any, path: Path, sections: dict[str, Any]) -> None:
        if boolean(item) is False:
            return
        if isinstance(item, Mapping) and options is not None and getattr(options, MANY, False):
            item = self._instances(item, name, options, path, sections)
            if item is None:
                return
        made, faults = fit(item, options or NoOptions, (*path, name), self.open_tables)
        self.faults.extend(faults)
        self._keep(sections, name, made, path)

    def _instances(
        self, item: Mapping[Any, Any], name: str, options: type, path: Path, sections: dict[str, Any]
    ) -> dict[Any, Any] | None:
        """Take out named instances (``docker: {east: {...}}`` is docker-east); None when nothing else stands there."""
        known = fields_of(options)
        named = {
            str(key): below
            for key, below in item.items()
            if isinstance(below, Mapping) and str(key).lower() not in known
        }
        for key, below in named.items():
            made: Any
            made, faults = fit(below, options, (*path, name, key), self.open_tables)
            self.faults.extend(faults)
            self._keep(sections, f"{name}-{key}", made, path)
        rest = {key: below for key, below in item.items() if str(key) not in named}
        return None if named and not rest else rest

    def _keep(self, result: dict[str, Any], name: str, made: Any, path: Path) -> None:
        if name in result:
            self.fault((*path, name), f"{name} is given twice, in different case")
        elif made is not _DROP:
            result[name] = made

    def model(self, value: object, shape: Any, path: Path) -> Any:
        if shape.tag is not None or shape.array_like:
            return resolve(value)
        return self.struct(value, shape.cls, path)

    def union(self, value: object, shape: Any, path: Path) -> Any:
        parts = [part for part in shape.types if not isinstance(part, shapes.NoneType)]
        optional = len(parts) < len(shape.types)
        if len(parts) == 1:
            struct = isinstance(parts[0], shapes.StructType)
            if optional and (boolean(value) is False if struct else value is None):
                return None
            return self.any(value, parts[0], path)
        return self._one_of(value, sorted(parts, key=_narrowness), path)

    def _one_of(self, value: object, parts: list[Any], path: Path) -> Any:
        if isinstance(value, str) and not isinstance(value, Plain) and any(_is_text(part) for part in parts):
            return value
        before = len(self.faults)
        for part in parts:
            made = self.any(value, part, path)
            if len(self.faults) == before:
                return made
            del self.faults[before:]
        return resolve(value)

    def mapping(self, value: object, shape: Any, path: Path) -> Any:
        if value is None or value == "" or boolean(value):
            return {}
        if not isinstance(value, Mapping):
            return self.fault(path, f"expected names with values, got {_short(value)}")
        made = {str(key): self.any(item, shape.value_type, (*path, str(key))) for key, item in value.items()}
        return {key: item for key, item in made.items() if item is not _DROP}

    def items(self, value: object, shape: Any, path: Path) -> Any:
        if value is None:
            return []
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")] if value.strip() else []
        elif isinstance(value, (dict, Mapping)):
            return self.fault(path, "expected a list, got names with values", "write [0], [1] ... or a list")
        elif not isinstance(value, Sequence):
            value = [value]
        made = [self.any(item, shape.item_type, (*path, f"[{index}]")) for index, item in enumerate(value)]
        return [item for item in made if item is not _DROP]

    def flag(self, value: object, shape: Any, path: Path) -> Any:
        made = boolean(value)
        if value is None:
            return _DROP
        if made is None:
            return self.fault(path, f"expected true or false, got {_short(value)}", "write true or false")
        return made

    def whole(self, value: object, shape: Any, path: Path) -> Any:
        if value is None:
            return _DROP
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            return int(value)
        return self.fault(path, f"expected a whole number, got {_short(value)}")

    def real(self, value: object, shape: Any, path: Path) -> Any:
        if value is None:
            return _DROP
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and _FLOAT.fullmatch(value.strip()):
            return float(value)
        return self.fault(path, f"expected a number, got {_short(value)}")

    def text(self, value: object, shape: Any, path: Path) -> Any:
        if value is None:
            return _DROP
        if _is_tree(value):
            return self.fault(path, f"expected text, got {'a list' if isinstance(value, list) else 'options'}")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def choice(self, value: object, shape: Any, path: Path) -> Any:
        if value is None:
            return _DROP
        choices = shape.values if isinstance(shape, shapes.LiteralType) else [member.value for member in shape.cls]
        found = {str(item).lower(): item for item in choices}
        if not _is_tree(value) and str(value).lower() in found:
            return found[str(value).lower()]
        names = ", ".join(str(item) for item in choices)
        return self.fault(path, f"expected one of {names}, got {_short(value)}", closest(str(value), map(str, choices)))

    def custom(self, value: object, shape: Any, path: Path) -> Any:
        if value is None:
            return _DROP
        if shape.cls is Secret:
            made = self.text(value, shape, path)
            return made if made is _DROP or isinstance(value, Secret) else Secret(made)
        if shape.cls is not Duration:
            return resolve(value)
        try:
            return Duration.parse(value)
        except ValueError as error:
            return self.fault(path, str(error))


def _is_text(shape: Any) -> bool:
    return isinstance(shape, shapes.StrType)


def _is_untextual(shape: Any) -> bool:
    return isinstance(shape, _UNTEXTUAL) or (isinstance(shape, shapes.CustomType) and shape.cls is Duration)


def _narrowness(shape: Any) -> int:
    """Which alternative of a union is tried first: text takes anything, so it comes last."""
    return 1 if _is_text(shape) else 0


def _metadata(walk: _Walk, value: object, shape: Any, path: Path) -> Any:
    return walk.any(value, shape.type, path)


_STEPS: Final[dict[type, Callable[[_Walk, object, Any, Path], Any]]] = {
    shapes.StructType: _Walk.model,
    shapes.UnionType: _Walk.union,
    shapes.DictType: _Walk.mapping,
    shapes.ListType: _Walk.items,
    shapes.VarTupleType: _Walk.items,
    shapes.SetType: _Walk.items,
    shapes.FrozenSetType: _Walk.items,
    shapes.BoolType: _Walk.flag,
    shapes.IntType: _Walk.whole,
    shapes.FloatType: _Walk.real,
    shapes.StrType: _Walk.text,
    shapes.LiteralType: _Walk.choice,
    shapes.EnumType: _Walk.choice,
    shapes.CustomType: _Walk.custom,
    shapes.Metadata: _metadata,
}
