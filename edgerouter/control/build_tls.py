"""TLS of the build: which options which host has, which certificates are served, what no certificate covers. Pure.

Routers name options, but a handshake knows hosts only. So the options that routers ask for by name count for all their
hosts; two routers that ask for different ones for one host are both refused, for one of them would be served wrongly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from edgerouter.config.fit import nearest
from edgerouter.config.types import Problem
from edgerouter.contracts.certificates import BrokenCertificate, CertificateFacts, Keyring, LoadedCertificate
from edgerouter.contracts.plan import CertificateEntry, RouterEntry, TlsHostsEntry, TlsOptionsEntry
from edgerouter.contracts.plugins import Predicate
from edgerouter.control.build_tls_options import DEFAULT, Options
from edgerouter.control.build_types import Fault
from edgerouter.control.view import CertificateView
from edgerouter.rules.compile import RuleError, compile_rule
from edgerouter.rules.predicates import HOST, HOST_UNDER, All, Clause, Either

SOON: Final = 30 * 86400.0  # seconds: a certificate with less left is shown as a warning
_MOST_TOLD: Final = 3  # names that one problem lists


class Hosts:
    """Hosts of TLS routers, by entry point, with the options that routers ask for. ``faults`` are by router."""

    def __init__(self) -> None:
        self.faults: dict[str, list[Fault]] = {}
        self._wanted: dict[str, dict[str, dict[str, list[str]]]] = {}  # entry point -> host -> options -> routers

    def add(self, entry: RouterEntry, hosts: tuple[str, ...]) -> None:
        """A router with ``tls``; ``hosts`` are the exact names and wildcards of its rule."""
        for point in entry.entry_points:
            wanted = self._wanted.setdefault(point, {})
            if not entry.tls_options:
                continue
            for host in hosts:
                wanted.setdefault(host, {}).setdefault(entry.tls_options, []).append(entry.name)
        if entry.tls_options and not hosts:
            message = f"its rule names no host, so clients cannot be asked by the options {entry.tls_options!r}"
            self._fault(entry.name, Fault("tls.options", message, "add Host(`...`) to its rule"))

    def entries(self, waits: Mapping[str, float]) -> list[TlsHostsEntry]:
        """One for each entry point with TLS routers; ``waits`` are the keyring's ``on_demand``."""
        return [
            TlsHostsEntry(point, tuple(sorted(self._settled(wanted))), waits.get(point, 0.0))
            for point, wanted in sorted(self._wanted.items())
        ]

    def _settled(self, wanted: Mapping[str, Mapping[str, list[str]]]) -> Iterator[tuple[str, str]]:
        for host, options in wanted.items():
            names = sorted(options)
            if len(names) == 1:
                yield host, names[0]
                continue
            message = f"routers ask for different TLS options for {host}: {', '.join(names)}"
            for router in sorted({router for routers in options.values() for router in routers}):
                self._fault(router, Fault("tls.options", message, "give all routers of a host the same options"))

    def _fault(self, router: str, fault: Fault) -> None:
        known = self.faults.setdefault(router, [])
        if fault not in known:
            known.append(fault)


class NamedHosts(msgspec.Struct, frozen=True):
    """The exact hosts and wildcards of a rule. ``only``: it is true for requests of these hosts and no others."""

    names: tuple[str, ...] = ()
    only: bool = True


class HostNames:
    """The hosts that rules name; those of the last build are remembered."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], NamedHosts] = {}
        self._seen: dict[tuple[str, str], NamedHosts] = {}

    def of(self, rule: str, syntax: str) -> NamedHosts:
        """None for a rule that cannot be read."""
        key = (rule, syntax)
        found = self._known.get(key)
        if found is None:
            try:
                compiled = compile_rule(rule, syntax)
                found = NamedHosts(tuple(compiled.host_names()), _needs_a_host(compiled.predicate))
            except RuleError:
                found = NamedHosts()
        self._seen[key] = found
        return found

    def forget(self) -> None:
        """What was not asked for since the last call is of no use any more."""
        self._known, self._seen = self._seen, {}


def _needs_a_host(predicate: Predicate) -> bool:
    """True when no way to make the rule true goes without some named host."""
    if isinstance(predicate, All):
        return any(_needs_a_host(part) for part in predicate.parts)
    if isinstance(predicate, Either):
        return all(_needs_a_host(part) for part in predicate.parts)
    need = predicate.need() if isinstance(predicate, Clause) else None
    return need is not None and need.kind in (HOST, HOST_UNDER)


class Tls:
    """TLS of one build."""

    def __init__(self, keyring: Keyring, options: Options, names: HostNames) -> None:
        self._keyring = keyring
        self._options = options
        self._names = names
        self._hosts: list[TlsHostsEntry] = []

    def check(self, routers: Mapping[str, RouterEntry]) -> dict[str, list[Fault]]:
        """What is wrong with which router."""
        hosts, coverage = Hosts(), Coverage(self._keyring)
        faults: dict[str, list[Fault]] = {}
        for name, entry in routers.items():
            if not entry.tls:
                continue
            named = self._names.of(entry.rule, entry.rule_syntax)
            hosts.add(entry, named.names)
            strict = self._strict(entry.tls_options)
            found = [
                self._unknown(entry.tls_options),
                self._partly(entry, named),
                coverage.fault(named.names, strict),
            ]
            kept = [fault for fault in found if fault is not None]
            if kept:
                faults[name] = kept
        self._names.forget()
        self._hosts = hosts.entries(self._keyring.on_demand)
        for name, more in hosts.faults.items():
            faults.setdefault(name, []).extend(more)
        return faults

    def entries(self) -> list[CertificateEntry | TlsOptionsEntry | TlsHostsEntry]:
        """What workers are sent."""
        return [*certificate_entries(self._keyring), *self._options.entries.values(), *self._hosts]

    def problems(self) -> Iterator[Problem]:
        """What is wrong with options."""
        for name, faults in self._options.faults.items():
            bare, _, provider = name.rpartition("@")
            for fault in faults:
                if not fault.told:
                    path = ".".join(part for part in ("tls.options", bare, fault.field) if part)
                    severity = "error" if fault.refuses else "warning"
                    yield Problem(path, fault.message, fault.hint, provider, severity)

    def _strict(self, options: str) -> bool:
        entry = self._options.entries.get(options or DEFAULT)
        return entry is not None and entry.sni_strict

    def _partly(self, entry: RouterEntry, hosts: NamedHosts) -> Fault | None:
        """Other hosts' handshakes are not made with the options that this router asks for: the worker answers 421."""
        if entry.tls_options not in self._options.entries or hosts.only or not hosts.names:  # no name at all is refused
            return None
        message = "its rule matches requests of other hosts too: they are answered 421, since the options "
        hint = "add Host(`...`) && to each part of the rule that has none"
        return Fault("tls.options", f"{message}{entry.tls_options!r} hold for named hosts only", hint, False)

    def _unknown(self, options: str) -> Fault | None:
        entry = self._options.entries.get(options or DEFAULT)
        if entry is None:
            names = [name for name in self._options.entries if name != DEFAULT]
            return Fault("tls.options", f"the TLS options {options!r} do not exist", nearest(options, names))
        if entry.refused:
            return Fault("tls.options", f"the TLS options {entry.name!r} cannot be used: {entry.refused}")
        return None


