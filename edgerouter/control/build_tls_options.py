"""TLS options of the build: configuration's words -> OpenSSL's, keys of tickets, what refuses them. Pure.

Ticket keys are made from the options' name and everything in them that decides who is let in: tickets never pass from
one set of options to another, and none outlives a change of authorities or modes (DESIGN section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256, sha512
from hmac import digest
from typing import Final

import msgspec

from edgerouter.clients.references import Limits, Resolver, references
from edgerouter.config import tls_words
from edgerouter.config.dynamic import TLSOptions
from edgerouter.config.late import Late, put
from edgerouter.config.types import Secret
from edgerouter.contracts.certificates import Authorities, Keyring
from edgerouter.contracts.plan import TlsOptionsEntry
from edgerouter.control.aggregate import provider_of
from edgerouter.control.build_plain import revealed
from edgerouter.control.build_types import Fault, refusal

DEFAULT: Final = "default"
PROTOCOLS: Final = ("http/1.1",)  # what is spoken behind TLS
_VERIFYING: Final = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
_UNVERIFIED: Final = ("RequestClientCert", "RequireAnyClientCert")
_OLDEST, _NEWEST = 0x0303, 0x0304


class Options(msgspec.Struct, frozen=True):
    """All TLS options of one build by qualified name, ``default`` without a provider; and what is wrong with them."""

    entries: dict[str, TlsOptionsEntry]
    faults: dict[str, list[Fault]]


def with_values(
    configured: Mapping[str, TLSOptions], late: Mapping[str, Late], limits: Limits
) -> tuple[dict[str, TLSOptions], dict[str, Fault]]:
    """The options with values in the place of references, and those for which there are none. Authorities stay as they
    are: whoever reads their files (``certs.store``) puts those values in, and looks again when they change."""
    settled, faults = dict(configured), {}
    for name, options in configured.items():
        plain = put(revealed(options), late.get(name, ()))
        if next(references(plain), None) is None:
            continue
        barred = limits.barred(provider_of(name), plain)
        plain.get("clientAuth", {}).pop("caFiles", None)
        try:
            typed = Resolver().typed(plain, TLSOptions)
        except ValueError as error:
            faults[name] = Fault("", str(error))
            continue
        if barred is not None:
            faults[name] = Fault("", *barred)
        auth = msgspec.structs.replace(typed.client_auth, ca_files=options.client_auth.ca_files)
        settled[name] = msgspec.structs.replace(typed, client_auth=auth)
    return settled, faults


def make_options(
    configured: Mapping[str, TLSOptions],
    refused: Mapping[str, str],
    keyring: Keyring,
    unsettled: Mapping[str, Fault] | None = None,
) -> Options:
    """``default`` belongs to all providers, so only one may define it. ``unsettled``: see ``with_values``."""
    found = Options({}, {})
    defaults = sorted(name for name in (*configured, *refused) if name.startswith(f"{DEFAULT}@"))
    for name in sorted({*configured, *refused}):
        shown = DEFAULT if name in defaults else name
        faults = [Fault("", refused[name], told=True)] if name in refused else []
        faults += [unsettled[name]] if unsettled and name in unsettled else []
        if name in defaults and len(defaults) > 1:
            hint = "define them in one provider only"
            faults.append(Fault("", f"the options default are defined more than once: {', '.join(defaults)}", hint))
        options = configured.get(name, TLSOptions())
        _add(found, shown, name, options, faults, keyring)
    if not defaults:
        _add(found, DEFAULT, DEFAULT, TLSOptions(), [], keyring)
    return found


def _add(found: Options, shown: str, name: str, options: TLSOptions, faults: list[Fault], keyring: Keyring) -> None:
    entry, more = _entry(shown, options, keyring.authorities.get(name, Authorities()), keyring)
    faults.extend(more)
    if faults:
        found.faults.setdefault(name, []).extend(faults)
    why = refusal(faults)
    found.entries[shown] = TlsOptionsEntry(shown, refused=why) if why else entry


def _entry(
    name: str, options: TLSOptions, authorities: Authorities, keyring: Keyring
) -> tuple[TlsOptionsEntry, list[Fault]]:
    faults = list(_faults(options, authorities, keyring.native))
    mode = options.client_auth.client_auth_type or (
        "RequireAndVerifyClientCert" if options.client_auth.ca_files else "NoClientCert"
    )
    lowest = tls_words.version_number(options.min_version, _OLDEST)
    ciphers = _ciphers(faults, options.cipher_suites, lowest)
    curves = _or_fault(faults, "curvePreferences", tls_words.curves, options.curve_preferences)
    entry = TlsOptionsEntry(
        name,
        lowest=lowest,
        highest=tls_words.version_number(options.max_version, _NEWEST),
        client_auth=mode,
        authorities=authorities.pem,
        sni_strict=options.sni_strict,
        protocols=tuple(protocol for protocol in options.alpn_protocols if protocol in PROTOCOLS),
        tickets=not options.disable_session_tickets,
        ciphers=ciphers,
        curves=curves,
    )
    return _with_keys(entry, keyring), faults


def _ciphers(faults: list[Fault], names: tuple[str, ...], lowest: int) -> str:
    found = _or_fault(faults, "cipherSuites", lambda given: tls_words.ciphers(given, lowest), names)
    if found and lowest < _OLDEST and not tls_words.serves_old_versions(found):
        hint = "add TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA and TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"
        faults.append(Fault("cipherSuites", "none of them can be spoken below TLS 1.2", hint, False))
    return found


def _or_fault(
    faults: list[Fault], field: str, translate: Callable[[tuple[str, ...]], str], names: tuple[str, ...]
) -> str:
    try:
        return translate(names)
    except ValueError as error:
        faults.append(Fault(field, str(error)))
        return ""


def _faults(options: TLSOptions, authorities: Authorities, native: str) -> Iterator[Fault]:
    auth = options.client_auth
    lowest = tls_words.version_number(options.min_version, _OLDEST)
    if lowest > tls_words.version_number(options.max_version, _NEWEST):
        yield Fault("maxVersion", f"it is below minVersion, which is {options.min_version or 'VersionTLS12'}")
    if authorities.error:
        yield Fault("clientAuth.caFiles", authorities.error)
    if auth.client_auth_type in _VERIFYING and not auth.ca_files:
        yield Fault("clientAuth.caFiles", f"{auth.client_auth_type} needs authorities", "name their files")
    if native and auth.client_auth_type in _UNVERIFIED:
        yield Fault("clientAuth.clientAuthType", f"{auth.client_auth_type} is not possible here: {native}")
    if native and options.curve_preferences:
        yield Fault("curvePreferences", f"curves cannot be chosen here: {native}")
    absent = [name for name in options.curve_preferences if name in tls_words.CURVES_ABSENT]
    if absent and not native:
        yield Fault("curvePreferences", f"{', '.join(absent)} is left out: OpenSSL does not have it yet", "", False)
    if lowest < _OLDEST:
        yield Fault("minVersion", "versions below TLS 1.2 are broken", "write VersionTLS12", False)


def _with_keys(entry: TlsOptionsEntry, keyring: Keyring) -> TlsOptionsEntry:
    """Sessions belong to these options as they are now."""
    identity = sha256(msgspec.msgpack.encode([entry.name, entry.lowest, entry.client_auth, entry.authorities])).digest()
    keys: tuple[Secret, ...] = ()
    if entry.tickets and not keyring.native:
        keys = tuple(Secret(_ticket_key(secret.reveal(), identity)) for secret in keyring.ticket_secrets)
    return msgspec.structs.replace(entry, ticket_keys=keys, session_name=identity.hex())


def _ticket_key(secret: str, identity: bytes) -> str:
    """80 bytes in hexadecimal: the first 16 are shown in tickets, so they come from a derivation of their own."""
    own = digest(bytes.fromhex(secret), b"ticket" + identity, sha512)
    return (digest(own, b"name", sha512)[:16] + digest(own, b"keys", sha512)).hex()
