"""Where a part of the configuration was written: a file's line, a flag, a variable, a label. Nothing is read here."""

from __future__ import annotations

from collections.abc import Mapping

Path = tuple[str, ...]
Places = Mapping[Path, str]  # path in lower case, list elements as "[0]" -> "routes.yml:12", "--api.insecure" ...


def lowered(path: Path) -> Path:
    """The form in which a path is a key of ``Places``."""
    return tuple(map(str.lower, path))


def place_of(places: Places | None, path: Path, otherwise: str) -> str:
    """Where ``path``, or the nearest thing around it, was written."""
    known = places if places is not None else {}
    at = lowered(path)
    while at:
        if at in known:
            return known[at]
        at = at[:-1]
    return otherwise
