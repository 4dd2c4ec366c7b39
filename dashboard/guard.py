"""What every answer of the API goes through: methods, the Host check, errors as JSON, headers for browsers."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from edgerouter.control.view import Picture, View
from edgerouter.dashboard.shapes import encode
from edgerouter.errors import EdgeError

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
}
_HOST_CALL: Final = re.compile(r"\bHost(?:SNI)?\(([^)]*)\)")
_TEXT: Final = re.compile(r"[`\"']([^`\"']+)[`\"']")


def answer(value: object, status: int = 200, **headers: str) -> web.Response:
    """JSON; never cached, since it is the present."""
    fields = {"Cache-Control": "no-store", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return web.Response(body=encode(value), status=status, content_type="application/json", headers=fields)


def refuse(status: int, message: str, **headers: str) -> web.Response:
    """``{"message": ...}``."""
    return answer({"message": message}, status, **headers)


class Hosts:
    """Which Host fields are believed: another site's page that had its name point here must read nothing.

    (DNS rebinding: the browser then sends that name.) IP addresses, localhost, and hosts that some router names.
    """

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._seen: View | None = None
        self._named: frozenset[str] = frozenset()

    def allowed(self, field: str) -> bool:
        """``field`` is the Host field as received, with its port."""
        host = host_of(field)
        if host == "localhost" or host.endswith(".localhost") or _is_address(host):
            return True
        view = self._picture.view
        if self._seen is None or view.routers is not self._seen.routers:
            self._named = named_hosts(view)
            self._seen = view
        return host in self._named or f"*.{host.partition('.')[2]}" in self._named


def host_of(field: str) -> str:
    """Lower case, without port, brackets and trailing dot."""
    host = field.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") == 1:
        host = host.partition(":")[0]
    return host.rstrip(".")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def named_hosts(view: View) -> frozenset[str]:
    """Every host that stands in a ``Host(...)`` of a router that is served."""
    found: set[str] = set()
    for router in view.routers.values():
        if router.key >= 0 and "Host" in router.rule:
            for arguments in _HOST_CALL.findall(router.rule):
                found.update(host_of(text) for text in _TEXT.findall(arguments))
    return frozenset(found)


def guard(picture: Picture) -> Middleware:
    """The aiohttp middleware. /metrics is open to any Host: scrapers call the router by names that no rule has."""
    hosts = Hosts(picture)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _checked(request, handler, hosts)
        for name, text in _HEADERS.items():
            response.headers.setdefault(name, text)
        return response

    return check


async def _checked(request: web.Request, handler: Handler, hosts: Hosts) -> web.StreamResponse:
    if request.method not in ("GET", "HEAD"):
        return refuse(405, f"{request.method} is not allowed: the API is read only", Allow="GET, HEAD")
    if request.path != "/metrics" and not hosts.allowed(request.host):
        return refuse(
            403,
            f"no router names the host {request.host[:100]!r}: call the API by IP address or localhost, or write a "
            "router for it whose rule has this Host",
        )
    try:
        return await handler(request)
    except EdgeError as fault:
        return refuse(fault.status, fault.message)
    except web.HTTPNotFound:
        return refuse(404, f"not found: {request.path[:200]}")
    except web.HTTPException as fault:
        return fault if fault.status < 400 else refuse(fault.status, fault.reason)
