"""One attempt at one certificate, from the lock to the storage. Blocks, and may be asked by several threads at once."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography import x509

from edgerouter.certs.acme import state
from edgerouter.certs.acme.authority import Authority, Issued
from edgerouter.certs.acme.budget import Budget, DemandBudget
from edgerouter.certs.acme.codes import FIXES
from edgerouter.certs.acme.preflight import Preflight
from edgerouter.certs.acme.refused import Refused
from edgerouter.certs.acme.state import Attempt
from edgerouter.certs.acme.storage import StorageError
from edgerouter.certs.acme.together import Together
from edgerouter.certs.acme.wanted import Names

ASK_AGAIN: Final = 1.0  # seconds until a name is looked at again that another router orders
log = logging.getLogger("edgerouter.acme")


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: a certificate, or ``attempt``, which says when and why there is none. ``ours``: this router
    asked, so that it is the one to tell. ``unsaved``: why the storage did not take the certificate."""

    issued: Issued | None = None
    attempt: Attempt | None = None
    ours: bool = False
    unsaved: str = ""


class Ordering:
    """``by_dns``: names are proved by the DNS alone. ``demand``: the budget of names that a client asked for."""

    def __init__(
        self,
        authority: Authority,
        together: Together,
        preflight: Preflight | None,
        by_dns: bool,
        budget: Budget,
        demand: DemandBudget | None = None,
    ) -> None:
        self._budget = budget
        self._demand = demand
        self._authority = authority
        self._together = together
        self._preflight = preflight
        self._by_dns = by_dns
        self._began = time.time()

    def run(self, attempt: Attempt, have: Issued | None, placing: Callable[[], None]) -> Ended:
        """``have``: the certificate that is to be renewed. ``placing`` is called when the authority is asked. Never
        raises."""
        try:
            with self._together.leading(attempt.names) as leading:
                if not leading:
                    return Ended(attempt=_waits(attempt))
                return self._known(attempt, have) or self._led(attempt, have, placing)
        except StorageError as error:
            return Ended(attempt=self._failed(attempt, Refused("STORAGE", str(error))), ours=True)
        except Exception as error:  # ours or a library's: this name fails, the others go on
            log.exception("%s", ", ".join(attempt.names))
            failure = Refused("FAULT", f"{type(error).__name__}: {error}")
            return Ended(attempt=self._failed(attempt, failure), ours=True)

    def _known(self, attempt: Attempt, have: Issued | None) -> Ended | None:
        """What another router, or this one in a former life, has come to."""
        kept = self._together.certificate(attempt.names)
        if kept is not None and (have is None or _ends(kept) > _ends(have)) and not state.due(known(kept), time.time()):
            return Ended(issued=kept)
        failure = self._together.failure(attempt.names)
        if failure is None or failure.next_attempt <= max(time.time(), attempt.asked):
            return None
        if failure.code in state.FREE and failure.since < self._began:
            return None
        return Ended(attempt=msgspec.structs.replace(failure, router=attempt.router, not_after=attempt.not_after))

    def _led(self, attempt: Attempt, have: Issued | None, placing: Callable[[], None]) -> Ended:
        try:
            self._look(attempt.names)
            if have is None and not self._authority.has_order(attempt.names):
                self._spend(attempt)
            placing()
            one = self._asked(attempt.names, "" if have is None else have.certificate)
        except Refused as error:
            failed = self._failed(attempt, error)
            self._together.failed(failed)
            return Ended(attempt=failed, ours=True)
        unsaved = self.save(one)
        return Ended(issued=one, ours=True, unsaved=unsaved)

    def _asked(self, names: Names, replaces: str) -> Issued:
        try:
            return self._authority.obtain(names, replaces)
        except Refused as error:
            if error.code == "RATE_LIMITED":
                self._budget.hold(names, error.after or state.UNSAID, str(error))
            raise

    def _spend(self, attempt: Attempt) -> None:
        if self._demand is not None and attempt.demanded:
            self._demand.spend()
        self._budget.spend(attempt.names)

    def save(self, one: Issued) -> str:
        """Keep a certificate; why it could not be kept, or ""."""
        try:
            self._together.keep(one)
            self._authority.done(one.names)
            self._together.well(one.names)
        except StorageError as error:
            return str(error)
        return ""

    def forget(self, names: Names) -> None:
        """Leave nothing of what nobody wants any more, may have, or could get: no failure, no certificate that has
        expired. What cannot be deleted does no harm."""
        with contextlib.suppress(StorageError, ValueError):
            self._together.well(names)
            kept = self._together.certificate(names)
            if kept is not None and _ends(kept) < time.time():
                self._together.drop(names)

    def renewal_time(self, one: Issued) -> tuple[float, float] | None:
        """See ``Authority.renewal_time``."""
        return self._authority.renewal_time(one.certificate)

    def _look(self, names: Names) -> None:
        if self._preflight is not None:
            for name in names:
                self._preflight.check(name, by_dns=self._by_dns or name.startswith("*."))

    def _failed(self, attempt: Attempt, error: Refused) -> Attempt:
        return state.failed(attempt, time.time(), error.code, str(error), FIXES[error.code], error.after)


def _waits(attempt: Attempt) -> Attempt:
    words = "another router that shares the storage orders it"
    now = time.time()
    return msgspec.structs.replace(attempt, state=state.WAITING, next_attempt=now + ASK_AGAIN, error=words)


def _ends(one: Issued) -> float:
    return x509.load_pem_x509_certificate(one.certificate.encode()).not_valid_after_utc.timestamp()


def known(one: Issued, router: str = "") -> Attempt:
    """The state of a certificate that is in hand; raises ValueError when it cannot be read."""
    certificate = x509.load_pem_x509_certificate(one.certificate.encode())
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    attempt = Attempt(names=one.names, router=router)
    return state.issued(attempt, time.time(), begin, end, random.random())
