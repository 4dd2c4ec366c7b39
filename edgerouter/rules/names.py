"""Which matcher a name means: canonical, lower, UPPER and Title case, and the nearest right name otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def spellings(names: Iterable[str]) -> dict[str, str]:
    """Map every accepted spelling to the canonical name."""
    known: dict[str, str] = {}
    for name in names:
        for spelling in (name, name.lower(), name.upper(), name.capitalize()):
            known[spelling] = name
    return known


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the known name that is most like this one, or ""."""
    folded = {known.lower(): known for known in names}
    if name.lower() in folded:
        return folded[name.lower()]
    close = get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return folded[close[0]] if close else ""
