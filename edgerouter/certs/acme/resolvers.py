"""The resolvers of a static configuration, put together; and the source of certificates that tells them what routers
want. Composition only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web

from edgerouter.certs.acme.authority import Prover
from edgerouter.certs.acme.demand import Demand
from edgerouter.certs.acme.dns01.record import DnsProver
from edgerouter.certs.acme.dns01.writers import make_writer
from edgerouter.certs.acme.numbers import FAMILIES
from edgerouter.certs.acme.open_rules import open_rules
from edgerouter.certs.acme.preflight import Preflight, issuer_of
from edgerouter.certs.acme.provider import AcmeProvider
from edgerouter.certs.acme.refused import Refused
from edgerouter.certs.acme.storage import Storage
from edgerouter.certs.acme.stores.choose import open_storage
from edgerouter.certs.acme.together import Together
from edgerouter.certs.acme.tokens import HttpProver, Tokens
from edgerouter.certs.acme.wanted import Names, Wanted, wanted
from edgerouter.certs.local.provider import LocalProvider
from edgerouter.config.resolvers import Acme
from edgerouter.config.static import EntryPoint, StaticConfiguration, default_entry_points
from edgerouter.config.types import Problem
from edgerouter.contracts.certificates import CertificateSource, Keyring
from edgerouter.contracts.messages import CertificateRefused, CertificateWanted, Message
from edgerouter.contracts.snapshot import Sample, Snapshot
from edgerouter.errors import ConfigurationError

ResolverProvider = AcmeProvider | LocalProvider


class Asker(Protocol):
    """A worker."""

    def send(self, message: Message) -> None:
        """Take a message."""


class Resolvers:
    """All resolvers: ``providers`` by their provider names, ``tokens`` shown over HTTP. Raises ConfigurationError that
    names the option that cannot be used."""

    FAMILIES = FAMILIES  # of ``samples``

    def __init__(self, static: StaticConfiguration, points: Mapping[str, EntryPoint]) -> None:
        self.tokens = Tokens()
        self.providers = _make(static, self.tokens)
        self._points = points
        self._defaults = default_entry_points(static)

    def samples(self) -> list[Sample]:
        """Metrics of all of them; called in threads."""
        return [sample for provider in self.providers.values() for sample in provider.samples()]

    def add_retry(self, router: web.UrlDispatcher) -> None:
        """POST ``/certificates/retry?name=a.example.com``, for the control socket: try what failed at once."""
        router.add_post("/certificates/retry", self._retry)

    async def _retry(self, request: web.Request) -> web.Response:
        name = request.query.get("name", "").lower()
        found = sum(provider.retry(name) for provider in self.providers.values())
        return web.json_response({"retried": found}, status=200 if found else 404)

    def watched(self, source: CertificateSource) -> CertificateSource:
        """The same source, telling resolvers what routers want at each reading."""
        return Watched(source, self.providers, self._points, self._defaults)

    def hear(self, process: Asker, message: Any) -> None:
        """A worker's message of any kind, on the loop: a client may ask for a name that no certificate bears."""
        if not isinstance(message, CertificateWanted):
            return
        name, point = message.name, message.entry_point
        open_here = [(one, demand) for one, demand in _on_demand(self.providers) if point in demand.rules]
        if not open_here:
            _refuse(process, name, _NOBODY)
            return
        takes = [pair for pair in open_here if len(open_here) > 1 and pair[1].takes(name, point)]
        (takes or open_here)[0][0].ask(name, point, partial(_refuse, process, name))


_NOBODY: Final = 10.0  # seconds until a name is worth asking for again where nobody has certificates on demand


def _refuse(process: Asker, name: str, seconds: float) -> None:
    process.send(CertificateRefused(name=name, seconds=seconds))


def _on_demand(providers: Mapping[str, ResolverProvider]) -> list[tuple[AcmeProvider, Demand]]:
    acme = [one for one in providers.values() if isinstance(one, AcmeProvider)]
    return [(one, one.demand) for one in acme if one.demand is not None]


