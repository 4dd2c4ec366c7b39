"""The numbers that stand for methods, protocols, TLS versions and ciphers in the counters' memory. Tables only.

A number, once given, keeps its meaning: the writer (worker) and the reader (control process) share this file, and
counters outlive both. New names go to the end. Compiled with the writer.
"""

from __future__ import annotations

from typing import Final

OTHER_METHOD: Final = "EXTENSION_METHOD"
METHODS: Final[list[str]] = [
    OTHER_METHOD,
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
]

HTTP: Final = 0
WEBSOCKET: Final = 1
SSE: Final = 2
GRPC: Final = 3
GRPC_WEB: Final = 4
PROTOCOLS: Final[list[str]] = ["http", "websocket", "sse", "grpc", "grpc-web"]

TLS_VERSIONS: Final[list[str]] = ["", "1.0", "1.1", "1.2", "1.3", "unknown"]

# IANA names behind the names that OpenSSL gives; number 0 is "no TLS", 1 any cipher that is not listed.
_CIPHERS: Final[list[tuple[str, str]]] = [
    ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    ("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    ("ECDHE-RSA-AES128-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
    ("ECDHE-ECDSA-AES128-SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    ("ECDHE-ECDSA-AES256-SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    ("ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    ("AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    ("AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    ("AES128-SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    ("AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"),
    ("AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA"),
]
CIPHERS: Final[list[str]] = ["", "unknown"] + [iana for _, iana in _CIPHERS]


def _numbers(names: list[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


METHOD_IDS: Final[dict[str, int]] = _numbers(METHODS)
CIPHER_IDS: Final[dict[str, int]] = {
    **_numbers(CIPHERS),
    **{openssl: number for number, (openssl, _) in enumerate(_CIPHERS, 2)},
}
TLS_VERSION_IDS: Final[dict[str, int]] = {
    **_numbers(TLS_VERSIONS),
    "TLSv1": 1,
    "TLSv1.1": 2,
    "TLSv1.2": 3,
    "TLSv1.3": 4,
}


def tls_number(version: str, cipher: str) -> int:
    """Cipher's number * 16 + version's number; 0 without TLS."""
    if not version:
        return 0
    return CIPHER_IDS.get(cipher, 1) * 16 + TLS_VERSION_IDS.get(version, 5)
