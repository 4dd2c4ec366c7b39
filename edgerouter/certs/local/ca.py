"""The built-in authority: a root, made once and kept in the resolver's storage, and certificates signed by it."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import threading
import time
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgerouter.certs.acme.authority import Issued
from edgerouter.certs.acme.keys import make_key
from edgerouter.certs.acme.storage import Storage, StorageError, instance
from edgerouter.certs.acme.wanted import Names

ROOT_LIFE: Final = datetime.timedelta(days=3650)
_BACK: Final = datetime.timedelta(hours=1)  # clocks of clients may be late
_LOCK_SECONDS: Final = 30.0
_MAKING: Final = threading.Lock()  # the storage's lock tells processes apart, but not their threads


class LocalAuthority:
    """``certificate`` and ``key`` of the root, as PEM."""

    def __init__(self, certificate: str, key: str) -> None:
        self.certificate = certificate
        self._root = x509.load_pem_x509_certificate(certificate.encode())
        self._key: Any = load_pem_private_key(key.encode(), None)

    def issue(self, names: Names, life: datetime.timedelta, now: datetime.datetime) -> Issued:
        """A certificate for DNS names and addresses; browsers want at most 398 days."""
        key = make_key("EC256")
        own: Any = load_pem_private_key(key, None)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = _builder(_name(names[0][:64]), self._root.subject, own.public_key(), now, life)
        certificate = (
            builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(_authority_key(self._root), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain = certificate.public_bytes(Encoding.PEM).decode() + self.certificate
        return Issued(names, chain, key.decode())


def open_authority(storage: Storage, resolver: str) -> LocalAuthority:
    """The root that is kept, or a new one; however many routers ask, they get the same. Raises StorageError."""
    place = f"{resolver}/root"
    with _MAKING:
        kept = storage.get(place) or _made(storage, place)
    try:
        found = json.loads(kept)
        return LocalAuthority(found["certificate"], found["key"])
    except (ValueError, KeyError, TypeError):
        raise StorageError(f"{place} in the storage is no root certificate; delete it, and trust the new one") from None


def _made(storage: Storage, place: str) -> str:
    """Make the root, or wait until another router has."""
    kept = None
    end = time.monotonic() + _LOCK_SECONDS
    while kept is None:
        if storage.lock(place, instance(), _LOCK_SECONDS):
            try:
                _keep(storage, place)
            finally:
                storage.unlock(place, instance())
        elif time.monotonic() > end:
            raise StorageError("another router makes the root certificate, and has not come to an end")
        else:
            time.sleep(0.1)
        kept = storage.get(place)
    return kept


def root_of(storage: Storage, resolver: str) -> str:
    """The root's certificate alone, for those who are to trust it. Raises StorageError also when there is none yet: one
    that no router uses must not be trusted by mistake."""
    if storage.get(f"{resolver}/root") is None:
        raise StorageError(f"there is no root of {resolver} yet: start the router first, or run this where it runs")
    return open_authority(storage, resolver).certificate


def _keep(storage: Storage, place: str) -> None:
    if storage.get(place) is None:
        certificate, key = _root(datetime.datetime.now(datetime.UTC))
        storage.put(place, json.dumps({"certificate": certificate, "key": key}))


def _root(now: datetime.datetime) -> tuple[str, str]:
    key = make_key("EC256")
    own: Any = load_pem_private_key(key, None)
    name = _name(f"EdgeRouter local authority of {socket.gethostname()}"[:64])
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)  # signatures, of all kinds
    certificate = (
        _builder(name, name, own.public_key(), now, ROOT_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .sign(own, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode(), key.decode()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    life: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACK)
        .not_valid_after(now + life)
    )


def _authority_key(root: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    known = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
