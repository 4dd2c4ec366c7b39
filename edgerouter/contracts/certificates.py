"""Certificates as they travel from the store to the build and on to the view. Shapes only; keys are secrets."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgerouter.config.types import Problem, Secret
from edgerouter.contracts.snapshot import Snapshot

CHALLENGE_STORE = "acme-tls/1"  # the store of certificates that answer TLS-ALPN-01 challenges and nothing else


class CertificateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says of itself, as stored and as shown. Times are Unix seconds."""

    common_name: str = ""
    serial: str = ""
    not_before: float = 0.0
    not_after: float = 0.0
    issuer: dict[str, str] = {}
    subject: dict[str, str] = {}
    version: int = 3
    key_type: str = ""
    key_size: int = 0
    signature: str = ""
    key_fingerprint: str = ""


class LoadedCertificate(CertificateFacts, frozen=True, kw_only=True):
    """``id`` is the SHA-256 fingerprint in hexadecimal. ``names`` are DNS names in lower case and IP addresses; ``pem``
    holds key and chain. ``source`` says where it comes from in words."""

    id: str
    names: tuple[str, ...]
    pem: Secret
    source: str
    provider: str = ""
    challenge: bool = False
    generated: bool = False


class BrokenCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """One that was given and cannot be served: ``error`` says why. ``kept``: its last good copy goes on serving."""

    source: str
    provider: str = ""
    error: str = ""
    kept: bool = False


class Authorities(msgspec.Struct, frozen=True):
    """The authorities of some TLS options: PEM texts of their ``caFiles``, or why they cannot be used."""

    pem: str = ""
    error: str = ""


class Keyring(msgspec.Struct, frozen=True, kw_only=True):
    """What the build needs to know of TLS beside the configuration. ``default`` is served where no name fits;
    ``authorities`` are by the options' qualified name. ``ticket_secrets`` are the newest first; ``native`` is "" when
    Python's ``ssl`` can be given ticket keys and curves, else why not. ``on_demand``: entry points where certificates
    may be had on demand, and the seconds that connections wait for one. ``transports``: qualified name of those with
    files -> the version of what stands in them."""

    certificates: tuple[LoadedCertificate, ...] = ()
    default: LoadedCertificate | None = None
    broken: tuple[BrokenCertificate, ...] = ()
    authorities: dict[str, Authorities] = {}
    problems: tuple[Problem, ...] = ()
    ticket_secrets: tuple[Secret, ...] = ()
    native: str = ""
    now: float = 0.0
    on_demand: dict[str, float] = {}
    transports: dict[str, str] = {}


class CertificateSource:
    """Where certificates come from; this one has none. Both methods block and are called in a thread, one at a time."""

    def load(self, snapshots: Mapping[str, Snapshot]) -> Keyring:
        """Read what the snapshots (by provider) name."""
        return Keyring()

    def changed(self) -> bool:
        """True when ``load`` would give something else for the same snapshots."""
        return False
