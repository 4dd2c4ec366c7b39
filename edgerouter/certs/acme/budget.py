"""What we allow ourselves at an authority: orders for one registered domain, counted in the storage, so that restarts
and other routers count too. An authority's own limits are harder, and last for days.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Final

from publicsuffixlist import PublicSuffixList

from edgerouter.certs.acme.alone import alone
from edgerouter.certs.acme.refused import Refused
from edgerouter.certs.acme.storage import Storage
from edgerouter.certs.acme.wanted import Names

_LOCK_SECONDS: Final = 10.0


def registered_domain(name: str) -> str:
    """``example.co.uk`` of ``a.b.example.co.uk``, by the list of public suffixes as the library bundles it: no network
    is used. A name that is itself a public suffix counts alone."""
    bare = name.removeprefix("*.").lower()
    return _suffixes().privatesuffix(bare) or bare


@cache
def _suffixes() -> PublicSuffixList:
    """Read when it is first needed: that takes a fifth of a second."""
    return PublicSuffixList()


def _alone(storage: Storage, resolver: str) -> AbstractContextManager[None]:
    """Nobody else counts orders meanwhile, in no router that shares the storage. Raises Refused, StorageError."""
    return alone(storage, f"{resolver}/budget", _LOCK_SECONDS, 2 * _LOCK_SECONDS, 0.05, "counts its orders")


class DemandBudget:
    """New certificates on demand of one resolver: ``most`` in ``seconds``, whatever their domains. Blocking."""

    def __init__(self, storage: Storage, resolver: str, most: int, seconds: float) -> None:
        self._storage = storage
        self._resolver = resolver
        self._key = f"{resolver}/budget/on demand"
        self._most = most
        self._seconds = seconds
        self._mutex = threading.Lock()

    def spend(self) -> None:
        """One order more. Raises Refused (``ON_DEMAND_BUDGET``) with the time to wait when none is left."""
        with self._mutex, _alone(self._storage, self._resolver):
            now = time.time()
            kept = json.loads(self._storage.get(self._key) or "{}")
            orders = [at for at in kept.get("orders", ()) if now - self._seconds < at <= now]
            if len(orders) >= self._most:
                words = f"{len(orders)} new certificates on demand within {self._seconds:.0f} s are our own limit"
                wait = orders[0] + self._seconds - now if orders else self._seconds
                raise Refused("ON_DEMAND_BUDGET", words, wait)
            self._storage.put(self._key, json.dumps({"orders": [*orders, now]}))


class Budget:
    """Of one resolver. ``most`` new orders in ``seconds`` for each domain; 0: without a limit. Blocking."""

    def __init__(self, storage: Storage, resolver: str, most: int, seconds: float) -> None:
        self._storage = storage
        self._resolver = resolver
        self._most = most
        self._seconds = seconds
        self._mutex = threading.Lock()

    def spend(self, names: Names) -> None:
        """One order more. Raises Refused (``BUDGET``, ``RATE_LIMITED``) with the time to wait when none is left."""
        with self._mutex, _alone(self._storage, self._resolver):
            now = time.time()
            domains = sorted({registered_domain(name) for name in names})
            found = {domain: self._read(domain, now) for domain in domains}
            for domain, spent in found.items():
                self._check(domain, spent, now)
            for domain, spent in found.items():
                self._write(domain, spent | {"orders": [*spent["orders"], int(now)]})

    def hold(self, names: Names, seconds: float, words: str) -> None:
        """The authority limits these, in its own words: none of their domains is ordered for that long."""
        with self._mutex, _alone(self._storage, self._resolver):
            now = time.time()
            for domain in {registered_domain(name) for name in names}:
                self._write(domain, self._read(domain, now) | {"until": now + seconds, "said": words})

    def _check(self, domain: str, spent: dict[str, Any], now: float) -> None:
        if spent["until"] > now:
            wait = spent["until"] - now
            words = f"the authority has refused orders for {domain} for a time"
            raise Refused("RATE_LIMITED", f"{words}: {spent['said']}" if spent["said"] else words, wait)
        if self._most and len(spent["orders"]) >= self._most:
            words = f"{len(spent['orders'])} orders for {domain} in {self._seconds / 3600:.0f} hours are our own limit"
            raise Refused("BUDGET", words, spent["orders"][0] + self._seconds - now)

    def _read(self, domain: str, now: float) -> dict[str, Any]:
        kept = json.loads(self._storage.get(self._key(domain)) or "{}")
        orders = [at for at in kept.get("orders", ()) if now - self._seconds < at <= now]
        return {"orders": orders, "until": kept.get("until", 0.0), "said": kept.get("said", "")}

    def _write(self, domain: str, spent: dict[str, Any]) -> None:
        self._storage.put(self._key(domain), json.dumps(spent))

    def _key(self, domain: str) -> str:
        return f"{self._resolver}/budget/{domain}"
