"""Whether OpenSSL serves a certificate at all: it refuses weak keys and signatures, and clients know few kinds of keys.

Looked at when a certificate is read, so that its owner hears of it and not its visitors. To ask OpenSSL takes 3 ms, so
only what it may refuse is asked about; nothing is read from files here.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from edgerouter.net.tls_contexts import TlsSettings, load_pem, server_context

CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")  # RFC 8446 section 4.2.3
_ENOUGH_BITS: Final = 2048  # of an RSA key; OpenSSL's security level 2
_OLD_DIGESTS: Final = ("md5", "sha1")


def why_not(certificates: list[x509.Certificate], pem: str) -> str:
    """Why the pair can be shown to no client, and what to do; "" when it can. ``certificates``: the leaf goes first."""
    key = key_of(certificates[0])
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            return f"its key is on the curve {key.curve.name}, which TLS clients do not speak; make a key on P-256"
    elif not isinstance(key, (rsa.RSAPublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return "its key is of a kind that TLS clients do not speak; make an RSA key or one on P-256"
    return _refusal(pem) if any(map(_doubtful, certificates)) else ""


def key_of(certificate: x509.Certificate) -> Any:
    """Its public key; None for one of a kind that is not known here."""
    try:
        return certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return None


def _doubtful(certificate: x509.Certificate) -> bool:
    key = key_of(certificate)
    weak = key is None or (isinstance(key, rsa.RSAPublicKey) and key.key_size < _ENOUGH_BITS)
    return weak or _digest(certificate) in _OLD_DIGESTS


def _digest(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:  # it may be any; let OpenSSL judge
        return _OLD_DIGESTS[0]
    return "" if algorithm is None else algorithm.name


def _refusal(pem: str) -> str:
    """OpenSSL's own word, from a context as workers have them."""
    try:
        load_pem(server_context(TlsSettings()), pem)
    except (ssl.SSLError, OSError) as error:
        reason = str(getattr(error, "reason", None) or type(error).__name__).lower().replace("_", " ")
        return f"OpenSSL does not serve it: {reason}; make a key of {_ENOUGH_BITS} bits or more and sign with SHA-256"
    return ""


def place_of(key: Any, certificates: Iterable[x509.Certificate]) -> int:
    """Which of the certificates the key belongs to, -1 for none."""
    public = key.public_key()
    return next((place for place, one in enumerate(certificates) if key_of(one) == public), -1)
