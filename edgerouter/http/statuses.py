"""Status codes in options: ``"503"`` and ranges ``"500-599"``, both ends included."""

from __future__ import annotations


def parse_statuses(option: str, given: tuple[str, ...]) -> frozenset[int]:
    """Raises ValueError that names the option and says what to write."""
    found: set[int] = set()
    for text in given:
        low, dash, high = text.replace(" ", "").partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise ValueError(f"{option}: {text!r} is no status; write 503 or 500-599")
        first, last = int(low), int(high) if dash else int(low)
        if not 100 <= first <= last <= 599:
            raise ValueError(f"{option}: {text!r} is no range of statuses; they go from 100 to 599")
        found.update(range(first, last + 1))
    return frozenset(found)
