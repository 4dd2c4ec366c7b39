"""What an authority asks for, and what it is shown: TLS-ALPN-01, which the library no longer has."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any, Final

from acme import challenges
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

_ACME_IDENTIFIER: Final = ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # id-pe-acmeIdentifier, RFC 8737 section 6.1

HTTP, TLS, DNS = "http-01", "tls-alpn-01", "dns-01"


@challenges.ChallengeResponse.register
class TLSALPN01Response(challenges.KeyAuthorizationChallengeResponse):
    """The answer to TLS-ALPN-01: an empty object."""

    typ = TLS

    def to_partial_json(self) -> dict[str, Any]:
        """RFC 8555 section 7.5.1: ready, with nothing else to say."""
        return {}


@challenges.Challenge.register
class TLSALPN01(challenges.KeyAuthorizationChallenge):
    """RFC 8737."""

    response_cls = TLSALPN01Response
    typ = response_cls.typ

    def validation(self, account_key: Any, **kwargs: Any) -> str:
        """The key authorization; the certificate holds its hash."""
        return self.key_authorization(account_key)


def challenge_certificate(name: str, authorization: str) -> tuple[str, str]:
    """Return certificate and key (PEM) that answer for ``name`` (RFC 8737 section 3)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    now = datetime.datetime.now(datetime.UTC)
    # An OCTET STRING (04) of 32 bytes (20) in DER: small enough to be written by hand.
    proof = b"\x04\x20" + hashlib.sha256(authorization.encode()).digest()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(_ACME_IDENTIFIER, proof), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()
