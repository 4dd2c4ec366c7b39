"""The certificate store: what providers say of TLS -> a ``Keyring`` that the build can use. Files are read here.

A certificate gets in by one door only: ``tls.certificates`` (or ``tls.stores.default.defaultCertificate``) of some
provider's Snapshot, where ``certFile`` and ``keyFile`` hold file names or the PEM texts themselves. Whoever has
certificates of another kind (an ACME resolver, Kubernetes secrets) yields Snapshots with PEM texts; certificates in the
store ``acme-tls/1`` answer TLS-ALPN-01 challenges and nothing else. A pair that cannot be read any more keeps its last
good copy, and says so. Keys are ``Secret``: they leave this process for the workers only.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from edgerouter.certs.generated import generate
from edgerouter.certs.read import Mark, Unreadable, mark, read_authorities, read_pair, text_of
from edgerouter.certs.tickets import TicketSecrets
from edgerouter.certs.transports import TransportFiles
from edgerouter.clients.references import Limits, Resolver, is_name, is_text, references
from edgerouter.config.dynamic import Certificate, CertificatePair, ServersTransport, TLSOptions
from edgerouter.config.late import refers
from edgerouter.config.types import Problem
from edgerouter.contracts.certificates import (
    CHALLENGE_STORE,
    Authorities,
    BrokenCertificate,
    CertificateSource,
    Keyring,
    LoadedCertificate,
)
from edgerouter.contracts.snapshot import Snapshot

_RENEW: float = 30 * 86400.0  # seconds before its end that the generated certificate is replaced
_STORE = "tls.stores.default"

Pair = tuple[str, str]
Believed = tuple[str, tuple[str, ...]]  # options, and their caFiles


class Store(CertificateSource):
    """One for the life of the control process; ``load`` and ``changed`` block, and are called one at a time.

    ``native`` is "" when workers can be given ticket keys, else why not. ``state`` is plain data that travels through a
    live upgrade. ``limits``: what the providers' objects may refer to. ``transport`` is the static configuration's.
    """

    def __init__(
        self,
        native: str = "",
        state: Mapping[str, Any] | None = None,
        now: Callable[[], float] = time.time,
        limits: Limits | None = None,
        transport: ServersTransport | None = None,
    ) -> None:
        self._allowed = limits or Limits()
        self._transports = TransportFiles(self._allowed, transport)
        given = dict(state or {})
        self._native = native
        self._now = now
        self._tickets = TicketSecrets(given.get("tickets"))
        self._generated: Pair | None = tuple(given["default"]) if given.get("default") else None
        self._parsed: dict[Pair, LoadedCertificate] = {}
        self._good = dict(_left(given.get("kept") or ()))
        self._kept: frozenset[Pair] = frozenset()
        self._believed: dict[Believed, Authorities] = {}
        self._marks: dict[str, Mark] = {}
        self._turns: float = 0.0

    @property
    def state(self) -> dict[str, Any]:
        """What the next program needs so that sessions, the default certificate and last good copies live on."""
        kept = [(names, self._good[names]) for names in sorted(self._kept)]
        copies = [[*names, one.pem.reveal(), one.source, one.provider] for names, one in kept]
        return {"tickets": self._tickets.state, "default": self._generated, "kept": copies}

    def load(self, snapshots: Mapping[str, Snapshot]) -> Keyring:
        """Read everything that the snapshots name. Never raises for what they hold."""
        reading = _Reading(self._parsed, self._good, self._believed, self._allowed)
        for provider, snapshot in sorted(snapshots.items()):
            tls = snapshot.configuration.tls
            for index, certificate in enumerate(tls.certificates):
                reading.certificate(provider, index, certificate)
            for name, options in tls.options.items():
                reading.authorities_of(f"{name}@{provider}", options)
        default = self._default(reading, snapshots)
        transports = self._transports.load(snapshots)
        self._parsed, self._good, self._kept = reading.parsed, reading.good, frozenset(reading.kept)
        self._believed = reading.believed
        self._marks = {**reading.marks, **self._transports.marks}
        now = self._now()
        keyring = Keyring(
            certificates=tuple(reading.certificates),
            default=default,
            broken=tuple(reading.broken),
            authorities=reading.authorities,
            transports=transports,
            problems=(
                *reading.problems,
                *self._transports.problems,
                *_dated(_shown(reading.certificates, default), now),
                *self._limits(),
            ),
            ticket_secrets=self._tickets.current(now),
            native=self._native,
            now=now,
        )
        self._turns = min(_turns(keyring), default=now + 86400.0)
        return keyring

    def changed(self) -> bool:
        """True when ``load`` would give something else for the same snapshots."""
        now = self._now()
        return now >= self._turns or self._tickets.due(now) or any(mark(p) != m for p, m in self._marks.items())

    def _default(self, reading: _Reading, snapshots: Mapping[str, Snapshot]) -> LoadedCertificate | None:
        """The configured default certificate, or one that is made here."""
        given = {
            provider: store.default_certificate
            for provider, snapshot in sorted(snapshots.items())
            if (store := snapshot.configuration.tls.stores.get("default")) and store.default_certificate
        }
        if len(given) > 1:
            hint = "give it in one provider only"
            reading.problems.append(Problem(_STORE, f"it is defined more than once: {', '.join(given)}", hint))
        elif given:
            provider, pair = next(iter(given.items()))
            default = reading.pair(provider, f"{_STORE}.defaultCertificate", pair)
            if default is not None:
                return default
        return self._own()

    def _own(self) -> LoadedCertificate:
        now = self._now()
        if self._generated is not None:
            known = read_pair(*self._generated)
            if known.not_after - now > _RENEW:
                return _as(known, source="generated", generated=True)
        self._generated = generate(datetime.datetime.fromtimestamp(now, datetime.UTC))
        return _as(read_pair(*self._generated), source="generated", generated=True)

    def _limits(self) -> Iterator[Problem]:
        if self._native:
            message = f"sessions are resumed by the worker that began them only: {self._native}"
            hint = "use a Python whose ssl module is linked with OpenSSL 1.1.1 or 3"
            yield Problem("tls", message, hint, severity="warning")


class _Reading:
    """One pass over all snapshots."""

    def __init__(
        self,
        parsed: Mapping[Pair, LoadedCertificate],
        good: Mapping[Pair, LoadedCertificate],
        believed: Mapping[Believed, Authorities],
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._before = parsed
        self._was_good = good
        self._was_believed = believed
        self.believed: dict[Believed, Authorities] = {}
        self.parsed: dict[Pair, LoadedCertificate] = {}
        self.good: dict[Pair, LoadedCertificate] = {}
        self.kept: set[Pair] = set()
        self.certificates: list[LoadedCertificate] = []
        self.broken: list[BrokenCertificate] = []
        self.authorities: dict[str, Authorities] = {}
        self.problems: list[Problem] = []
        self.marks: dict[str, Mark] = {}

    def certificate(self, provider: str, index: int, given: Certificate) -> None:
        """One of ``tls.certificates``."""
        path = f"tls.certificates[{index}]"
        found = self.pair(provider, path, given)
        if found is None:
            return
        if not found.names:
            message = "it bears no name, so no client can ask for it"
            self.problems.append(Problem(path, message, "use it as default certificate", provider, "warning"))
        self.certificates.append(_as(found, challenge=CHALLENGE_STORE in given.stores))

    def pair(self, provider: str, path: str, given: CertificatePair) -> LoadedCertificate | None:
        """The pair, its last good copy, or None; the last two with a problem."""
        names = (given.cert_file.reveal(), given.key_file.reveal())
        barred = self._limits.barred(provider, names)
        if barred is not None:
            self.problems.append(Problem(path, *barred, provider))
            return None
        shown = not is_text(names[0]) and (refers(names[0]) or is_name(names[0]))
        source = names[0] if shown else f"{path} of {provider}"
        try:
            found = self._read(names)
        except Unreadable as error:
            return self._kept(provider, path, source, names, str(error))
        found = _as(found, source=source, provider=provider)
        self.good[names] = found
        return found

    def _read(self, names: Pair) -> LoadedCertificate:
        texts = (self._text(names[0], "certFile"), self._text(names[1], "keyFile"))
        known = self.parsed.get(texts) or self._before.get(texts) or read_pair(*texts)
        self.parsed[texts] = known
        return known

    def _kept(self, provider: str, path: str, source: str, names: Pair, why: str) -> LoadedCertificate | None:
        kept = self._was_good.get(names)
        which = "" if path in source or source in why else f" ({source})"
        message = f"{why}{which}; its last good copy goes on being served" if kept else f"{why}{which}"
        self.problems.append(Problem(path, message, "", provider))
        self.broken.append(BrokenCertificate(source=source, provider=provider, error=why, kept=kept is not None))
        if kept is not None:
            self.good[names] = kept
            self.kept.add(names)
        return kept

    def authorities_of(self, name: str, options: TLSOptions) -> None:
        """The authorities that some TLS options name."""
        texts = []
        for place in options.client_auth.ca_files:
            try:
                texts.append(read_authorities(self._text(place, "caFiles")))
            except Unreadable as error:
                self.authorities[name] = self._believed_before(name, options, str(error))
                return
        if texts:
            self.authorities[name] = Authorities("".join(texts))
            self.believed[name, options.client_auth.ca_files] = self.authorities[name]

    def _believed_before(self, name: str, options: TLSOptions, why: str) -> Authorities:
        """The last good ones of these very files, with a problem: who was to be let in still is, and nobody else."""
        key = (name, options.client_auth.ca_files)
        kept = self._was_believed.get(key)
        if kept is None:
            return Authorities(error=why)
        self.believed[key] = kept
        bare, _, provider = name.rpartition("@")
        message = f"{why}; their last good copy goes on being believed"
        self.problems.append(Problem(f"tls.options.{bare}.clientAuth.caFiles", message, "", provider))
        return kept

    def _text(self, place: str, what: str) -> str:
        """What stands there: a text, a file's content, or either of them by reference. Raises Unreadable."""
        resolver = Resolver()
        self.marks.update((name, mark(name)) for kind, name in references(place) if kind == "file")
        try:
            value = resolver.resolve(place)
        except ValueError as error:
            raise Unreadable(f"{what}: {error}") from None
        if not is_text(value):
            self.marks[value] = mark(value)
        try:
            return text_of(value, what)
        except Unreadable as error:
            raise Unreadable(resolver.masked(str(error))) from None


