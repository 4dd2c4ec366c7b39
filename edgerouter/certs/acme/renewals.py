"""Asking the authority now and then when it wants certificates renewed (RFC 9773); of a revoked one it says "now"."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial

from edgerouter.certs.acme import state
from edgerouter.certs.acme.authority import Issued
from edgerouter.certs.acme.state import Attempt
from edgerouter.certs.acme.threads import in_thread
from edgerouter.certs.acme.wanted import Names

Ask = Callable[[Issued], tuple[float, float] | None]


class Renewals:
    """``certificates`` and ``attempts`` are the resolver's. ``ask`` blocks and gives when to renew and when to ask
    again, or None; ``renew_at`` is told."""

    def __init__(
        self,
        certificates: Mapping[Names, Issued],
        attempts: Mapping[Names, Attempt],
        ask: Ask,
        renew_at: Callable[[Names, float], None],
    ) -> None:
        self._certificates = certificates
        self._attempts = attempts
        self._ask = ask
        self._renew_at = renew_at
        self._asked: dict[Names, tuple[Issued, float]] = {}
        self._sooner = asyncio.Event()

    def look(self) -> None:
        """There are certificates that nothing was asked about yet."""
        self._sooner.set()

    def again(self) -> None:
        """Ask about all of them, whatever was said before."""
        self._asked.clear()
        self._sooner.set()

    async def run(self) -> None:
        """For the life of the resolver."""
        while True:
            for names, one in list(self._certificates.items()):
                await self._look_at(names, one)
            for names in [names for names in self._asked if names not in self._certificates]:
                del self._asked[names]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(state.LEAST_ASK):
                    await self._sooner.wait()
            self._sooner.clear()

    async def _look_at(self, names: Names, one: Issued) -> None:
        now = time.time()
        before, again = self._asked.get(names, (None, 0.0))
        attempt = self._attempts.get(names)
        if attempt is None or attempt.state != state.ISSUED or (one is before and now < again):
            return
        found = await in_thread(partial(self._ask, one))
        self._asked[names] = (one, now + state.ASK_RENEWAL if found is None else max(found[1], now + state.LEAST_ASK))
        if found is not None and self._certificates.get(names) is one:
            self._renew_at(names, found[0])
