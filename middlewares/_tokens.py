"""JSON Web Tokens (RFC 7519): which signatures and claims make one good. What a good one lets pass is others' matter.

joserfc does the cryptography. It is imported in a thread before a table that needs it is served: it takes 0.2 s and
12 MB that workers without tokens do not pay (docs/decisions/0010). A token that was found good is remembered by its
hash for a minute.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import os
import time
import warnings
from collections import OrderedDict
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import msgspec

SECRET_ALGORITHMS: Final = ("HS256", "HS384", "HS512")
PUBLIC_ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
    *("EdDSA", "Ed25519"),
)
warnings.filterwarnings("ignore", "EdDSA is deprecated")  # many tokens still say so
# What checking any token imports; a test says that nothing is left for the first one.
_LIBRARIES: Final = (
    *("joserfc.jwk", "joserfc.jwt", "joserfc.errors"),
    "cryptography.hazmat.backends.openssl.backend",
)
_LARGE: Final = "cryptography.hazmat.bindings._rust"
_LONGEST: Final = 16384  # characters of a token
_REMEMBERED: Final = 4096
_SECONDS: Final = 60


class BadToken(Exception):
    """The token does not count; the text says why, and does not quote it."""


class Rules(msgspec.Struct, frozen=True):
    """``leeway`` in seconds. ``required``: claims and the values that they must have."""

    algorithms: tuple[str, ...]
    issuer: str = ""
    audience: tuple[str, ...] = ()
    leeway: int = 30
    needs_expiry: bool = True
    required: dict[str, str] = {}


class Key(msgspec.Struct, frozen=True):
    """``key`` is joserfc's; ``kid`` its name, "" for none. ``secret``: for HS algorithms, and for no others."""

    key: Any
    kid: str = ""
    secret: bool = False


def library(name: str) -> Any:
    """A module of joserfc, imported when it is needed."""
    return import_module(f"joserfc.{name}")


def prepare() -> None:
    """Import what checks tokens. The large library is loaded by a call during which other threads go on; importing it
    then takes 1 ms less in one piece, 10 ms where it must be read from disk first."""
    place = find_spec(_LARGE)
    if place is not None and place.origin:
        load = ctypes.CDLL(None).dlopen
        load.restype, load.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
        load(os.fsencode(place.origin), os.RTLD_NOW)
    for name in _LIBRARIES:
        import_module(name)


def keys_of_secret(secret: str) -> list[Key]:
    """Raises ValueError."""
    return [Key(library("jwk").OctKey.import_key(secret), "", True)]


def keys_of_pem(text: str) -> list[Key]:
    """A public key or certificate in PEM form. Raises ValueError."""
    for kind in ("RSAKey", "ECKey", "OKPKey"):
        try:
            return [Key(getattr(library("jwk"), kind).import_key(text))]
        except (ValueError, TypeError, library("errors").JoseError):
            continue
    raise ValueError("no public key in PEM form")


def keys_of_set(data: bytes) -> list[Key]:
    """A JSON Web Key Set (RFC 7517); keys that are not for signatures, or of unknown kinds, are left out. Raises
    ValueError."""
    try:
        listed = msgspec.json.decode(data)["keys"]
        given = [item for item in listed if isinstance(item, dict) and item.get("use", "sig") == "sig"]
    except (msgspec.DecodeError, KeyError, TypeError):
        raise ValueError("no JSON Web Key Set") from None
    found = []
    for item in given:
        if item.get("kty") == "oct":  # a secret has no place in a list that is published
            continue
        try:
            found.append(Key(library("jwk").import_key(item), str(item.get("kid", ""))))
        except (ValueError, TypeError, library("errors").JoseError):
            continue
    if not found:
        raise ValueError("a JSON Web Key Set without a key that can check signatures")
    return found


