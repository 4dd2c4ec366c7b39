"""Certificates that clients asked for, among a resolver's own: who waits for one, what is kept, renewed and let go.

A name without a certificate is tried again when a client asks again, not by itself; one with a certificate is renewed
while the ask URL still says yes. On the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container
from typing import Final

import msgspec

from edgerouter.certs.acme import state
from edgerouter.certs.acme.codes import FIXES
from edgerouter.certs.acme.demand import Demand
from edgerouter.certs.acme.state import Attempt
from edgerouter.certs.acme.wanted import Names

MOST_WITHOUT: Final = 1000  # names that may have a certificate and have none yet, or could not get one
FORGOTTEN_AFTER: Final = 86_400.0  # seconds after a failure in which no client came
_FULL: Final = 1.0  # seconds until a name is worth asking for again when there are too many
_NO_PLAN: Final = 60.0  # seconds likewise, for a name that a router spells out and that is not in hand
Refuse = Callable[[float], None]


class Demanded:
    """``attempts`` and ``certificates`` are the resolver's; ``turn`` has it begin what is due."""

    def __init__(
        self,
        demand: Demand,
        attempts: dict[Names, Attempt],
        certificates: Container[Names],
        turn: Callable[[], None],
    ) -> None:
        self.spelled: dict[str, Names] = {}  # what routers spell out -> the certificate that they want
        self._demand = demand
        self._attempts = attempts
        self._certificates = certificates
        self._turn = turn
        self._awaited: dict[Names, list[Refuse]] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    def ask(self, name: str, point: str, refuse: Refuse) -> None:
        """A client waits for a certificate. ``refuse`` is called if none comes, with the seconds until it is worth
        asking again; if one comes, the next plan has it."""
        now = time.time()
        names = self.spelled.get(name) or self.spelled.get(f"*.{name.partition('.')[2]}")
        attempt = self._attempts.get(names or (name,))
        if (names or (name,)) in self._certificates:
            return
        if attempt is not None and attempt.state in (state.WAITING, state.ORDERING):
            self._awaited.setdefault(attempt.names, []).append(refuse)
        elif attempt is not None and attempt.state == state.FAILED and attempt.next_attempt > now:
            refuse(attempt.next_attempt - now)
        elif names is not None:
            refuse(_NO_PLAN)
        else:
            self._awaited.setdefault((name,), []).append(refuse)
            if name not in self._looking:
                self._looking[name] = asyncio.ensure_future(self._look(name, point))

    async def _look(self, name: str, point: str) -> None:
        try:
            verdict = await self._demand.verdict(name, point)
            if verdict.code:
                self._refuse((name,), verdict.until - time.time())
            elif not self._room():
                self._refuse((name,), _FULL)
            else:
                self._begin((name,))
        finally:
            del self._looking[name]

    def _begin(self, names: Names) -> None:
        before = self._attempts.get(names)
        failures = 0 if before is None else before.failures
        self._attempts[names] = Attempt(names=names, demanded=True, since=time.time(), failures=failures)
        self._turn()

    def _room(self) -> bool:
        """One more; beyond the bound the oldest failure is forgotten."""
        without = [one for one in self._attempts.values() if one.demanded and one.names not in self._certificates]
        if len(without) < MOST_WITHOUT:
            return True
        failures = [one for one in without if one.state == state.FAILED]
        if failures:
            del self._attempts[min(failures, key=lambda one: one.since).names]
        return bool(failures)

    def _refuse(self, names: Names, seconds: float) -> None:
        for refuse in self._awaited.pop(names, ()):
            refuse(max(1.0, seconds))

    def settled(self, attempt: Attempt) -> None:
        """An attempt has come to something."""
        if attempt.state == state.ISSUED:
            self._awaited.pop(attempt.names, None)
            self._demand.forget(attempt.names[0])
        elif attempt.state == state.FAILED:
            if attempt.code == "ON_DEMAND_BUDGET":
                self._demand.closed = attempt.next_attempt
            self._refuse(attempt.names, attempt.next_attempt - time.time())

    # -- what is kept -----------------------------------------------------------------------------------------------

    def sleeps(self, attempt: Attempt) -> bool:
        """True for a failure that waits for the next client."""
        return attempt.demanded and attempt.state == state.FAILED and attempt.names not in self._certificates

    def owns(self, attempt: Attempt) -> bool:
        """True for a certificate that no router spells out and that a client may have asked for, now or in a former
        life."""
        if attempt.demanded:
            return True
        return len(attempt.names) == 1 and self._demand.takes(attempt.names[0])

    def over(self, attempt: Attempt, now: float) -> bool:
        """True when it need not be remembered any longer."""
        if attempt.state == state.PARKED:
            return attempt.not_after < now
        return self.sleeps(attempt) and now - max(attempt.since, attempt.next_attempt) > FORGOTTEN_AFTER

    async def renewal(self, attempt: Attempt) -> Attempt | None:
        """None when it may be renewed; else what becomes of it."""
        name = attempt.names[0]
        verdict = await self._demand.asked(name) if self._demand.takes(name) else self._demand.nobody(name)
        if not verdict.code:
            return None
        fix = FIXES[verdict.code]
        if verdict.code == "ASK_UNREACHABLE":
            return state.failed(attempt, time.time(), verdict.code, verdict.words, fix)
        error = f"it is not renewed: {verdict.words}"
        return msgspec.structs.replace(attempt, state=state.PARKED, code=verdict.code, error=error, fix=fix)

    def close(self) -> None:
        """Nobody waits any more."""
        for task in self._looking.values():
            task.cancel()
