"""The whole error tree. Every failure of an exchange is one of these classes; nothing else lives here.

An error says whose fault it is (``side``), what the client is told (``status``), why (``cause``: one word of the
enumeration that stands in access logs, metrics and responses) and whether sending the request again is safe
(``retry``, see DESIGN "Retry and truth").
"""

from __future__ import annotations

from typing import Final

NEVER: Final = "never"  # some of the request may have been acted upon
REUSED_ONLY: Final = "reused_only"  # safe only on a pooled connection that gave no byte of response
ALWAYS: Final = "always"  # nothing of the request was written

DOWNSTREAM: Final = "downstream"
UPSTREAM: Final = "upstream"
INTERNAL: Final = "internal"


class EdgeError(Exception):
    """The root: ``status`` is the HTTP status for the client, ``cause`` the named reason."""

    status: int = 500
    side: str = INTERNAL
    retry: str = NEVER
    cause: str = "INTERNAL"

    def __init__(self, message: str = "", cause: str = "") -> None:
        super().__init__(message)
        self.message = message
        if cause:
            self.cause = cause


class ConfigurationError(EdgeError):
    """The static configuration cannot be used; ``message`` gives place, expectation and remedy. Exit code 2."""

    cause = "BAD_CONFIG"


class DownstreamError(EdgeError):
    """The client's doing."""

    side = DOWNSTREAM
    status = 400
    cause = "BAD_REQUEST"


class BadRequest(DownstreamError):
    """The bytes are no request that may be forwarded; ``cause`` is ``BAD_REQUEST_<WHY>`` (RFC 9112)."""


class UnsupportedVersion(BadRequest):
    """A request line with a version other than HTTP/1.0 and HTTP/1.1 (RFC 9110 section 15.6.6)."""

    status = 505
    cause = "BAD_REQUEST_VERSION"


class HeadTooLarge(DownstreamError):
    """Head longer than the entry point allows, or too many header lines (RFC 6585 section 5)."""

    status = 431
    cause = "HEAD_TOO_LARGE"


class BodyTooLarge(DownstreamError):
    """Request body beyond the limit that a middleware set."""

    status = 413
    cause = "BODY_TOO_LARGE"


class RequestTimeout(DownstreamError):
    """The client did not send its request in time."""

    status = 408
    cause = "REQUEST_TIMEOUT"


class NotImplementedMethod(DownstreamError):
    """CONNECT, or a transfer coding or expectation that is not supported."""

    status = 501
    cause = "NOT_IMPLEMENTED"


class BadHello(DownstreamError):
    """The first bytes of a TLS connection are no ClientHello that can be answered (RFC 8446 section 4.1.2)."""

    cause = "BAD_CLIENT_HELLO"


class Misdirected(DownstreamError):
    """The request belongs to TLS options that this connection was not opened with (RFC 9110 section 15.5.20)."""

    status = 421
    cause = "MISDIRECTED_TLS"


class ClientGone(DownstreamError):
    """The client left before the response was complete."""

    status = 499
    cause = "CLIENT_GONE"


class ClientStalled(DownstreamError):
    """The client took nothing of its response for too long."""

    status = 499
    cause = "CLIENT_STALLED"


class UpstreamError(EdgeError):
    """The server's doing."""

    side = UPSTREAM
    status = 502
    cause = "UPSTREAM_ERROR"


class ConnectRefused(UpstreamError):
    """No connection could be made: refused, unreachable, name not found."""

    retry = ALWAYS
    cause = "CONNECT_REFUSED"


class ConnectTimeout(UpstreamError):
    """No connection within the dial timeout."""

    status = 504
    retry = ALWAYS
    cause = "CONNECT_TIMEOUT"


class UpstreamReset(UpstreamError):
    """The connection ended before the response was complete."""

    retry = REUSED_ONLY
    cause = "UPSTREAM_RESET"


class BadResponse(UpstreamError):
    """The bytes are no response that may be forwarded."""

    cause = "BAD_RESPONSE"


class ResponseTimeout(UpstreamError):
    """No response head, or no further byte of the body, in time."""

    status = 504
    cause = "RESPONSE_TIMEOUT"


class IdleTimeout(UpstreamError):
    """No byte of a body came from either side for longer than the router allows."""

    status = 504
    cause = "IDLE_TIMEOUT"


class TotalTimeout(UpstreamError):
    """The exchange took longer than the router allows."""

    status = 504
    cause = "TOTAL_TIMEOUT"


class UntrustedUpstream(UpstreamError):
    """TLS to the server failed, e.g. its certificate is not trusted."""

    status = 500
    retry = ALWAYS
    cause = "UPSTREAM_TLS"


class NoRoute(EdgeError):
    """No router matched."""

    status = 404
    cause = "NO_ROUTE"
    reference = ""  # what ``edgerouter explain`` takes to say why, "" for none


class NoServer(EdgeError):
    """The service has no server, or none that is up."""

    status = 503
    cause = "NO_SERVER"


class Asleep(NoServer):
    """The router's workloads are all stopped, starting or unhealthy."""

    cause = "ASLEEP"


class BreakerOpen(EdgeError):
    """A circuit breaker is tripped."""

    status = 503
    cause = "BREAKER_OPEN"


class ShuttingDown(EdgeError):
    """The router was told to end, and the grace period (``graceTimeOut``) was over before the exchange."""

    status = 503
    cause = "SHUTTING_DOWN"


class BadConfig(EdgeError):
    """The router is defined but broken: it is answered, never skipped (fail closed)."""

    cause = "BAD_CONFIG"


class MiddlewareFailed(EdgeError):
    """A middleware raised an exception."""

    cause = "MIDDLEWARE_FAILED"
