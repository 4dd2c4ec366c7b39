"""Private keys, made and read. Nothing of them is ever put into a message."""

from __future__ import annotations

from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from josepy.jwa import ES256, ES384, RS256
from josepy.jwk import JWKEC, JWKRSA

_CURVES: Final = {"EC256": ec.SECP256R1, "EC384": ec.SECP384R1}


def make_key(kind: str) -> bytes:
    """A new private key, as PEM. ``kind``: EC256, EC384, RSA2048, RSA4096."""
    curve = _CURVES.get(kind)
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if curve is not None:
        key = ec.generate_private_key(curve())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=int(kind.removeprefix("RSA")))
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def account_key(pem: str) -> tuple[Any, Any]:
    """The key as the library takes it, and the algorithm that it signs with."""
    key = serialization.load_pem_private_key(pem.encode(), None)
    if isinstance(key, rsa.RSAPrivateKey):
        return JWKRSA(key=key), RS256
    curve = getattr(getattr(key, "curve", None), "name", "")
    return JWKEC(key=key), ES384 if curve == "secp384r1" else ES256
