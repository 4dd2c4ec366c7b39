"""A certificate resolver as a provider: its snapshots are the certificates that it has, and its ledger what became of
each name. Orders run in threads, a few at once; one bad name never holds up another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import aiohttp
import msgspec
from cryptography import x509

from edgerouter.certs.acme import state
from edgerouter.certs.acme.authority import Authority, Issued, Prover, Refused
from edgerouter.certs.acme.challenges import DNS, TLS, challenge_certificate
from edgerouter.certs.acme.preflight import Preflight
from edgerouter.certs.acme.state import Attempt
from edgerouter.certs.acme.storage import Storage, StorageError
from edgerouter.certs.acme.wanted import Names, Wanted, covers, is_name
from edgerouter.config.dynamic import Certificate, DynamicConfiguration, TlsConfiguration
from edgerouter.config.resolvers import Acme
from edgerouter.config.types import Problem, Secret
from edgerouter.contracts.certificates import CHALLENGE_STORE
from edgerouter.contracts.snapshot import Outcome, Provider, ProviderContext, Snapshot, Workload

LIVE_SECONDS: Final = 15.0  # until a challenge's certificate must be in every worker
LONGEST_SLEEP: Final = 3600.0
log = logging.getLogger("edgerouter.acme")

_FIXES: Final = {
    "NXDOMAIN": "add an A or AAAA record, or correct the router's rule",
    "NO_ADDRESS": "add an A or AAAA record",
    "NOT_US": "let the record point to this router, and port 80 lead to the challenge's entry point",
    "CAA": "add this authority to the CAA record",
    "RATE_LIMITED": "wait: the next attempt is set to when the authority allows it",
    "NO_CHALLENGE": "add httpChallenge, tlsChallenge or dnsChallenge (wildcards need dnsChallenge)",
    "EAB_REQUIRED": "add eab.kid and eab.hmacEncoded",
    "UNREACHABLE": "check caServer, and that the router may reach it",
}


class TlsProver:
    """TLS-ALPN-01: a certificate that every worker must have before the authority looks. See ``authority.Prover``."""

    type = TLS

    def __init__(self, publish: Callable[[str, tuple[str, str] | None], threading.Event], delay: float) -> None:
        self._publish = publish
        self._delay = delay

    def show(self, name: str, token: str, authorization: str, validation: str) -> None:
        """Have the certificate in every worker."""
        live = self._publish(name, challenge_certificate(name, authorization))
        if not live.wait(LIVE_SECONDS):
            raise Refused("NOT_LIVE", f"{name}: the challenge's certificate was not in every worker in time")
        time.sleep(self._delay)

    def remove(self, name: str, token: str) -> None:
        """See ``authority.Prover.remove``."""
        self._publish(name, None)


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
        self._resolver = resolver
        self._options = options
        self._storage = storage
        if options.tls_challenge is not None:
            provers = [*provers, TlsProver(self._challenge, float(options.tls_challenge.delay))]
        self._authority = Authority(options, storage, resolver, provers)
        self._by_dns_only = [prover.type for prover in provers] == [DNS]
        self._preflight = preflight
        self._attempts: dict[Names, Attempt] = {}
        self._certificates: dict[Names, Issued] = {}
        self._gone: dict[Names, float] = {}
        self._challenges: dict[str, tuple[str, str]] = {}
        self._awaited: dict[str, list[threading.Event]] = {}
        self._running: dict[Names, asyncio.Task[None]] = {}
        self._wanted: Mapping[Names, Wanted] = {}
        self._others: frozenset[Names] = frozenset()
        self._changed = asyncio.Event()
        self._turn = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gate = asyncio.Semaphore(max(1, options.concurrency))

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

    # -- the provider -----------------------------------------------------------------------------------------------

    def watch(self) -> AsyncIterator[Snapshot]:
        """Yield the certificates that are kept, and then every change."""
        return self._watch()

    async def _watch(self) -> AsyncIterator[Snapshot]:
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._load)
        work = asyncio.ensure_future(self._work())
        try:
            while True:
                self._changed.clear()
                yield self._snapshot()
                waiting = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait({waiting, work}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if work.done():
                    work.result()
        finally:
            for task in (work, *self._running.values()):
                task.cancel()

    async def report(self, outcome: Outcome) -> None:
        """Every worker has what the last snapshots held: challenges that are in the ledger are live."""
        for workload in outcome.workloads:
            for event in self._awaited.pop(workload.detail.get("challenge", ""), ()):
                event.set()

    def _snapshot(self) -> Snapshot:
        pairs = [
            Certificate(cert_file=Secret(one.certificate), key_file=Secret(one.key))
            for _, one in sorted(self._certificates.items())
        ]
        pairs += [
            Certificate(cert_file=Secret(certificate), key_file=Secret(key), stores=(CHALLENGE_STORE,))
            for _, (certificate, key) in sorted(self._challenges.items())
        ]
        return Snapshot(
            configuration=DynamicConfiguration(tls=TlsConfiguration(certificates=tuple(pairs))),
            workloads=tuple(self._line(attempt) for _, attempt in sorted(self._attempts.items())) + self._open(),
            problems=tuple(self._problem(one) for one in self._attempts.values() if one.state == state.FAILED),
        )

    def _line(self, attempt: Attempt) -> Workload:
        """The ledger's line of a certificate."""
        times = {"next attempt": attempt.next_attempt, "expires": attempt.not_after}
        detail = {name: _when(value) for name, value in times.items() if value and attempt.state != state.COVERED}
        return Workload(
            id=f"{self._resolver}:{','.join(attempt.names)}",
            name=attempt.names[0],
            kind="certificate",
            verdict=attempt.state if not attempt.code else f"{attempt.state}_{attempt.code}",
            reason=attempt.error,
            fix=attempt.fix,
            routers=(attempt.router,) if attempt.router else (),
            detail=detail | {"names": ", ".join(attempt.names), "resolver": self._resolver},
        )

    def _open(self) -> tuple[Workload, ...]:
        """Challenges in the ledger, so that ``report`` tells when workers have them."""
        return tuple(
            Workload(
                id=f"{self._resolver}:challenge:{name}",
                name=name,
                kind="challenge",
                verdict="CHALLENGE",
                reason="the authority is about to look",
                detail={"challenge": certificate},
            )
            for name, (certificate, _) in sorted(self._challenges.items())
        )

    def _problem(self, attempt: Attempt) -> Problem:
        path = f"certificatesResolvers.{self._resolver}: {', '.join(attempt.names)}"
        message = f"{attempt.code}: {attempt.error} (attempt {attempt.failures}, next {_when(attempt.next_attempt)})"
        return Problem(path, message, attempt.fix, self.context.name, "warning")

    def _challenge(self, name: str, pair: tuple[str, str] | None) -> threading.Event:
        """Publish a challenge's certificate, or take it away. Called from threads."""
        live = threading.Event()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._set_challenge, name, pair, live)
        return live

    def _set_challenge(self, name: str, pair: tuple[str, str] | None, live: threading.Event) -> None:
        if pair is None:
            self._challenges.pop(name, None)
        else:
            self._challenges[name] = pair
            self._awaited.setdefault(pair[0], []).append(live)
        self._changed.set()

    # -- the work ---------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """What is kept from before; what cannot be read is told and ordered anew."""
        for key in self._storage.keys(f"{self._resolver}/certificates/"):
            try:
                kept = json.loads(self._storage.get(key) or "{}")
                one = Issued(tuple(kept["names"]), kept["certificate"], kept["key"])
                attempt = _known(one)
            except (KeyError, ValueError, TypeError) as error:
                log.warning("%s: %s in the storage cannot be read and is left there: %s", self._resolver, key, error)
                continue
            self._certificates[one.names] = one
            self._attempts[one.names] = attempt

    async def _work(self) -> None:
        """Begin what is due, then sleep until the next is due or something changes."""
        while True:
            self._turn.clear()
            self._plan()
            now = time.time()
            for names, attempt in list(self._attempts.items()):
                if state.due(attempt, now) and names not in self._running:
                    self._start(names)
            nexts = [one.next_attempt for one in self._attempts.values() if one.next_attempt > now]
            pause = min([LONGEST_SLEEP, *(at - now for at in nexts)])
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._turn.wait(), max(pause, 0.05))

    def _plan(self) -> None:
        """Bring what is known in line with what is wanted."""
        now = time.time()
        for names, one in self._wanted.items():
            if names not in self._attempts or self._attempts[names].state == state.PARKED:
                self._attempts[names] = self._new(one, now)
            elif self._attempts[names].router != one.router:
                self._attempts[names] = msgspec.structs.replace(self._attempts[names], router=one.router)
            self._gone.pop(names, None)
        for names in [names for names in self._attempts if names not in self._wanted]:
            self._unwanted(names, now)
        self._changed.set()

    def _new(self, one: Wanted, now: float) -> Attempt:
        attempt = Attempt(names=one.names, router=one.router, since=now)
        bad = [name for name in one.names if not is_name(name)]
        if bad:
            return state.failed(attempt, now, "BAD_NAME", f"{bad[0]!r} is no name that an authority certifies")
        elsewhere = any(covers(names, one.names) for names in self._others)
        return msgspec.structs.replace(attempt, state=state.COVERED) if elsewhere else attempt

    def _unwanted(self, names: Names, now: float) -> None:
        """No router wants it: kept and served for a week, then no longer renewed."""
        since = self._gone.setdefault(names, now)
        attempt = self._attempts[names]
        if names not in self._certificates:
            del self._attempts[names]
        elif now - since > state.PARK_AFTER and attempt.state != state.PARKED:
            self._attempts[names] = msgspec.structs.replace(attempt, state=state.PARKED)

    def _start(self, names: Names) -> None:
        task = asyncio.ensure_future(self._try(names))
        self._running[names] = task
        task.add_done_callback(lambda _: self._ended(names))

    def _ended(self, names: Names) -> None:
        self._running.pop(names, None)
        self._turn.set()

    async def _try(self, names: Names) -> None:
        async with self._gate:
            attempt = self._attempts.get(names)
            if attempt is None:
                return
            try:
                await asyncio.to_thread(self._look, names)
                self._set(names, msgspec.structs.replace(attempt, state=state.ORDERING))
                one = await asyncio.to_thread(self._order, names)
            except (Refused, StorageError) as error:
                await self._failed(attempt, error)
                return
            except Exception as error:  # ours or a library's: this name fails, the others go on
                log.exception("%s: %s", self._resolver, ", ".join(names))
                await self._failed(attempt, Refused("FAULT", f"{type(error).__name__}: {error}"))
                return
            self._certificates[names] = one
            self._set(names, _known(one, attempt.router))
            log.info("%s: a certificate for %s", self._resolver, ", ".join(names), extra={"event": "certificate"})

    def _look(self, names: Names) -> None:
        """Preflight; blocks."""
        if self._preflight is not None:
            for name in names:
                self._preflight.check(name, by_dns=self._by_dns_only or name.startswith("*."))

    def _order(self, names: Names) -> Issued:
        """Order and keep; blocks."""
        one = self._authority.obtain(names)
        body = {"names": list(names), "certificate": one.certificate, "key": one.key}
        self._storage.put(f"{self._resolver}/certificates/{names[0]}", json.dumps(body))
        return one

    def _set(self, names: Names, attempt: Attempt) -> None:
        if names in self._attempts:
            self._attempts[names] = attempt
        self._changed.set()

    async def _failed(self, attempt: Attempt, error: Refused | StorageError) -> None:
        code = error.code if isinstance(error, Refused) else "STORAGE"
        after = error.after if isinstance(error, Refused) else 0.0
        failed = state.failed(attempt, time.time(), code, str(error), _FIXES.get(code, ""), after)
        self._set(attempt.names, failed)
        words = (self._resolver, ", ".join(attempt.names), code, error, _when(failed.next_attempt))
        log.warning("%s: no certificate for %s: %s: %s; next attempt %s", *words, extra={"event": "certificateFailed"})
        await self._tell(failed)

    async def _tell(self, attempt: Attempt) -> None:
        """The webhook; nobody waits for it, and its failure is a line in the log."""
        if not self._options.webhook:
            return
        body: dict[str, Any] = {
            "resolver": self._resolver,
            "names": list(attempt.names),
            "code": attempt.code,
            "error": attempt.error,
            "fix": attempt.fix,
            "attempt": attempt.failures,
            "nextAttempt": attempt.next_attempt,
        }
        try:
            timeout = aiohttp.ClientTimeout(total=10)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self._options.webhook, json=body),
            ):
                pass
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            log.warning("%s: the webhook did not take it: %s", self._resolver, type(error).__name__)


def _known(one: Issued, router: str = "") -> Attempt:
    """The state of a certificate that is in hand; raises ValueError when it cannot be read."""
    certificate = x509.load_pem_x509_certificate(one.certificate.encode())
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    attempt = Attempt(names=one.names, router=router)
    return state.issued(attempt, time.time(), begin, end, random.random())


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
