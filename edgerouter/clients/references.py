"""Values that stand elsewhere: ``${file:/run/secrets/key}`` and ``${env:NAME}`` in the text of an option.

Configuration keeps the reference, and shows it; only where a middleware or service is made does the value take its
place, so it is in no plan, on no page and in no message; there it is read as the option's type. ``$${file:...}`` is the
text itself. A file's last line end is left out. Whoever may write options may not be the one who owns the machine: see
``barred``.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

import msgspec

from edgerouter.config.fit import dotted, fit
from edgerouter.config.fit_types import Fault
from edgerouter.config.foreign import holds
from edgerouter.config.late import REFERENCE, at, refers
from edgerouter.config.types import decode_hook

T = TypeVar("T")
_MARK: Final = "${"  # without it there is no reference: most options have none
_LARGEST: Final = 1 << 20  # bytes


class Limits(msgspec.Struct, frozen=True):
    """``guard``: providers whose objects may not use the environment. ``roots``: provider -> the folder below which its
    objects may name files, "" for none; one that is not listed may name any."""

    guard: frozenset[str] = frozenset()
    roots: Mapping[str, str] = {}

    def barred(self, provider: str, options: Any) -> tuple[str, str] | None:
        """The sentence and hint for options that refer to what this provider may not, or None."""
        if not holds(options, _MARK):
            return None
        for kind, name in references(options):
            if kind == "env" and provider in self.guard:
                hint = f"set providers.{provider}.allowInternal=true to trust labels, or define it in a file"
                return f"labels may not use the environment: ${{env:{name}}}", hint
            if kind == "file" and provider in self.roots and is_outside(name, self.roots[provider]):
                hint = f"set providers.{provider}.filesRoot to the folder that labels may name files of"
                return f"labels may not use files of the router's machine: ${{file:{name}}}", hint
        return None


def is_outside(file: str, root: str) -> bool:
    """True when ``file`` does not name a file below ``root``."""
    path = PurePosixPath(file)
    return not root or ".." in path.parts or not path.is_absolute() or not path.is_relative_to(root)


def is_text(value: str) -> bool:
    """True for a PEM text, False for a file's name."""
    return "-----BEGIN" in value or "\n" in value


def is_name(value: str) -> bool:
    """True for what surely is a file's name and may be shown: a key that was pasted without its first line must not be.
    Base64 may hold slashes, and no dot."""
    if len(value) > 255 or not value.isprintable():
        return False
    folder = os.path.dirname(value)
    return "." in value or (folder not in ("", "/") and os.path.isdir(folder)) or os.path.exists(value)


def references(options: Any) -> Iterator[tuple[str, str]]:
    """(kind, name) of every reference in plain options."""
    if isinstance(options, str):
        yield from ((kind, name) for escaped, kind, name in REFERENCE.findall(options) if not escaped)
    elif isinstance(options, dict):
        for value in options.values():
            yield from references(value)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from references(value)


class Resolver:
    """Puts values in the place of references. ``values`` are those that it found, to be masked in messages."""

    def __init__(self) -> None:
        self.values: set[str] = set()

    def resolve(self, options: Any) -> Any:
        """Plain options with values; a copy where there was a reference. Raises ValueError that names the reference."""
        if isinstance(options, str):
            return REFERENCE.sub(self._value, options) if "${" in options else options
        if isinstance(options, dict):
            return {name: self.resolve(value) for name, value in options.items()}
        if isinstance(options, list | tuple):
            return [self.resolve(value) for value in options]
        return options

    def typed(self, options: Any, cls: type[T]) -> T:
        """Plain options with values, as a ``cls``: what a value from elsewhere holds is read as text of a file is.
        Raises ValueError that names option and reference, and never quotes a value."""
        if not holds(options, _MARK):
            return msgspec.convert(options, cls, dec_hook=decode_hook)
        resolved = self.resolve(options)
        if next(references(options), None) is None:  # escaped ones only
            return msgspec.convert(resolved, cls, dec_hook=decode_hook)
        made, faults = fit(resolved, cls)
        if made is None:
            raise ValueError("; ".join(_said(fault, options) for fault in faults))
        return made

    def masked(self, text: str) -> str:
        """``text`` without what was found."""
        for value in sorted(self.values, key=len, reverse=True):
            text = text.replace(value, "***")
        return text

    def _value(self, match: re.Match[str]) -> str:
        escaped, kind, name = match.groups()
        if escaped:
            return match[0][1:]
        value = _environment(name) if kind == "env" else _content(name)
        if value:
            self.values.add(value)
        return value


def _said(fault: Fault, options: Any) -> str:
    """What is wrong with the value of a reference, without the value."""
    given = at(options, fault.path)
    text = fault.message.partition(", got ")[0]
    place = dotted(fault.path)
    return f"{place}: the value of {given} does not fit: {text}" if refers(given) else f"{place}: {fault.message}"


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ValueError(f"${{env:{name}}}: the router's environment has no {name}")
    return value


def _content(file: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise ValueError(f"${{file:{file}}} is no ordinary file")
        with open(file, encoding="utf-8") as source:
            text = source.read(_LARGEST + 1)
    except OSError as error:
        raise ValueError(f"${{file:{file}}} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"${{file:{file}}} is no UTF-8 text") from None
    if len(text) > _LARGEST:
        raise ValueError(f"${{file:{file}}} is longer than {_LARGEST} bytes")
    return text.removesuffix("\n").removesuffix("\r")
