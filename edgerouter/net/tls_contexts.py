"""One set of TLS options as OpenSSL contexts: the lasting ones that handshakes begin in, and one for each certificate.

A handshake begins in a lasting context of the options that were chosen from the ClientHello, and stays within these
options: ``sni_callback`` puts another certificate's context in its place, made with the same settings throughout, for
OpenSSL takes some of them (ciphers, trusted authorities, ALPN) from the new context and some (versions, verification)
from the old one. Tickets are sealed with the lasting context's key, so they outlive certificates (DESIGN section 4).
"""

from __future__ import annotations

import os
import ssl
from typing import Final

from edgerouter.net import openssl
from edgerouter.net.tls_names import CertificateTable, ServedCertificate

NONE: Final = "NoClientCert"
REQUEST: Final = "RequestClientCert"
REQUIRE_ANY: Final = "RequireAnyClientCert"
VERIFY_IF_GIVEN: Final = "VerifyClientCertIfGiven"
REQUIRE_AND_VERIFY: Final = "RequireAndVerifyClientCert"

ACME_PROTOCOL: Final = "acme-tls/1"  # RFC 8737
_MOST_CONTEXTS: Final = 4096  # certificates of one set of options that are kept ready; more come and go


class TlsSettings:
    """``versions`` are ``ssl.TLSVersion`` numbers, ``ciphers`` and ``curves`` in OpenSSL's words ("" is its default),
    ``authorities`` PEM texts. ``session_name`` is at most 32 bytes; ``ticket_keys`` the newest first, none for tickets
    that only one worker understands. ``protocols`` are offered by ALPN."""

    def __init__(self) -> None:
        self.name = "default"
        self.lowest = int(ssl.TLSVersion.TLSv1_2)
        self.highest = int(ssl.TLSVersion.MAXIMUM_SUPPORTED)
        self.ciphers = ""
        self.curves = ""
        self.client_auth = NONE
        self.authorities = ""
        self.sni_strict = False
        self.protocols: list[str] = ["http/1.1"]
        self.tickets = True
        self.ticket_keys: list[bytes] = []
        self.session_name = b""

    def same_but_for_keys(self, other: TlsSettings) -> bool:
        """True when contexts of one can serve for the other."""
        return self._rest() == other._rest()

    def _rest(self) -> list[object]:
        words = [self.name, self.ciphers, self.curves, self.client_auth, self.authorities]
        return [words, self.lowest, self.highest, self.sni_strict, self.protocols, self.tickets, self.session_name]


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """A context with all of the settings and no certificate. Raises ssl.SSLError for what OpenSSL does not accept."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Below 1.2 OpenSSL's own level forbids the old signatures: who asks for old versions asks for these too.
    level = ":@SECLEVEL=0" if settings.lowest < ssl.TLSVersion.TLSv1_2 else ""
    if settings.ciphers or level:
        context.set_ciphers((settings.ciphers or "DEFAULT") + level)
    context.minimum_version = ssl.TLSVersion(settings.lowest)
    context.maximum_version = ssl.TLSVersion(settings.highest)
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not settings.tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if settings.protocols:
        context.set_alpn_protocols(settings.protocols)
    if settings.curves:
        openssl.set_curves(context, settings.curves)
    if settings.session_name and openssl.available():
        openssl.set_session_context(context, settings.session_name)
    _ask_for_certificates(context, settings)
    return context


def _ask_for_certificates(context: ssl.SSLContext, settings: TlsSettings) -> None:
    mode = settings.client_auth
    if mode == NONE:
        return
    if mode in (REQUEST, REQUIRE_ANY):
        openssl.ask_for_any_certificate(context, mode == REQUIRE_ANY)
        return
    context.load_verify_locations(cadata=settings.authorities)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever is named is believed, an intermediate one too
    context.verify_mode = ssl.CERT_REQUIRED if mode == REQUIRE_AND_VERIFY else ssl.CERT_OPTIONAL


def load_pem(context: ssl.SSLContext, pem: str) -> None:
    """Give the context a key and chain that are in memory; ``ssl`` reads files only, so they get one without a name.
    Raises ssl.SSLError, OSError."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
    finally:
        os.close(descriptor)