def _left(copies: Iterable[tuple[str, str, str, str, str]]) -> Iterator[tuple[Pair, LoadedCertificate]]:
    """Last good copies of the program before this one."""
    for chain, key, pem, source, provider in copies:
        with contextlib.suppress(Unreadable):  # this version may know better than that one
            yield (chain, key), _as(read_pair(pem, pem), source=source, provider=provider)


def _as(certificate: LoadedCertificate, **fields: Any) -> LoadedCertificate:
    return msgspec.structs.replace(certificate, **fields)


def _shown(certificates: list[LoadedCertificate], default: LoadedCertificate | None) -> list[LoadedCertificate]:
    """All that were given, each once; the default one is often in the list as well."""
    alone = default is not None and not default.generated and all(c.id != default.id for c in certificates)
    return [*certificates, default] if default is not None and alone else certificates


def _dated(certificates: list[LoadedCertificate], now: float) -> Iterator[Problem]:
    """Certificates that are not valid now; they are served, for a client may still want them."""
    for certificate in certificates:
        names = ", ".join(certificate.names[:3]) or certificate.common_name
        path = f"tls.certificates ({certificate.source})"
        if now >= certificate.not_after:
            day = datetime.datetime.fromtimestamp(certificate.not_after, datetime.UTC).date()
            yield Problem(path, f"the certificate for {names} expired on {day}", "renew it", certificate.provider)
        elif now < certificate.not_before:
            day = datetime.datetime.fromtimestamp(certificate.not_before, datetime.UTC).date()
            message = f"the certificate for {names} is not valid before {day}"
            yield Problem(path, message, "look at the clock", certificate.provider, "warning")


def _turns(keyring: Keyring) -> Iterator[float]:
    """When what is said of a certificate next becomes something else."""
    for certificate in _shown(list(keyring.certificates), keyring.default):
        for moment in (certificate.not_before, certificate.not_after - _RENEW, certificate.not_after):
            if moment > keyring.now:
                yield moment
    if keyring.default is not None and keyring.default.generated:
        yield keyring.default.not_after - _RENEW
