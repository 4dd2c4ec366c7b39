"""Options that are no text and whose values stand elsewhere: ``average: ${env:RATE}``. Pure.

What lives here: which text refers to something, and how such texts, kept beside typed options that cannot hold them,
get to their places in the plain form of the options. Values are not looked up here (see ``clients.references``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

REFERENCE: Final = re.compile(r"(\$?)\$\{(file|env):([^}\n]*)\}")
Late = tuple[tuple[tuple[str, ...], str], ...]  # (path in the options, text) of each


def refers(value: object) -> bool:
    """True for text in which a value is to be put; ``$${env:X}`` is the text itself."""
    return isinstance(value, str) and "${" in value and any(not found[1] for found in REFERENCE.finditer(value))


def put(options: Any, late: Iterable[tuple[tuple[str, ...], str]]) -> Any:
    """Write the texts, in place, into plain options. Raises LookupError or TypeError where they have no such place."""
    for path, text in late:
        holder = options
        for part in path[:-1]:
            holder = holder[_index(part)] if isinstance(holder, list) else holder.setdefault(part, {})
        holder[path[-1]] = text
    return options


def at(options: Any, path: Iterable[str]) -> Any:
    """What stands at a path of plain options, None for nothing."""
    for part in path:
        if isinstance(options, list):
            options = options[_index(part)] if part[:1] == "[" else None
        else:
            options = options.get(part) if isinstance(options, dict) else None
    return options


def _index(part: str) -> int:
    return int(part[1:-1])