def _no_password() -> bytes:
    """OpenSSL would ask on the terminal."""
    return b""


class TlsOptions:
    """``table`` is replaced by assignment. ``local_address`` stands for the name of a client that names none;
    ``fault`` says why the handshake that is being begun is refused. OpenSSL asks for a certificate within that call."""

    def __init__(self, settings: TlsSettings, table: CertificateTable) -> None:
        self.name = settings.name
        self.settings = settings
        self.table = table
        self.local_address = ""
        self.fault = ""
        self._ready: dict[str, ssl.SSLContext] = {}
        self._lasting: list[ssl.SSLContext] = []
        self._key_names: list[bytes] = []
        self.set_ticket_keys(settings.ticket_keys)

    def set_ticket_keys(self, keys: list[bytes]) -> None:
        """The newest first. A key that is known keeps its context; a client whose ticket was sealed with an older key
        is served in that one's."""
        if not keys:
            if not self._lasting or self._key_names:
                self._key_names = []
                self._lasting = [self._make_lasting(b"")]
            return
        known = dict(zip(self._key_names, self._lasting, strict=False))
        names = [key[:16] for key in keys]
        self._lasting = [known[key[:16]] if key[:16] in known else self._make_lasting(key) for key in keys]
        self._key_names = names

    def lasting(self, key_names: list[bytes]) -> ssl.SSLContext:
        """The context that a handshake begins in; ``key_names`` are those of the tickets that the client offers."""
        for name in key_names:
            for place in range(len(self._key_names)):
                if self._key_names[place] == name:
                    return self._lasting[place]
        return self._lasting[0]

    def lets_in_others(self, before: TlsOptions) -> bool:
        """True when clients that were let in before would perhaps not be let in now."""
        now, then = self.settings, before.settings
        return (now.client_auth, now.authorities, now.lowest) != (then.client_auth, then.authorities, then.lowest)

    def forget(self, ids: set[str]) -> None:
        """These certificates are gone."""
        for id in ids:
            self._ready.pop(id, None)

    def _make_lasting(self, key: bytes) -> ssl.SSLContext:
        context = server_context(self.settings)
        if key:
            openssl.set_ticket_key(context, key)
        context.sni_callback = self._choose
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int | None:
        """OpenSSL's question for the certificate; an alert when there is none to show."""
        asked = (name or "").lower().removesuffix(".") or self.local_address
        certificate = self.table.find(asked)
        if certificate is None:
            if self.settings.sni_strict:
                self.fault = f"no certificate bears the name {asked!r}, and sniStrict is on"
                return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
            certificate = self.table.default
        if certificate is None:
            self.fault = "there is no certificate"
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        try:
            connection.context = self._context_of(certificate)
        except (ssl.SSLError, OSError, ValueError) as error:
            self.fault = f"the certificate {certificate.id} cannot be used: {type(error).__name__}"
            return int(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR)
        return None

    def _context_of(self, certificate: ServedCertificate) -> ssl.SSLContext:
        context = self._ready.get(certificate.id)
        if context is None:
            context = server_context(self.settings)
            load_pem(context, certificate.pem)
            if len(self._ready) >= _MOST_CONTEXTS:
                self._ready.pop(next(iter(self._ready)))
            self._ready[certificate.id] = context
        return context


class ChallengeContexts:
    """Contexts that answer ``acme-tls/1`` (RFC 8737 section 3): the challenge's certificate and nothing else."""

    def __init__(self) -> None:
        self._settings = TlsSettings()
        self._settings.protocols = [ACME_PROTOCOL]
        self._settings.tickets = False

    def context(self, certificate: ServedCertificate) -> ssl.SSLContext:
        """Made anew each time: an authority asks once or a few times."""
        context = server_context(self._settings)
        load_pem(context, certificate.pem)
        return context
