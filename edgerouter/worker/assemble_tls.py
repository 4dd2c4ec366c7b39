"""A Plan's certificates, TLS options and hosts -> what the fronts of TLS connections choose from. What did not change
stays the same object: contexts and with them the sessions of unchanged options live on."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Generator, Iterable, Iterator

from edgerouter.contracts.plan import CertificateEntry, TlsHostsEntry, TlsOptionsEntry
from edgerouter.net.tls_contexts import TlsOptions, TlsSettings
from edgerouter.net.tls_front import TlsDoors
from edgerouter.net.tls_names import CertificateTable, HostOptions, ServedCertificate

log = logging.getLogger("edgerouter.worker")


class Doors:
    """``doors`` is the engine's own. Connections must be made anew where clients were let in by rules that no longer
    hold; ``retired`` names their options."""

    def __init__(self, doors: TlsDoors) -> None:
        self._doors = doors
        self._certificates: dict[str, tuple[CertificateEntry, ServedCertificate]] = {}
        self._options: dict[str, tuple[TlsOptionsEntry, TlsOptions | None]] = {}
        self._hosts: dict[str, TlsHostsEntry] = {}
        self._prepared: Callable[[], None] | None = None
        self._retired: set[str] = set()

    def prepare(
        self,
        certificates: dict[str, CertificateEntry],
        options: dict[str, TlsOptionsEntry],
        hosts: dict[str, TlsHostsEntry],
    ) -> Iterator[None]:
        """Make what is new or changed, one thing a step; ``swap`` puts it into use."""
        gone = yield from self._note_certificates(certificates)
        table = self._doors.table
        if gone or table.default is None:
            table = _table(certificates.values(), self._certificates)
            yield
        made: dict[str, tuple[TlsOptionsEntry, TlsOptions | None]] = {}
        for name, entry in options.items():
            known = self._options.get(name)
            made[name] = known if known is not None and known[0] is entry else (entry, _made(entry, known))
            yield
        self._prepared = lambda: self._swap(table, made, hosts, gone)

    def swap(self) -> None:
        """Serve with what was prepared."""
        if self._prepared is not None:
            self._prepared()
            self._prepared = None

    def retired(self) -> set[str]:
        """Options whose connections must be made anew since the last call."""
        retired, self._retired = self._retired, set()
        return retired

    def _note_certificates(self, entries: dict[str, CertificateEntry]) -> Generator[None, None, set[str]]:
        """Returns what is gone or changed."""
        gone = {name for name in self._certificates if name not in entries}
        for name in gone:
            del self._certificates[name]
        for name, entry in entries.items():
            known = self._certificates.get(name)
            if known is None or known[0] is not entry:
                certificate = ServedCertificate(entry.name, entry.names, entry.pem.reveal())
                self._certificates[name] = (entry, certificate)
                gone.add(name)
                yield
        return gone

    def _swap(
        self,
        table: CertificateTable,
        made: dict[str, tuple[TlsOptionsEntry, TlsOptions | None]],
        hosts: dict[str, TlsHostsEntry],
        gone: set[str],
    ) -> None:
        for name, (_, old) in self._options.items():
            now = made.get(name, (None, None))[1]
            if old is not None and now is not old and (now is None or now.lets_in_others(old)):
                self._retired.add(name)
        self._options = made
        self._doors.table = table
        self._doors.options = {name: option for name, (_, option) in made.items() if option is not None}
        for option in self._doors.options.values():
            option.table = table
            option.forget(gone)
        if any(self._hosts.get(name) is not entry for name, entry in hosts.items()) or len(hosts) != len(self._hosts):
            self._doors.hosts = {name: HostOptions(entry.hosts) for name, entry in hosts.items()}
            self._doors.demand.points = {name: entry.wait for name, entry in hosts.items() if entry.wait > 0.0}
            self._hosts = dict(hosts)
        self._doors.demand.arrived(table)


def _table(
    entries: Iterable[CertificateEntry], served: dict[str, tuple[CertificateEntry, ServedCertificate]]
) -> CertificateTable:
    ordered = sorted(entries, key=lambda entry: entry.place)
    default = next((served[entry.name][1] for entry in ordered if entry.default), None)
    return CertificateTable(
        [served[entry.name][1] for entry in ordered if not entry.challenge],
        default,
        [served[entry.name][1] for entry in ordered if entry.challenge],
    )


def _made(entry: TlsOptionsEntry, known: tuple[TlsOptionsEntry, TlsOptions | None] | None) -> TlsOptions | None:
    """None: handshakes for the hosts of these options fail, which is better than others' rules."""
    if entry.refused:
        return None
    settings = _settings(entry)
    try:
        old = known[1] if known is not None else None
        if old is not None and old.settings.same_but_for_keys(settings):
            old.set_ticket_keys(settings.ticket_keys)
            return old
        return TlsOptions(settings, CertificateTable())
    except (ssl.SSLError, ValueError, OSError) as error:
        log.error("TLS options %s cannot be used, handshakes for their hosts are refused: %s", entry.name, error)
        return None


def _settings(entry: TlsOptionsEntry) -> TlsSettings:
    settings = TlsSettings()
    settings.name = entry.name
    settings.lowest, settings.highest = entry.lowest, entry.highest
    settings.ciphers, settings.curves = entry.ciphers, entry.curves
    settings.client_auth, settings.authorities = entry.client_auth, entry.authorities
    settings.sni_strict, settings.protocols = entry.sni_strict, list(entry.protocols)
    settings.tickets = entry.tickets
    settings.ticket_keys = [bytes.fromhex(key.reveal()) for key in entry.ticket_keys]
    settings.session_name = bytes.fromhex(entry.session_name)
    return settings