class TokenCheck:
    """Finds a token good or raises BadToken."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._good: OrderedDict[bytes, tuple[float, list[Key], dict[str, Any]]] = OrderedDict()

    def remembered(self, token: str, keys: list[Key] | None) -> dict[str, Any] | None:
        """The claims of a token that was found good with these keys a short time ago."""
        known = self._good.get(sha256(token.encode("latin-1", "replace")).digest())
        if known is None or known[1] is not keys or time.time() >= known[0]:
            return None
        return known[2]

    def names_key(self, token: str, keys: list[Key]) -> bool:
        """True when one of the keys may be the one that the token was signed with."""
        return bool(_candidates(_header(token), keys))

    def check(self, token: str, keys: list[Key]) -> dict[str, Any]:
        """Return the claims. Raises BadToken."""
        if len(token) > _LONGEST:
            raise BadToken(f"it is longer than {_LONGEST} characters")
        header = _header(token)
        if header["alg"] not in self._rules.algorithms:
            raise BadToken("its algorithm is not allowed")
        claims = self._verified(token, _candidates(header, keys))
        self._judge(claims)
        ends = time.time() + _SECONDS
        if isinstance(claims.get("exp"), int | float):
            ends = min(ends, float(claims["exp"]) + self._rules.leeway)
        self._good[sha256(token.encode()).digest()] = (ends, keys, claims)
        if len(self._good) > _REMEMBERED:
            self._good.popitem(last=False)
        return claims

    def _verified(self, token: str, keys: list[Key]) -> dict[str, Any]:
        errors = library("errors")
        for key in keys:
            try:
                algorithms = [name for name in self._rules.algorithms if (name in SECRET_ALGORITHMS) == key.secret]
                made = library("jwt").decode(token, key.key, algorithms=algorithms)
                return dict(made.claims)
            except (errors.JoseError, ValueError, TypeError):
                continue
        raise BadToken("no key that is known made its signature" if keys else "its key is not known")

    def _judge(self, claims: dict[str, Any]) -> None:
        rules = self._rules
        wanted: dict[str, Any] = {"exp": {"essential": rules.needs_expiry}}
        if rules.issuer:
            wanted["iss"] = {"essential": True, "value": rules.issuer}
        if rules.audience:
            wanted["aud"] = {"essential": True, "values": list(rules.audience)}
        registry = library("jwt").JWTClaimsRegistry(leeway=rules.leeway, **wanted)
        try:
            registry.validate(claims)
        except (library("errors").JoseError, ValueError, TypeError) as error:
            raise BadToken(f"its claims do not hold: {error}") from None
        for name, value in rules.required.items():
            if not holds(claims.get(name), value):
                raise BadToken(f"its claim {name} does not hold what is required")


def holds(claim: Any, value: str) -> bool:
    """A claim has the value, or is a list with it, or (scope) words with it."""
    if isinstance(claim, list):
        return value in [text_of(item) for item in claim]
    return text_of(claim) == value or (isinstance(claim, str) and value in claim.split())


def text_of(claim: Any) -> str:
    """A claim as a header field can hold it; "" for what is absent, or more than a line."""
    if isinstance(claim, list) and all(isinstance(item, str) for item in claim):
        text = ",".join(claim)
    elif claim is None:
        text = ""
    else:
        text = claim if isinstance(claim, str) else msgspec.json.encode(claim).decode()
    return text if text.isprintable() else ""


def _header(token: str) -> dict[str, Any]:
    part, _, rest = token.partition(".")
    try:
        if rest.count(".") != 1:
            raise ValueError
        header = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise BadToken("it is no signed token") from None
    if not isinstance(header, dict) or not isinstance(header.get("alg"), str):
        raise BadToken("it is no signed token")
    return header


def _candidates(header: dict[str, Any], keys: list[Key]) -> list[Key]:
    """Keys of the token's name; all, when it or they have none."""
    kid = header.get("kid")
    secret = header.get("alg") in SECRET_ALGORITHMS
    return [key for key in keys if key.secret == secret and (kid is None or not key.kid or key.kid == kid)]
