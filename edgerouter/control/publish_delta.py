"""What a worker must be told so that its plan becomes the new one: changed entries and dropped keys. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from edgerouter.contracts.messages import Delta
from edgerouter.contracts.plan import Entry, Plan

_PART = 500  # entries a message: a worker decodes that many in about a millisecond


def delta(old: Plan, new: Plan) -> tuple[dict[str, Entry], list[str]]:
    """Entries to set, by key, and keys to drop."""
    before = old.hashes
    entries = {key: new.entries[key] for key, value in new.hashes.items() if before.get(key) != value}
    return entries, [key for key in before if key not in new.hashes]


def deltas(generation: int, old: Plan, new: Plan) -> Iterator[Delta]:
    """The same as messages for the channel, the last one marked; one at least, so that the generation is answered."""
    changed, removed = delta(old, new)
    entries = list(changed.values())
    starts = range(0, max(len(entries), 1), _PART)
    for start in starts:
        last = start == starts[-1]
        part = tuple(entries[start : start + _PART])
        yield Delta(generation=generation, entries=part, removed=tuple(removed) if last else (), last=last)
