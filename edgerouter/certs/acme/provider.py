"""A certificate resolver as a provider: its snapshots are the certificates that it has, and its ledger what became of
each name. Orders run in threads, a few at once; one bad name never holds up another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Final

import msgspec

from edgerouter.certs.acme import state
from edgerouter.certs.acme.authority import Authority, Issued, Prover
from edgerouter.certs.acme.budget import Budget, DemandBudget
from edgerouter.certs.acme.challenges import DNS
from edgerouter.certs.acme.codes import FIXES
from edgerouter.certs.acme.cover import Cover
from edgerouter.certs.acme.demand import Demand
from edgerouter.certs.acme.demanded import Demanded, Refuse
from edgerouter.certs.acme.lines import line, problem, when
from edgerouter.certs.acme.numbers import Numbers
from edgerouter.certs.acme.ordering import Ended, Ordering, known
from edgerouter.certs.acme.preflight import Preflight
from edgerouter.certs.acme.renewals import Renewals
from edgerouter.certs.acme.state import Attempt
from edgerouter.certs.acme.storage import Storage, StorageError
from edgerouter.certs.acme.threads import in_thread
from edgerouter.certs.acme.tlsalpn import LOOK_SECONDS, OpenChallenges, TlsProver
from edgerouter.certs.acme.together import Together
from edgerouter.certs.acme.unwanted import Unwanted
from edgerouter.certs.acme.wanted import Names, Wanted, is_name
from edgerouter.certs.acme.webhook import Webhook
from edgerouter.config.dynamic import Certificate, DynamicConfiguration, TlsConfiguration
from edgerouter.config.resolvers import Acme
from edgerouter.config.types import Secret
from edgerouter.contracts.snapshot import Outcome, Provider, ProviderContext, Sample, Snapshot

LONGEST_SLEEP: Final = 3600.0
SAVE_AGAIN: Final = 30.0  # seconds between attempts to keep what the storage did not take
log = logging.getLogger("edgerouter.acme")


class AcmeProvider(Provider):
    """One resolver. ``storage`` blocks; ``preflight`` may be None."""

    def __init__(
        self,
        resolver: str,
        options: Acme,
        storage: Storage,
        provers: list[Prover],
        preflight: Preflight | None,
    ) -> None:
        super().__init__(options, ProviderContext(name=f"{resolver}.acme", kinds={}))
        self.resolver = self._resolver = resolver
        self._options = options
        self._together = Together(storage, resolver)
        if options.tls_challenge is not None:
            delay = float(options.tls_challenge.delay)
            provers = [*provers, TlsProver(self._challenge, delay, self._together)]
        by_dns = provers[0].type == DNS if provers else False  # the first is taken wherever it is offered
        if preflight is not None and provers:
            preflight.prover = provers[0]
        budget = Budget(storage, resolver, options.budget.per_domain, float(options.budget.period))
        authority = Authority(options, storage, resolver, provers)
        given = options.on_demand
        spent = None if given is None else DemandBudget(storage, resolver, given.burst, float(given.interval))
        self._ordering = Ordering(authority, self._together, preflight, by_dns, budget, spent)
        self._attempts: dict[Names, Attempt] = {}
        self._certificates: dict[Names, Issued] = {}
        self._unsaved: dict[Names, Issued] = {}
        self._gone = Unwanted(self._together)
        self._running: dict[Names, asyncio.Task[None]] = {}
        self._webhook = Webhook(resolver, options.webhook)
        self._wanted: Mapping[Names, Wanted] = {}
        self._others: frozenset[Names] = frozenset()
        self._ours, self._elsewhere = Cover(), Cover()
        self._covering: tuple[Mapping[Names, Wanted], frozenset[Names]] = ({}, frozenset())
        self._changed = asyncio.Event()
        self._turn = asyncio.Event()
        self._renewals = Renewals(self._certificates, self._attempts, self._ordering.renewal_time, self._renew_at)
        self._numbers = Numbers(resolver)
        self._open = OpenChallenges(resolver, self._changed.set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gate = asyncio.Semaphore(max(1, options.concurrency))
        self._demand_gate = asyncio.Semaphore(max(1, options.concurrency))  # what clients ask for holds nobody up
        self.demand = None if given is None else Demand(resolver, given, self._numbers, self._changed.set)
        self._demanded: Demanded | None = None
        if self.demand is not None:
            self._demanded = Demanded(self.demand, self._attempts, self._certificates, self._turn.set)

    # -- what is wanted ---------------------------------------------------------------------------------------------

    def want(self, wanted: Mapping[Names, Wanted], others: frozenset[Names]) -> None:
        """Routers want these; ``others`` are names that certificates from elsewhere serve. Called from any thread."""
        if self._loop is None:
            self._wanted, self._others = wanted, others
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: the router ends
            self._loop.call_soon_threadsafe(self._take, wanted, others)

    def _take(self, wanted: Mapping[Names, Wanted], others: frozenset[Names]) -> None:
        if (wanted, others) != (self._wanted, self._others):
            self._wanted, self._others = wanted, others
            self._turn.set()

    def ask(self, name: str, point: str, refuse: Refuse) -> None:
        """A client of an entry point asks for a name without a certificate, on the loop; see ``Demanded.ask``."""
        if self._demanded is not None:
            self._demanded.ask(name, point, refuse)

    def retry(self, name: str) -> int:
        """Try what failed for this name at once, on the loop; how many certificates that are."""
        now = time.time()
        found = [one for one in self._attempts.values() if name in one.names and one.state == state.FAILED]
        for one in found:
            again = msgspec.structs.replace(one, next_attempt=now, asked=one.next_attempt)
            self._attempts[one.names] = (
                msgspec.structs.replace(again, state=state.WAITING) if self._sleeps(one) else again
            )
        self._turn.set()
        return len(found)

    def reload(self) -> None:
        """Ask the authority anew when certificates are to be renewed: it may have revoked one (SIGHUP), on the loop."""
        self._renewals.again()

    @property
    def starless(self) -> bool:
        """True when it has certificates on demand, and no way to those with a star."""
        return self.demand is not None and self._options.dns_challenge is None

    def samples(self) -> list[Sample]:
        """Its metrics; called in threads."""
        return list(self._numbers.samples(list(self._attempts.values()), time.time()))

    # -- the provider -----------------------------------------------------------------------------------------------

    def watch(self) -> AsyncIterator[Snapshot]:
        """Yield the certificates that are kept, and then every change."""
        return self._watch()

    async def _watch(self) -> AsyncIterator[Snapshot]:
        self._loop = asyncio.get_running_loop()
        for one in await in_thread(lambda: list(self._together.all())):
            self._load(one)
        self._gone.load(await in_thread(self._together.unwanted))
        tasks = [asyncio.ensure_future(self._work())]
        if self._options.renewal_info:
            tasks.append(asyncio.ensure_future(self._renewals.run()))
        if self._together.shared and self._options.tls_challenge is not None:
            tasks.append(asyncio.ensure_future(self._follow()))
        try:
            while True:
                self._changed.clear()
                yield self._snapshot()
                waiting = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            for task in (*tasks, *self._running.values()):
                task.cancel()
            self._webhook.close()
            if self._demanded is not None:
                self._demanded.close()

    async def report(self, outcome: Outcome) -> None:
        """Every worker has what the last snapshots held: challenges that are in the ledger are live."""
        self._open.published(outcome.workloads)

    def _snapshot(self) -> Snapshot:
        pairs = [
            Certificate(cert_file=Secret(one.certificate), key_file=Secret(one.key))
            for _, one in sorted(self._certificates.items())
        ]
        lines = tuple(line(self._resolver, attempt) for _, attempt in sorted(self._attempts.items()))
        failed = (one for one in self._attempts.values() if one.state == state.FAILED)
        return Snapshot(
            configuration=DynamicConfiguration(
                tls=TlsConfiguration(certificates=(*pairs, *self._open.certificates())),
            ),
            workloads=lines + self._open.workloads() + (() if self.demand is None else self.demand.workloads()),
            problems=(
                *(problem(self._resolver, one) for one in failed),
                *(() if self.demand is None else self.demand.problems()),
            ),
        )

    def _challenge(self, name: str, pair: tuple[str, str] | None) -> threading.Event:
        """Publish a challenge's certificate, or take it away. Called from threads."""
        live = threading.Event()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._open.set, name, pair, live)
        return live

    async def _follow(self) -> None:
        """Have what other routers show: the authority may ask any of us."""
        silent = False
        while True:
            try:
                self._open.follow(await in_thread(self._together.certificates))
                silent = False
            except StorageError as error:
                if not silent:
                    log.warning("%s: challenges of other routers are not seen: %s", self._resolver, error)
                silent = True
            await asyncio.sleep(LOOK_SECONDS)

    def _renew_at(self, names: Names, moment: float) -> None:
        attempt = self._attempts[names]
        sooner = state.asked_to_renew(attempt, moment)
        if sooner.next_attempt < attempt.next_attempt and moment <= time.time():
            log.warning("%s: the authority wants %s renewed at once", self._resolver, ", ".join(names))
        self._set(sooner)
        self._turn.set()

    # -- the work ---------------------------------------------------------------------------------------------------

    def _load(self, one: Issued) -> None:
        """One that is kept from before; of two for the same names the later one."""
        try:
            attempt = known(one)
        except ValueError as error:
            log.warning("%s: the certificate kept for %s cannot be read: %s", self._resolver, one.names, error)
            return
        before = self._attempts.get(one.names)
        if before is None or attempt.not_after > before.not_after:
            self._certificates[one.names] = one
            self._attempts[one.names] = attempt

    async def _work(self) -> None:
        """Begin what is due, then sleep until the next is due or something changes."""
        while True:
            self._turn.clear()
            self._plan()
            now = time.time()
            for names, attempt in list(self._attempts.items()):
                if state.due(attempt, now) and names not in self._running and not self._sleeps(attempt):
                    self._start(names)
            nexts = [one.next_attempt for one in self._attempts.values() if one.next_attempt > now]
            pause = min([LONGEST_SLEEP, *(at - now for at in nexts), *((SAVE_AGAIN,) if self._unsaved else ())])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, 0.05)):
                    await self._turn.wait()
            await self._save()

    def _plan(self) -> None:
        """Bring what is known in line with what is wanted."""
        now = time.time()
        if (self._wanted, self._others) != self._covering:
            self._covering = (self._wanted, self._others)
            self._ours, self._elsewhere = Cover(self._wanted), Cover(self._others)
        if self._demanded is not None:
            self._demanded.spelled = {name: names for names in self._wanted for name in names}
        for names, one in self._wanted.items():
            if names not in self._attempts or self._attempts[names].state == state.PARKED:
                self._attempts[names] = self._new(one, now)
            elif self._attempts[names].router != one.router:
                self._attempts[names] = msgspec.structs.replace(
                    self._attempts[names], router=one.router, demanded=False
                )
            self._gone.end(names)
        for names in self._wanted:
            self._cover(names)
        for names in [names for names in self._attempts if names not in self._wanted]:
            self._unwanted(names, now)
        self._changed.set()

    def _new(self, one: Wanted, now: float) -> Attempt:
        have = self._certificates.get(one.names)
        if have is not None:  # it was parked
            return known(have, one.router)
        attempt = Attempt(names=one.names, router=one.router, since=now)
        bad = [name for name in one.names if not is_name(name)]
        if bad:
            words = f"{bad[0]!r} is no name that an authority certifies"
            return state.failed(attempt, now, "BAD_NAME", words, FIXES["BAD_NAME"])
        return attempt

    def _cover(self, names: Names) -> None:
        """No order where another certificate serves these names, or is about to; an order where none does any more."""
        attempt = self._attempts[names]
        if names in self._certificates or attempt.state == state.ORDERING or attempt.code == "BAD_NAME":
            return
        by = self._covered_by(names)
        if by and attempt.state != state.COVERED:
            words = f"the certificate for {', '.join(by)} serves it"
            covered = Attempt(names=names, router=attempt.router, since=time.time(), state=state.COVERED, error=words)
            self._attempts[names] = covered
        elif not by and attempt.state == state.COVERED:
            self._attempts[names] = Attempt(names=names, router=attempt.router, since=time.time())

    def _covered_by(self, names: Names) -> Names:
        for other in self._elsewhere.all_for(names):
            return other
        for other in self._ours.instead_of(names):
            attempt = self._attempts.get(other)
            hopeful = attempt is not None and not attempt.failures and attempt.state in (state.WAITING, state.ORDERING)
            if hopeful or other in self._certificates:
                return other
        return ()

    def _unwanted(self, names: Names, now: float) -> None:
        """No router wants it: kept and served for a week, then no longer renewed, until it expires. Unless clients ask
        for it."""
        since = self._gone.since(names, now)
        attempt = self._attempts[names]
        if self._demanded is not None and self._demanded.owns(attempt):
            if not attempt.demanded:
                self._attempts[names] = msgspec.structs.replace(attempt, demanded=True, router="")
            if self._demanded.over(attempt, now):
                self._forget(names)
        elif names not in self._certificates:
            del self._attempts[names]
            self._gone.end(names)
        elif now - since > state.PARK_AFTER and attempt.not_after < now:
            self._forget(names)
        elif now - since > state.PARK_AFTER and attempt.state != state.PARKED:
            self._attempts[names] = msgspec.structs.replace(attempt, state=state.PARKED)

    def _forget(self, names: Names) -> None:
        """A name that clients asked for and ask for no longer."""
        del self._attempts[names]
        self._gone.end(names)
        self._certificates.pop(names, None)
        task = asyncio.ensure_future(in_thread(partial(self._ordering.forget, names)))
        self._running[names] = task
        task.add_done_callback(lambda _: self._ended(names))

    def _start(self, names: Names) -> None:
        task = asyncio.ensure_future(self._try(names))
        self._running[names] = task
        task.add_done_callback(lambda _: self._ended(names))

    def _ended(self, names: Names) -> None:
        self._running.pop(names, None)
        self._turn.set()

    def _sleeps(self, attempt: Attempt) -> bool:
        return self._demanded is not None and self._demanded.sleeps(attempt)

    async def _stopped(self, attempt: Attempt) -> bool:
        """True when a certificate that clients asked for is not to be renewed now."""
        if self._demanded is None or not attempt.demanded or attempt.names not in self._certificates:
            return False
        stopped = await self._demanded.renewal(attempt)
        if stopped is not None:
            self._take_up(attempt, Ended(attempt=stopped, ours=True))
        return stopped is not None

    async def _try(self, names: Names) -> None:
        known_one = self._attempts.get(names)
        async with self._demand_gate if known_one is not None and known_one.demanded else self._gate:
            attempt = self._attempts.get(names)
            if attempt is None or await self._stopped(attempt):
                return
            ordering = msgspec.structs.replace(attempt, state=state.ORDERING, error="", code="", fix="")
            have = self._certificates.get(names)
            ended = await in_thread(partial(self._ordering.run, attempt, have, lambda: self._soon(ordering)))
        self._take_up(attempt, ended)

    def _soon(self, attempt: Attempt) -> None:
        """Called from threads."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._set, attempt)

    def _take_up(self, attempt: Attempt, ended: Ended) -> None:
        names = attempt.names
        if ended.ours:
            self._numbers.attempt("" if ended.attempt is None else ended.attempt.code)
        if ended.issued is not None:
            self._certificates[names] = ended.issued
            self._renewals.look()
            self._set(msgspec.structs.replace(known(ended.issued, attempt.router), demanded=attempt.demanded))
            how = "a certificate" if ended.ours else "another router's certificate"
            log.info("%s: %s for %s", self._resolver, how, ", ".join(names), extra={"event": "certificate"})
        if ended.issued is not None and ended.unsaved:
            self._unsaved[names] = ended.issued
            words = "%s: the certificate for %s is served, and not kept: %s; tried again every %.0f s"
            log.error(words, self._resolver, ", ".join(names), ended.unsaved, SAVE_AGAIN)
        if ended.attempt is not None:
            self._set(ended.attempt)
            if ended.attempt.state == state.FAILED:
                self._failed(ended.attempt, ended.ours)

    async def _save(self) -> None:
        """Keep what the storage did not take before."""
        for names, one in list(self._unsaved.items()):
            if not await in_thread(partial(self._ordering.save, one)):
                del self._unsaved[names]
                log.info("%s: the certificate for %s is kept now", self._resolver, ", ".join(names))

    def _set(self, attempt: Attempt) -> None:
        if attempt.names in self._attempts:
            self._attempts[attempt.names] = attempt
        if self._demanded is not None:
            self._demanded.settled(attempt)
        self._changed.set()

    def _failed(self, attempt: Attempt, ours: bool) -> None:
        words = (self._resolver, ", ".join(attempt.names), attempt.code, attempt.error, when(attempt.next_attempt))
        log.warning("%s: no certificate for %s: %s: %s; next attempt %s", *words, extra={"event": "certificateFailed"})
        if ours:
            self._webhook.tell(attempt)
