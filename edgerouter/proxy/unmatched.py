"""Requests that no router took, kept for a moment under an id that their 404 page shows: ``edgerouter explain ID`` says
why. Only for clients of trusted networks, and bounded; a request that a router takes never comes here."""

from __future__ import annotations

import os
import time
from typing import Final

from edgerouter.http.exchange import Exchange
from edgerouter.proxy.forwarded import Networks, is_trusted

MOST: Final = 50  # between two heartbeats; further pages carry no id
LONGEST: Final = 8192  # bytes of a request that is kept
_OWN: Final = "x-forwarded-"  # lines that the entry point has added
_OWN_TOO: Final = "x-real-ip"


class Missed:
    """One request. ``at`` is in seconds since 1970."""

    def __init__(self, reference: str, exchange: Exchange, headers: list[str]) -> None:
        request = exchange.request
        self.id = reference
        self.method = request.method
        self.url = f"{request.scheme}://{request.authority}{request.target_text()}"
        self.headers = headers
        self.entry_point = exchange.entrypoint
        self.client = exchange.client_address
        self.at = time.time()


class Unmatched:
    """Those of one worker since the last heartbeat."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._kept: list[Missed] = []

    def keep(self, exchange: Exchange) -> str:
        """Return the id for this request's page, "" where it gets none: its client is not trusted, or another proxy
        stands between (who sees the page is not known then), or there are too many."""
        request = exchange.request
        if len(self._kept) >= MOST or request.managed or not request.authority:
            return ""
        if not is_trusted(exchange.client_address, self._networks):
            return ""
        lines = [f"{name}: {value}" for name, value in request.headers.items() if not _added(name.lower())]
        missed = Missed("404-" + os.urandom(5).hex(), exchange, lines)
        if len(missed.url) + sum([len(line) for line in lines]) > LONGEST:
            return ""
        self._kept.append(missed)
        return missed.id

    def take(self) -> list[Missed]:
        """Hand over what was kept, and begin anew."""
        kept, self._kept = self._kept, []
        return kept


def _added(name: str) -> bool:
    return name.startswith(_OWN) or name == _OWN_TOO or name == "host"
