"""A few entries that an index cannot tell apart, best first; those that ask for a header value one step further.

Every part of an index has an ``owner``: the builder that made it. A builder changes its own parts and copies all
others before it changes them, so a table in use never changes.
"""

from __future__ import annotations

from mypy_extensions import i64

from edgerouter.http.exchange import Exchange
from edgerouter.routing.entry import LOWEST, Entry
from edgerouter.rules.branches import Branch


class Bucket:
    """``fields`` maps a field's name to its values' entries; ``top`` bounds their priority. ``only`` is the one entry
    where there is no other and it is certain: whoever has come here need not look at anything else."""

    def __init__(self, owner: int) -> None:
        self.only: Entry | None = None
        self.owner = owner
        self.entries: list[Entry] = []
        self.fields: dict[str, dict[str, list[Entry]]] | None = None
        self.top: i64 = LOWEST

    def find(self, exchange: Exchange, best: Entry | None) -> Entry | None:
        """The best entry that matches and is better than ``best``, or ``best``."""
        only = self.only
        if only is not None:
            return only if best is None or only.before(best) else best
        for entry in self.entries:
            if best is not None and not entry.before(best):
                break
            if entry.holds(exchange):
                best = entry
                break
        if self.fields is not None and (best is None or best.priority <= self.top):
            return self._find_by_field(exchange, best)
        return best

    def _find_by_field(self, exchange: Exchange, best: Entry | None) -> Entry | None:
        fields = self.fields
        assert fields is not None
        headers = exchange.request.headers
        for name, values in fields.items():
            for value in headers.get_all(name):
                entries = values.get(value)
                if entries is None:
                    continue
                for entry in entries:
                    if best is not None and not entry.before(best):
                        break
                    if entry.holds(exchange):
                        best = entry
                        break
        return best

    def add(self, entry: Entry, branch: Branch) -> None:
        """Put the entry at its place in the order."""
        if not branch.header:
            _insert(self.entries, entry)
            self._settle()
            return
        if self.fields is None:
            self.fields = {}
        _insert(self.fields.setdefault(branch.header, {}).setdefault(branch.header_value, []), entry)
        if entry.priority > self.top:
            self.top = entry.priority
        self._settle()

    def remove(self, entry: Entry, branch: Branch) -> None:
        """Take the entry out; ``top`` stays as a bound until the last of its kind is gone."""
        if not branch.header:
            _remove(self.entries, entry)
            self._settle()
            return
        fields = self.fields
        if fields is None or branch.header not in fields:
            return
        values = fields[branch.header]
        entries = values.get(branch.header_value)
        if entries is not None:
            _remove(entries, entry)
            if not entries:
                del values[branch.header_value]
        if not values:
            del fields[branch.header]
        if not fields:
            self.fields = None
            self.top = LOWEST
            self._settle()

    def _settle(self) -> None:
        entries = self.entries
        alone = len(entries) == 1 and self.fields is None and entries[0].certain
        self.only = entries[0] if alone else None

    def empty(self) -> bool:
        """True when nothing is left."""
        return not self.entries and self.fields is None

    def copy(self, owner: int) -> Bucket:
        """An independent copy."""
        bucket = Bucket(owner)
        bucket.only = self.only
        bucket.entries = list(self.entries)
        bucket.top = self.top
        fields = self.fields
        if fields is not None:
            bucket.fields = {
                name: {value: list(entries) for value, entries in values.items()} for name, values in fields.items()
            }
        return bucket


def _insert(entries: list[Entry], entry: Entry) -> None:
    low = 0
    high = len(entries)
    while low < high:
        middle = (low + high) // 2
        if entry.before(entries[middle]):
            high = middle
        else:
            low = middle + 1
    entries.insert(low, entry)


def _remove(entries: list[Entry], entry: Entry) -> None:
    for i in range(len(entries)):
        if entries[i] is entry:
            del entries[i]
            return
