"""Stored responses, bounded in bytes, the least recently used go first. Nothing here knows when one may be used.

One URL may have several variants, told apart by the request fields that Vary names (RFC 9111 section 4.1).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.middlewares._cache_policy import Freshness
from edgerouter.middlewares._slices import Pieces

_VARIANTS: Final = 16  # of one URL; a field that differs for everybody must not fill the store
_OVERHEAD: Final = 1024  # what an entry costs beside its bytes


class Entry:
    """One stored response. ``stored``: the loop's clock when it came."""

    def __init__(
        self, key: str, names: tuple[str, ...], values: tuple[str, ...], status: int, headers: Headers, body: Pieces
    ) -> None:
        self.key = key
        self.names = names
        self.values = values
        self.status = status
        self.headers = headers
        self.pieces = body.all()
        self.length = body.size
        self.stored = 0.0
        self.freshness = Freshness(0.0, 0.0, {})
        self.renewing = False
        texts = len(key) + sum(len(value) for value in values)
        self.size = body.size + texts + _OVERHEAD + sum(len(n) + len(v) + 4 for n, v in headers.items())

    def fits(self, request: Request) -> bool:
        """Is it the variant for this request?"""
        return self.values == vary_values(request, self.names)

    def age(self, now: float) -> float:
        """Seconds since it was made."""
        return self.freshness.age + now - self.stored


def vary_names(headers: Headers) -> tuple[str, ...]:
    """The request fields that a response depends on, in lower case."""
    names = {name.strip().lower() for line in headers.get_all("Vary") for name in line.split(",")}
    return tuple(sorted(names - {""}))


def vary_values(request: Request, names: tuple[str, ...]) -> tuple[str, ...]:
    """What the request says in these fields."""
    return tuple(",".join(request.headers.get_all(name)) for name in names)


class Store:
    """``used`` counts the bytes of all entries and of what is being filled."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._keys: dict[str, list[Entry]] = {}
        self.used = 0

    def find(self, key: str, request: Request) -> Entry | None:
        """The variant for this request, now the most recently used."""
        for entry in reversed(self._keys.get(key, ())):
            if entry.fits(request):
                self._entries.move_to_end(id(entry))
                return entry
        return None

    def knows(self, key: str) -> bool:
        """Is there any variant?"""
        return key in self._keys

    def reserve(self, size: int) -> bool:
        """Make room for so many bytes that are coming; False where there is none."""
        while self.used + size > self._most and self._entries:
            self.drop(next(iter(self._entries.values())))
        if self.used + size > self._most:
            return False
        self.used += size
        return True

    def release(self, size: int) -> None:
        """What was reserved is not needed."""
        self.used -= size

    def put(self, entry: Entry) -> bool:
        """Store, in the place of a variant that fits the same requests."""
        variants = self._keys.get(entry.key, [])
        for old in list(variants):
            if old.names == entry.names and old.values == entry.values:
                self.drop(old)
        if len(variants) >= _VARIANTS:
            self.drop(variants[0])
        if not self.reserve(entry.size):
            return False
        self._keys.setdefault(entry.key, []).append(entry)
        self._entries[id(entry)] = entry
        return True

    def drop(self, entry: Entry) -> None:
        """Forget one."""
        if self._entries.pop(id(entry), None) is None:
            return
        self.used -= entry.size
        variants = self._keys[entry.key]
        variants.remove(entry)
        if not variants:
            del self._keys[entry.key]

    def forget(self, key: str) -> None:
        """Forget all variants of a URL."""
        for entry in list(self._keys.get(key, ())):
            self.drop(entry)