class Coverage:
    """Which names the served certificates bear."""

    def __init__(self, keyring: Keyring) -> None:
        self._names = {name for certificate in served(keyring) for name in certificate.names}

    def missing(self, hosts: Iterable[str]) -> list[str]:
        """Those of the hosts that no certificate bears."""
        names = self._names
        return [host for host in hosts if host not in names and f"*.{host.partition('.')[2]}" not in names]

    def fault(self, hosts: tuple[str, ...], strict: bool) -> Fault | None:
        """A warning where clients will not get the certificate that they ask for."""
        missing = self.missing(hosts)
        if not missing:
            return None
        told = ", ".join(missing[:_MOST_TOLD]) + (
            f" and {len(missing) - _MOST_TOLD} more" * (len(missing) > _MOST_TOLD)
        )
        what = "clients are refused (sniStrict)" if strict else "clients get the default certificate and a warning"
        return Fault("tls.certificate", f"no certificate bears {told}: {what}", "add one to tls.certificates", False)


def served(keyring: Keyring) -> list[LoadedCertificate]:
    """Certificates in the order in which they are chosen: of two with one name those that are valid now go first."""
    known = {c.id: c for c in reversed(keyring.certificates) if not c.challenge}
    ordered = sorted(reversed(known.values()), key=lambda c: not c.not_before <= keyring.now < c.not_after)
    default = keyring.default
    return ordered if default is None or default.generated or default.id in known else [*ordered, default]


def certificate_entries(keyring: Keyring) -> Iterator[CertificateEntry]:
    """What workers serve."""
    default = keyring.default
    before: dict[str, int] = {}  # name -> certificates that go first for it
    for certificate in served(keyring):
        place = max((before.get(name, 0) for name in certificate.names), default=0)
        before.update((name, place + 1) for name in certificate.names)
        is_default = default is not None and certificate.id == default.id
        yield CertificateEntry(certificate.id, certificate.names, certificate.pem, place, is_default)
    if default is not None and default.generated:
        yield CertificateEntry(default.id, (), default.pem, 0, True)
    for certificate in keyring.certificates:
        if certificate.challenge:
            yield CertificateEntry(f"challenge-{certificate.id}", certificate.names, certificate.pem, 0, False, True)


def certificate_views(keyring: Keyring) -> dict[str, CertificateView]:
    """What API and dashboard show, by name."""
    shown = [c for c in keyring.certificates if not c.challenge]
    default = keyring.default
    if default is not None and all(c.id != default.id for c in shown):
        shown.append(default)
    views = {c.id: _view(c, keyring.now, default is not None and default.id == c.id) for c in shown}
    views |= {broken.source: _broken_view(broken) for broken in keyring.broken}
    return dict(sorted(views.items()))


def _view(certificate: LoadedCertificate, now: float, default: bool) -> CertificateView:
    left = certificate.not_after - now
    status = "expired" if left <= 0 else "warning" if left < SOON or now < certificate.not_before else "enabled"
    same = {field: getattr(certificate, field) for field in _SAME}
    return CertificateView(name=certificate.id, status=status, default=default, **same)


_SAME: Final = ("names", "provider", "source", *CertificateFacts.__struct_fields__)


def _broken_view(broken: BrokenCertificate) -> CertificateView:
    return CertificateView(
        name=broken.source,
        provider=broken.provider,
        source=broken.source,
        status="warning" if broken.kept else "disabled",
        errors=(broken.error,),
    )


def with_faults(entry: RouterEntry, faults: list[Fault]) -> RouterEntry:
    """The router as it is served with these faults."""
    why = next((f"{fault.message}; {fault.hint}" for fault in faults if fault.refuses), "")
    return entry if not why or entry.refused or entry.asleep else msgspec.structs.replace(entry, refused=why)
