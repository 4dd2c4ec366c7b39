"""The static model as a list of option paths: what a flag or variable may be called and what stands there.

Used to read flags and variables and to print ``--help``; values are decoded in ``fit``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from msgspec import inspect as shapes

from edgerouter.config.fit import MANY, SECTIONS, Table, fields_of, struct_of
from edgerouter.config.fit_types import NoOptions
from edgerouter.config.nest import INDEX
from edgerouter.config.places import Path
from edgerouter.config.static import StaticConfiguration

Tables = Mapping[type, Table]  # open struct -> its plugins' options classes, by name
_LISTS = (shapes.ListType, shapes.VarTupleType, shapes.SetType, shapes.FrozenSetType)


@cache
def _info(cls: type) -> Any:
    return shapes.type_info(cls)


def bare(shape: Any) -> Any:
    """A shape without ``| None`` and annotations."""
    while True:
        if isinstance(shape, shapes.Metadata):
            shape = shape.type
        elif isinstance(shape, shapes.UnionType):
            parts = [part for part in shape.types if not isinstance(part, shapes.NoneType)]
            if len(parts) != 1:
                return shape
            shape = parts[0]
        else:
            return shape


def is_list(shape: Any) -> bool:
    """Whether values accumulate there."""
    return isinstance(bare(shape), _LISTS)


def is_switch(shape: Any) -> bool:
    """Whether a name alone means true there."""
    return isinstance(bare(shape), (shapes.BoolType, shapes.StructType, shapes.DictType))


def shape_at(path: Path, tables: Tables) -> Any:
    """What stands at a path of the static configuration, in any case; None when there is no such option."""
    shape = _info(StaticConfiguration)
    for part in path:
        shape = below(shape, part, tables)
        if shape is None:
            return None
    return shape


def below(shape: Any, part: str, tables: Tables) -> Any:
    """What stands one step below a shape; None when nothing does."""
    shape = bare(shape)
    cls = struct_of(shape)
    if cls is not None:
        found = _member(cls, part.lower(), tables)
        return _info(cls) if found is None and getattr(cls, MANY, False) else found
    if isinstance(shape, shapes.DictType):
        return shape.value_type
    if isinstance(shape, _LISTS):
        return shape.item_type if INDEX.fullmatch(part) else None
    return shape if isinstance(shape, shapes.AnyType) else None


def _member(cls: type, name: str, tables: Tables) -> Any:
    field = fields_of(cls).get(name)
    if field is not None and field.name != SECTIONS:
        return field.shape
    for known, options in tables.get(cls, {}).items():
        if known.lower() == name:
            return _info(options or NoOptions)
    return None
