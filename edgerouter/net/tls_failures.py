"""Why TLS with a server failed, in words: OpenSSL's reasons -> an error with a cause and what to do about it."""

from __future__ import annotations

import ssl
from typing import Final

from edgerouter.errors import UntrustedUpstream

UNTRUSTED: Final = "UPSTREAM_CERT_UNTRUSTED"
EXPIRED: Final = "UPSTREAM_CERT_EXPIRED"
WRONG_NAME: Final = "UPSTREAM_CERT_NAME"
NOT_TLS: Final = "UPSTREAM_NOT_TLS"
REFUSED: Final = "UPSTREAM_TLS_REFUSED"

# X509_V_ERR_* of OpenSSL's x509_vfy.h
_VERIFY: Final = {
    **dict.fromkeys((2, 18, 19, 20, 21), (UNTRUSTED, "add its authority to rootCAs of the serversTransport")),
    9: (EXPIRED, "its clock or this machine's is wrong, or the certificate is from the future"),
    10: (EXPIRED, "renew it"),
    **dict.fromkeys((66, 67, 68), (UNTRUSTED, "give it a key of 2048 bits or more, signed with SHA-256")),
    **dict.fromkeys((62, 63, 64), (WRONG_NAME, "write the name that it bears into serverName of the serversTransport")),
}
_REASONS: Final = {
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"),
        (NOT_TLS, "the server does not speak TLS on this port; write http:// in its url"),
    ),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (
        REFUSED,
        "the server wants a certificate of the router: give one in certificates of the serversTransport",
    ),
    "SSLV3_ALERT_HANDSHAKE_FAILURE": (
        REFUSED,
        "the server wants a certificate of the router (certificates of the serversTransport), or it has no cipher "
        "suite in common with it (cipherSuites, minVersion)",
    ),
    **dict.fromkeys(
        (
            *("TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
            *("SSLV3_ALERT_CERTIFICATE_REVOKED", "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
            *("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "TLSV1_ALERT_ACCESS_DENIED"),
        ),
        (
            REFUSED,
            "the server refuses the router's certificate: see certificates of the serversTransport, and whom it trusts",
        ),
    ),
    "TLSV1_UNRECOGNIZED_NAME": (
        REFUSED,
        "the server has no certificate for the name that it was asked for: write one that it knows into serverName of "
        "the serversTransport",
    ),
    **dict.fromkeys(
        ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"),
        (REFUSED, "server and router have no TLS version in common: see minVersion and maxVersion"),
    ),
}


_CUT: Final = (
    "the server closed the connection within the TLS handshake: it may want a certificate of the router (certificates "
    "of the serversTransport), or another TLS version (minVersion, maxVersion)"
)


def handshake_cut() -> UntrustedUpstream:
    """The server said nothing and closed."""
    return UntrustedUpstream(_CUT, REFUSED)


def upstream_failure(error: ssl.SSLError) -> UntrustedUpstream:
    """The same as an error of the tree, with a cause and a sentence that says what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause, advice = _VERIFY.get(error.verify_code, ("UPSTREAM_TLS", "look at the server's certificate"))
        return UntrustedUpstream(f"the server's certificate was refused: {error.verify_message}; {advice}", cause)
    reason = error.reason or ""
    cause, advice = _REASONS.get(reason, ("UPSTREAM_TLS", "look at the server's TLS settings"))
    what = reason.lower().replace("_", " ") or "the handshake failed"
    return UntrustedUpstream(f"{what}: {advice}", cause)


def check_peer_names(connection: ssl.SSLObject, wanted: list[tuple[str, str]]) -> None:
    """Make sure that the server's certificate bears one of the names, as (kind, name) in ``ssl``'s words (``DNS``,
    ``URI`` ...). Raises UntrustedUpstream."""
    certificate = connection.getpeercert() or {}
    borne = set(certificate.get("subjectAltName", ()))
    if not any(name in borne for name in wanted):
        names = " or ".join(name for _, name in wanted)
        raise UntrustedUpstream(f"the server's certificate does not bear {names}", WRONG_NAME)
