"""The words of TLS settings: Go's names of versions, cipher suites and curves, as Traefik's configuration has them, and
what they are called elsewhere. Tables and look-ups; nothing here speaks TLS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from edgerouter.config.fit import closest

# Numbers of the protocol versions on the wire (RFC 8446 section 4.1.2).
VERSIONS: Final = {"VersionTLS10": 0x0301, "VersionTLS11": 0x0302, "VersionTLS12": 0x0303, "VersionTLS13": 0x0304}

# Cipher suites of TLS 1.2 and below -> OpenSSL's names. Those of TLS 1.3 cannot be chosen, in Go neither.
SUITES: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
SUITES_13: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
# What is offered when nobody chooses: forward secret, authenticated encryption, nothing else.
DEFAULT_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
# The best of what TLS 1.1 and 1.0 have, added where somebody asks for these versions: the above is of TLS 1.2.
OLD_CIPHERS: Final = ":".join(f"ECDHE-{key}-AES{bits}-SHA" for bits in (128, 256) for key in ("ECDSA", "RSA"))
OLDEST_SAFE: Final = VERSIONS["VersionTLS12"]

CURVES: Final = {"X25519": "X25519", "CurveP256": "P-256", "CurveP384": "P-384", "CurveP521": "P-521"}
# Known to Go, not to the OpenSSL that Python is built with.
CURVES_ABSENT: Final = ("X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024")


def version_number(name: str, otherwise: int) -> int:
    """The number of ``VersionTLS12`` and the like, in any case. Raises ValueError that says what is expected."""
    if not name:
        return otherwise
    found = {known.lower(): number for known, number in VERSIONS.items()}.get(name.lower())
    if found is None:
        raise ValueError(f"{name!r} is no TLS version; write one of {', '.join(VERSIONS)}")
    return found


def ciphers(names: Iterable[str], lowest: int = OLDEST_SAFE) -> str:
    """OpenSSL's list for Go's names; for none the default one, which has suites for versions from ``lowest`` on. Raises
    ValueError that names the nearest right one."""
    chosen = [_suite(name) for name in names if name not in SUITES_13]
    default = DEFAULT_CIPHERS if lowest >= OLDEST_SAFE else f"{DEFAULT_CIPHERS}:{OLD_CIPHERS}"
    return ":".join(dict.fromkeys(chosen)) or default


def serves_old_versions(ciphers: str) -> bool:
    """True when some suite of OpenSSL's list can be spoken below TLS 1.2."""
    return any(name.endswith("-SHA") for name in ciphers.split(":"))


def _suite(name: str) -> str:
    return _look_up(name, SUITES, "cipher suite")


def curves(names: Iterable[str]) -> str:
    """The same for curves, "" for none; those that OpenSSL does not have yet are left out. Raises ValueError."""
    listed = list(names)
    known = [_look_up(name, CURVES, "curve") for name in listed if name not in CURVES_ABSENT]
    if listed and not known:
        raise ValueError(f"none of the curves {', '.join(listed)} is there; add X25519 or CurveP256")
    return ":".join(dict.fromkeys(known))


def _look_up(name: str, table: Mapping[str, str], what: str) -> str:
    found = table.get(name)
    if found is None:
        hint = closest(name, table) or f"write one of {', '.join(table)}"
        raise ValueError(f"unknown {what} {name!r}; {hint}")
    return found
