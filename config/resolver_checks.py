"""What certificate resolvers must have before the router can start: a way to prove names, and who says which. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from edgerouter.config.fit import nearest
from edgerouter.config.fit_types import Fault
from edgerouter.config.resolvers import Acme, CertificateResolver, OnDemand
from edgerouter.config.static import EntryPoint


def resolver_faults(resolvers: Mapping[str, CertificateResolver], points: Mapping[str, EntryPoint]) -> Iterator[Fault]:
    """Everything that must be put right; storages and DNS providers' variables are looked at when the router starts."""
    for name, resolver in resolvers.items():
        if resolver.local is None:
            yield from _acme(("certificatesResolvers", name, "acme"), resolver.acme, points)


def _acme(path: tuple[str, ...], options: Acme, points: Mapping[str, EntryPoint]) -> Iterator[Fault]:
    challenges = (options.http_challenge, options.tls_challenge, options.dns_challenge)
    if not any(challenge is not None for challenge in challenges):
        yield Fault(path, "no challenge is given", "add httpChallenge, tlsChallenge or dnsChallenge")
    if options.http_challenge is not None and options.http_challenge.entry_point not in points:
        point = options.http_challenge.entry_point
        yield Fault(
            (*path, "httpChallenge", "entryPoint"), f"there is no entry point {point!r}", nearest(point, points)
        )
    if options.on_demand is not None:
        yield from _on_demand((*path, "onDemand"), options.on_demand)


def _on_demand(path: tuple[str, ...], options: OnDemand) -> Iterator[Fault]:
    if not _is_url(options.ask):
        message = "without a URL no name is certified on demand"
        yield Fault((*path, "ask"), message, "write http://host:port/path, which is asked ?domain=NAME")
    if options.burst < 1:
        yield Fault((*path, "burst"), f"expected 1 or more, got {options.burst}", "leave onDemand out to have none")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
