"""PEM texts -> certificates with everything that is shown of them. Runs in the control process: it alone may import
cryptography. Messages say what is wrong and never quote what was read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from edgerouter.certs.usable import place_of, why_not
from edgerouter.clients.references import is_name, is_text
from edgerouter.config.types import Secret
from edgerouter.contracts.certificates import LoadedCertificate

MOST_BYTES: Final = 1024 * 1024  # of one file: chains are a few kilobytes
Mark = tuple[int, ...]


class Unreadable(ValueError):
    """A certificate or key that cannot be used; the message says why, and what to write instead."""


def text_of(value: str, what: str) -> str:
    """A PEM text as it stands, or what is in the file of that name. Raises Unreadable."""
    if is_text(value):
        return value
    try:
        with open(value, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "this is neither a file's name nor a PEM text"
        raise Unreadable(f"{what}: {_place(value)}cannot be read: {why}") from None
    if len(data) > MOST_BYTES:
        raise Unreadable(f"{what}: {_place(value)}is longer than {MOST_BYTES} bytes")
    return data.decode("latin-1")


def mark(path: str) -> Mark:
    """What changes when the file does (docs/decisions/0006)."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return (-1, getattr(error, "errno", 0) or 0)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _place(value: str) -> str:
    return f"{value} " if is_name(value) else "the file "


def read_pair(chain: str, key: str) -> LoadedCertificate:
    """A certificate with its chain and its key, from PEM texts; ``source`` is left to the caller. Raises Unreadable."""
    try:
        return _read_pair(chain, key)
    except Unreadable:
        raise
    except Exception as error:  # the library reads parts when they are asked for, and says in many ways what is damaged
        raise Unreadable(f"the certificate is damaged ({type(error).__name__}); get it again") from None


def _read_pair(chain: str, key: str) -> LoadedCertificate:
    certificates = _chain(chain)
    leaf = certificates[0]
    key_pem = _checked_key(certificates, key)
    pem = key_pem + "".join(c.public_bytes(Encoding.PEM).decode() for c in certificates)
    refusal = why_not(certificates, pem)
    if refusal:
        raise Unreadable(refusal)
    public: Any = leaf.public_key()
    kind, size = _kind(public)
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    algorithm = leaf.signature_hash_algorithm
    return LoadedCertificate(
        id=leaf.fingerprint(hashes.SHA256()).hex(),
        names=tuple(dict.fromkeys(_names(leaf))),
        pem=Secret(pem),
        source="",
        common_name=_attribute(leaf.subject, NameOID.COMMON_NAME),
        serial=f"{leaf.serial_number:x}",
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        issuer=_shown(leaf.issuer),
        subject=_shown(leaf.subject),
        version=leaf.version.value + 1,
        key_type=kind,
        key_size=size,
        signature="" if algorithm is None else f"{algorithm.name.upper()}-{kind}",
        key_fingerprint=_sha256(spki),
    )


def read_authorities(text: str) -> str:
    """The certificates in a PEM text and nothing else of it. Raises Unreadable."""
    return "".join(c.public_bytes(Encoding.PEM).decode() for c in _chain(text))


def _sha256(data: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()


def _chain(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode("latin-1", "replace"))
    except (ValueError, x509.InvalidVersion):
        raise Unreadable("it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)") from None


def _checked_key(certificates: list[x509.Certificate], text: str) -> str:
    """The key's own PEM block, if it is the first certificate's."""
    block = _key_block(text)
    try:
        key: Any = load_pem_private_key(block.encode("latin-1"), None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise Unreadable("the key is encrypted; write it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Unreadable("the key cannot be read; expected a PEM text of an RSA or EC key") from None
    place = place_of(key, certificates)
    if place > 0:
        raise Unreadable(f"the key belongs to certificate {place + 1} of the file; put that one first")
    if place < 0:
        raise Unreadable("the key does not belong to the certificate")
    return block


def _key_block(text: str) -> str:
    """The first block that is a private key: files may hold EC parameters or the certificate too."""
    begin = text.find("-----BEGIN ")
    while begin >= 0:
        label = text[begin + 11 : text.find("-----", begin + 11)]
        end = text.find(f"-----END {label}-----", begin)
        if label.endswith("PRIVATE KEY") and end >= 0:
            return text[begin : end + len(label) + 14] + "\n"
        begin = text.find("-----BEGIN ", begin + 11)
    raise Unreadable("it holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")


def _names(leaf: x509.Certificate) -> Iterator[str]:
    """DNS names and addresses, the common name first where it is a name (as Traefik does)."""
    common = _attribute(leaf.subject, NameOID.COMMON_NAME).lower()
    if "." in common and " " not in common and common.isascii():
        yield common.removesuffix(".")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return
    for name in names.get_values_for_type(x509.DNSName):
        yield name.lower().removesuffix(".")
    for address in names.get_values_for_type(x509.IPAddress):
        yield str(address)


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def _shown(name: x509.Name) -> dict[str, str]:
    parts = {
        "commonName": NameOID.COMMON_NAME,
        "organization": NameOID.ORGANIZATION_NAME,
        "country": NameOID.COUNTRY_NAME,
    }
    return {word: value for word, oid in parts.items() if (value := _attribute(name, oid))}


def _kind(key: Any) -> tuple[str, int]:
    for cls, word in ((rsa.RSAPublicKey, "RSA"), (ec.EllipticCurvePublicKey, "ECDSA"), (dsa.DSAPublicKey, "DSA")):
        if isinstance(key, cls):
            return word, int(key.key_size)
    return type(key).__name__.removesuffix("PublicKey"), 0
