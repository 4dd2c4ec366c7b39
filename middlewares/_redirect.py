"""What the redirecting middlewares share: the URL that the client used, and the response that sends it elsewhere."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from edgerouter.http.message import Request, Response

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_SECURE: Final = {"ws": "http", "wss": "https"}


def split_authority(authority: str) -> tuple[str, str]:
    """Return host (IPv6 in brackets) and port, "" where there is none."""
    host, colon, port = authority.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.endswith("]")):
        return host, port
    return authority, ""


def client_scheme(request: Request) -> str:
    """Return http or https: X-Forwarded-Proto of a trusted proxy, else that of the connection."""
    proto = request.headers.get("X-Forwarded-Proto") or request.scheme
    return _SECURE.get(proto, proto)


def make_url(scheme: str, host: str, port: str, target: str) -> str:
    """Return the URL; the scheme's own port is left out."""
    shown = "" if not port or _DEFAULT_PORTS.get(scheme) == port else f":{port}"
    return f"{scheme}://{host}{shown}{'' if target == '*' else target}"


def client_url(request: Request) -> str:
    """Return the URL that the client asked for, as far as the edits of earlier steps left it."""
    host, port = split_authority(request.authority)
    return make_url(client_scheme(request), host, port, request.target_text())


def redirect(request: Request, location: str, permanent: bool) -> Response:
    """Make the response: 302 or 301 for GET, 307 or 308 (method and body are kept) for all others."""
    if request.method == "GET":
        status = HTTPStatus.MOVED_PERMANENTLY if permanent else HTTPStatus.FOUND
    else:
        status = HTTPStatus.PERMANENT_REDIRECT if permanent else HTTPStatus.TEMPORARY_REDIRECT
    response = Response.text(int(status), status.phrase)
    response.headers.set("Location", location)
    return response
