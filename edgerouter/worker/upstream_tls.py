"""A serversTransport's TLS options -> a context for connections to servers. Reads the files that it names."""

from __future__ import annotations

import ssl
from typing import Final

from edgerouter.clients.references import is_name, is_text
from edgerouter.config import tls_words
from edgerouter.config.dynamic import CertificatePair, ServersTransport
from edgerouter.net.tls_contexts import load_pem

_KINDS: Final = {"DNSName": "DNS", "URI": "URI", "IPAddress": "IP Address", "EmailAddress": "email"}


def tls_context(options: ServersTransport, system: bool = True) -> ssl.SSLContext:
    """Raises ValueError, OSError or ssl.SSLError for what cannot be read or used; never quotes contents. Without
    ``system`` the machine's own authorities, which take long to read, are left out: to try the rest."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lowest = tls_words.version_number(options.min_version, ssl.TLSVersion.TLSv1_2)
    level = ":@SECLEVEL=0" if lowest < ssl.TLSVersion.TLSv1_2 else ""  # as towards clients (net.tls_contexts)
    context.set_ciphers(tls_words.ciphers(options.cipher_suites, lowest) + level)
    context.minimum_version = ssl.TLSVersion(lowest)
    if options.max_version:
        context.maximum_version = ssl.TLSVersion(tls_words.version_number(options.max_version, ssl.TLSVersion.TLSv1_3))
    if (
        context.maximum_version != ssl.TLSVersion.MAXIMUM_SUPPORTED
        and context.maximum_version < context.minimum_version
    ):
        raise ValueError(f"maxVersion {options.max_version} is below minVersion {options.min_version}")
    context.set_alpn_protocols(["http/1.1"])
    if options.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, options.root_cas, system)
    for index, pair in enumerate(options.certificates):
        _identify(context, pair, index)
    if options.insecure_skip_verify and peer_names(options):
        raise ValueError("peerCertURI and peerCertSANs cannot be checked with insecureSkipVerify; leave that out")
    return context


def peer_names(options: ServersTransport) -> list[tuple[str, str]]:
    """The names of which a server's certificate must bear one, in ``ssl``'s words; none: the usual check is enough."""
    names = [(_KINDS[san.type], san.value) for san in options.peer_cert_sans]
    return [*names, ("URI", options.peer_cert_uri)] if options.peer_cert_uri else names


def _trust(context: ssl.SSLContext, authorities: tuple[str, ...], system: bool) -> None:
    if not authorities:
        if system:
            context.load_default_certs()
        return
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever is named is believed, an intermediate one too
    for index, authority in enumerate(authorities):  # a file's name or a certificate itself (Traefik "file or content")
        try:
            context.load_verify_locations(cadata=text_of(authority, f"rootCAs[{index}]"))
        except ssl.SSLError as error:
            raise ValueError(f"rootCAs[{index}] holds no certificate in PEM form") from error


def _identify(context: ssl.SSLContext, pair: CertificatePair, index: int) -> None:
    where = f"certificates[{index}]"
    key = text_of(pair.key_file.reveal(), f"{where}.keyFile")
    chain = text_of(pair.cert_file.reveal(), f"{where}.certFile")
    try:
        load_pem(context, f"{key}\n{chain}")
    except ssl.SSLError as error:
        reason = (error.reason or "they are no PEM texts of a certificate and its key").lower().replace("_", " ")
        raise ValueError(f"{where} cannot be used: {reason}") from error


def text_of(value: str, what: str) -> str:
    """A PEM text as it stands, or what is in the file of that name. Raises ValueError, which shows the value only where
    it is a file's name for sure."""
    if is_text(value):
        return value
    try:
        with open(value, encoding="ascii", errors="replace") as file:
            return file.read(1024 * 1024)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "this is neither a file's name nor a PEM text"
        raise ValueError(f"{what}: {value if is_name(value) else 'the file'} cannot be read: {why}") from None
