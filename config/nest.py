"""Dotted names with values (labels, flags, variables) -> the nested data that a file would hold. Nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from edgerouter.config.fit import VALUE_KEY, boolean

MOST_PARTS: Final = 30  # of a name; what reads the data recurses
INDEX: Final = re.compile(r"\[(\d{1,4})\]")


def split(name: str) -> tuple[str, ...]:
    """``a.domains[0].main`` is ``("a", "domains", "[0]", "main")``."""
    return tuple((INDEX.sub(r".[\1]", name) if "[" in name else name).split("."))


def grow(root: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Put ``value`` at ``path``; names that differ in case only are one, spelled as seen first."""
    node = root
    for part in path[:-1]:
        key = same(node, part)
        below = node.setdefault(key, {})
        if not isinstance(below, dict):
            below = node[key] = {VALUE_KEY: below}
        node = below
    key = same(node, path[-1])
    if isinstance(node.get(key), dict):
        node[key][VALUE_KEY] = value
    else:
        node[key] = value


def finish(node: Any) -> Any:
    """Turn indices into lists (they only order), and drop a ``true`` that stands beside options."""
    if not isinstance(node, dict):
        return node
    if VALUE_KEY in node and len(node) > 1 and boolean(node[VALUE_KEY]):
        del node[VALUE_KEY]
    if next(iter(node), "")[:1] == "[" and all(map(INDEX.fullmatch, node)):
        return [finish(node[key]) for key in sorted(node, key=lambda key: int(key[1:-1]))]
    return {key: finish(below) if isinstance(below, dict) else below for key, below in node.items()}


def same(node: Mapping[str, Any], part: str) -> str:
    """The key of ``node`` that ``part`` is in any case, else ``part``."""
    if part in node or not node:
        return part
    lower = part.lower()
    return next((key for key in node if key.lower() == lower), part)


def child(node: Any, name: str) -> dict[str, Any]:
    """The mapping below ``node`` of that name, in any case; an empty one when there is none."""
    below = node.get(same(node, name)) if isinstance(node, dict) else None
    return below if isinstance(below, dict) else {}
