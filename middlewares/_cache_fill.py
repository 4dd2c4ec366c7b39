"""Filling a store: one request a key at a time, the others wait; bytes are counted from the first on."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.middlewares._cache_policy import Freshness
from edgerouter.middlewares._cache_store import Entry, Store, vary_names, vary_values
from edgerouter.middlewares._slices import Listener, Pieces

_PASS: Final = 30.0  # seconds for which nobody waits for a key that could not be stored
_MOST_PASSING: Final = 4096


class Token:
    """The right to fill a key."""

    def __init__(self, filling: Filling, key: str) -> None:
        self.event = asyncio.Event()
        self._filling = filling
        self._key = key

    def done(self) -> None:
        """Filled, or not: whoever waits looks again."""
        self._filling.end(self._key, self)
        self.event.set()


class Filling:
    """The keys that are being filled, and those that need not be waited for."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._passing: OrderedDict[str, float] = OrderedDict()

    def busy(self, key: str, now: float) -> bool:
        """Is somebody filling this key?"""
        return key in self._tokens and self._passing.get(key, 0.0) <= now

    async def wait(self, key: str) -> None:
        """Until that is over."""
        token = self._tokens.get(key)
        if token is not None:
            await token.event.wait()

    def begin(self, key: str, now: float) -> Token | None:
        """Fill it; None where nobody should wait, or somebody else is at it."""
        if key in self._tokens or self._passing.get(key, 0.0) > now:
            return None
        token = Token(self, key)
        self._tokens[key] = token
        return token

    def end(self, key: str, token: Token) -> None:
        """This filling is over."""
        if self._tokens.get(key) is token:
            del self._tokens[key]

    def pass_by(self, key: str, now: float) -> None:
        """The answer could not be stored: for a while nobody waits for this key."""
        self._passing[key] = now + _PASS
        self._passing.move_to_end(key)
        while len(self._passing) > _MOST_PASSING:
            self._passing.popitem(last=False)


class Ask:
    """What is kept of one exchange: ``why`` it goes to the server (RFC 9211's ``fwd``), what was there before."""

    def __init__(self, key: str, why: str, entry: Entry | None = None) -> None:
        self.key = key
        self.why = why
        self.entry = entry
        self.stores = False
        self.validates = False
        self.conditions: list[tuple[str, str]] | None = None
        self.fill: Token | None = None

    def done(self) -> None:
        """Nobody needs to wait for this one any more."""
        token, self.fill = self.fill, None
        if token is not None:
            token.done()


class Fill(Listener):
    """Collects a body while it passes, and stores it once it is whole."""

    def __init__(
        self,
        store: Store,
        ask: Ask,
        request: Request,
        response: Response,
        freshness: Freshness,
        most: int,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._ask = ask
        self._most = most
        self._now = now
        self._pieces = Pieces()
        self._reserved = 0
        self._lost = False
        names = vary_names(response.headers)
        headers = response.headers.copy()
        headers.remove("Age")
        self._status = response.status
        self._headers = headers
        self._names, self._values = names, vary_values(request, names)
        self._freshness = freshness
        self._born = now()

    def heard(self, data: bytes) -> None:
        """See ``Listener``."""
        if self._lost:
            return
        if self._reserved + len(data) > self._most or not self._store.reserve(len(data)):
            self.broken()
            return
        self._reserved += len(data)
        self._pieces.add(data)

    def ended(self, trailers: Headers | None) -> None:
        """See ``Listener``."""
        if not self._lost and trailers is None:
            entry = Entry(self._ask.key, self._names, self._values, self._status, self._headers, self._pieces)
            entry.stored, entry.freshness = self._born, self._freshness
            self._free()
            self._store.put(entry)
        self._free()
        self._ask.done()

    def broken(self) -> None:
        """See ``Listener``."""
        self._lost = True
        self._free()
        self._ask.done()

    def _free(self) -> None:
        self._store.release(self._reserved)
        self._reserved = 0
        self._pieces = Pieces()
