"""The one place where an error becomes a response. Bodies as Traefik's users know them; never an upstream's address.

Clients that accept JSON get the cause as well, so that a person who is asked "why 502?" can answer.
"""

from __future__ import annotations

from typing import Final

from edgerouter.errors import EdgeError, MiddlewareFailed, NoRoute
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response

_TEXTS: Final = {
    400: "Bad Request",
    404: "404 page not found\n",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    499: "Client Closed Request",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "no available server\n",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}
_LOOKED_AT: Final = 65536  # bytes of a head that was refused


def as_edge_error(error: Exception) -> EdgeError:
    """What a plugin raised, as an error of the tree."""
    if isinstance(error, EdgeError):
        return error
    return MiddlewareFailed(f"{type(error).__name__}: {error}")


def failure_response(error: EdgeError, request: Request) -> Response:
    """Build the response for ``error``."""
    reference = error.reference if isinstance(error, NoRoute) else ""
    wants_json = _wants_json(request.headers)
    return _told(wants_json, error.status, error.cause, _TEXTS.get(error.status, "Error"), reference)


def refusal_response(error: EdgeError, head: bytes) -> Response:
    """The response to bytes that are no request. Nothing in ``head`` is believed but a wish to be told the cause."""
    return _told(_asks_for_json(head), error.status, error.cause, _TEXTS.get(error.status, "Error"))


def answer(exchange: Exchange, status: int, cause: str, detail: str, text: str = "") -> Response:
    """A middleware's own refusal: note the cause and the sentence that explains it, and answer as failures are.

    ``text`` is the body for clients that do not ask for JSON; the status's usual one when empty.
    """
    exchange.cause = cause
    exchange.detail = detail
    return _told(_wants_json(exchange.request.headers), status, cause, text or _TEXTS.get(status, "Error"))


def _told(wants_json: bool, status: int, cause: str, text: str, reference: str = "") -> Response:
    if wants_json:
        more = f',"explain":"{reference}"' if reference else ""
        response = Response.text(status, f'{{"status":{status},"cause":"{cause}"{more}}}\n', "application/json")
    else:
        response = Response.text(status, f"{text}why: edgerouter explain {reference}\n" if reference else text)
    response.cause = cause
    return response


def _wants_json(headers: Headers) -> bool:
    accept = headers.get("Accept")
    return accept is not None and ("application/json" in accept or "application/problem+json" in accept)


def _asks_for_json(head: bytes) -> bool:
    lines = head[:_LOOKED_AT].partition(b"\r\n\r\n")[0].lower()
    start = lines.find(b"\naccept:")
    if start < 0:
        return False
    end = lines.find(b"\n", start + 1)
    accept = lines[start:end] if end > 0 else lines[start:]
    return b"application/json" in accept or b"application/problem+json" in accept
