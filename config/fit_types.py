"""What ``fit`` reads, knows of options, and says of faults. Shapes only, apart from it because the compiler makes no
native classes of structs."""

from __future__ import annotations

from typing import Any

import msgspec

Path = tuple[str, ...]


class Plain(str):
    """An unquoted scalar of a YAML file, as it is written: its type is the option's, so 1.10 stays 1.10 as text."""

    __slots__ = ()


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stands for the options of a plugin that has none."""


class Fault(msgspec.Struct, frozen=True):
    """``path`` from the fitted object's root; ``hint`` says what to write instead."""

    path: Path
    message: str
    hint: str = ""


class Field(msgspec.Struct, frozen=True):
    """One option: its outside name, the field's own name, its shape."""

    name: str
    attribute: str
    shape: Any
    required: bool
    default: Any