def _make(static: StaticConfiguration, tokens: Tokens) -> dict[str, ResolverProvider]:
    stores: dict[str, Storage] = {}
    made: dict[str, ResolverProvider] = {}
    for name, resolver in static.certificates_resolvers.items():
        if resolver.local is not None:
            place = resolver.local.storage
            stores[place] = stores.get(place) or _storage(f"certificatesResolvers.{name}.local", place)
            signing = LocalProvider(name, resolver.local, stores[place])
            made[signing.context.name] = signing
            continue
        options = resolver.acme
        path = f"certificatesResolvers.{name}.acme"
        if options.storage not in stores:
            stores[options.storage] = _storage(path, options.storage)
        together = Together(stores[options.storage], name)
        if together.shared and options.http_challenge is not None:
            tokens.elsewhere.append(together)
        provers = _provers(path, options, tokens, together)
        preflight = Preflight(options.preflight.issuer or issuer_of(options.ca_server), options.preflight)
        provider = AcmeProvider(
            name, options, stores[options.storage], provers, preflight if options.preflight.enabled else None
        )
        made[provider.context.name] = provider
    return made


def _storage(path: str, place: str) -> Storage:
    try:
        return open_storage(place)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}.storage: {error.message}") from error


def _provers(path: str, options: Acme, tokens: Tokens, together: Together) -> list[Prover]:
    provers: list[Prover] = []
    if options.http_challenge is not None:
        provers.append(HttpProver(tokens, float(options.http_challenge.delay), together))
    if options.dns_challenge is not None:
        try:
            provers.append(DnsProver(options.dns_challenge, make_writer(options.dns_challenge.provider)))
        except Refused as error:
            raise ConfigurationError(f"{path}.dnsChallenge: {error}") from error
    return provers


class Watched(CertificateSource):
    """A source of certificates whose every reading tells resolvers what routers want now."""

    def __init__(
        self,
        source: CertificateSource,
        resolvers: Mapping[str, ResolverProvider],
        points: Mapping[str, EntryPoint],
        defaults: tuple[str, ...] = (),
    ) -> None:
        self._source = source
        self._resolvers = resolvers
        self._points = points
        self._defaults = defaults
        on_demand = _on_demand(resolvers)
        self._demands = {one.resolver: demand for one, demand in on_demand}
        self._starless = {one.resolver: one.starless for one, _ in on_demand}

    def load(self, snapshots: Mapping[str, Snapshot]) -> Keyring:
        """See ``CertificateSource.load``."""
        keyring = self._source.load(snapshots)
        theirs = frozenset(self._resolvers)
        others: frozenset[Names] = frozenset(
            one.names for one in keyring.certificates if one.provider not in theirs and not one.challenge
        )
        local = {one.resolver for one in self._resolvers.values() if isinstance(one, LocalProvider)}
        routed = {name: one for name, one in snapshots.items() if name not in theirs}
        starless = [name for name, stars in self._starless.items() if stars]
        asked = wanted(routed, self._points, self._defaults, local, starless)
        for provider in self._resolvers.values():
            provider.want(asked.pop(provider.resolver, {}), others)
        unknown = tuple(self._unknown(name, one) for name, names in asked.items() for one in names.values())
        waits = self._open(routed)
        return msgspec.structs.replace(keyring, problems=(*keyring.problems, *unknown), on_demand=waits)

    def _open(self, snapshots: Mapping[str, Snapshot]) -> dict[str, float]:
        """Tell resolvers which rules they may be asked for on demand; the seconds to wait, by entry point."""
        waits: dict[str, float] = {}
        found = open_rules(snapshots, self._points, self._defaults, self._starless)
        for name, demand in self._demands.items():
            demand.rules = found.get(name, {})
            waits |= {at: max(demand.wait, waits.get(at, 0.0)) for at in demand.rules}
        return waits

    def _unknown(self, resolver: str, one: Wanted) -> Problem:
        known = ", ".join(sorted(one.resolver for one in self._resolvers.values())) or "none"
        hint = f"write one of certificatesResolvers: {known}"
        message = f"there is no certificate resolver {resolver!r}"
        return Problem(f"http.routers.{one.router}.tls.certResolver", message, hint)

    def changed(self) -> bool:
        """See ``CertificateSource.changed``."""
        return self._source.changed()
