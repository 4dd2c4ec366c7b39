"""What travels between client, auth server and server in ``forwardAuth``: fields in, fields out, cookies back. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import CODEC_FIELDS, Headers
from edgerouter.http.message import Response

_FORWARDED: Final = "x-forwarded-"
# Of one connection, or of a body that does not go along.
_NOT_FOR_AUTH: Final = frozenset(("expect", "trailer", "proxy-authenticate", "proxy-authorization"))


def folded(name: str) -> str:
    """A field's name as servers that make CGI variables of fields read it."""
    return name.replace("_", "-").lower()


def canonical(name: str) -> str:
    """As Go spells field names, which is what patterns in options are written for."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def copy_request_fields(exchange: Exchange, wanted: frozenset[str], trust: bool | None) -> Headers:
    """The client's fields for the auth server. ``wanted``: in lower case, empty for all. ``trust``: what a client says
    with X-Forwarded-* stays (True), goes (False), or only what is written anew goes (None)."""
    told = _told(exchange, trust is True)
    headers = Headers()
    for name, value in exchange.request.headers.items():
        low = folded(name)
        if low in told or low in _NOT_FOR_AUTH or low in CODEC_FIELDS:
            continue
        if (wanted and name.lower() not in wanted) or (trust is False and low.startswith(_FORWARDED)):
            continue
        headers.add(name, value)
    for name, value in told.values():
        if value:
            headers.add(name, value)
    return headers


def _told(exchange: Exchange, trust: bool) -> dict[str, tuple[str, str]]:
    """What is asked for, and by whom: field and value by folded name. They take the place of the client's own."""
    request = exchange.request
    given = request.headers
    peer = exchange.client_address
    chain = [*given.get_all("X-Forwarded-For"), peer] if trust else [peer]
    values = [
        ("X-Forwarded-Method", request.method),
        ("X-Forwarded-Proto", request.scheme),
        ("X-Forwarded-Host", request.authority),
        ("X-Forwarded-Uri", request.target_text()),
    ]
    if trust:
        values = [(name, given.get(name) or value) for name, value in values]
        port = given.get("X-Forwarded-Port")
        if port:
            values.append(("X-Forwarded-Port", port))
    values.insert(0, ("X-Forwarded-For", ", ".join(filter(None, chain))))
    return {name.lower(): (name, value) for name, value in values}


class Adopted:
    """The fields that the auth server decides: a client's own never get through, in whatever spelling."""

    def __init__(self, names: tuple[str, ...], matches: Callable[[str], bool] | None) -> None:
        self._names = {folded(name): name for name in names if name}
        self._matches = matches

    def move(self, response: Headers, request: Headers) -> None:
        """Put them from the auth server's response into the request."""
        if not self._names and self._matches is None:
            return
        for name in {name for name, _ in request.items() if self._is_ours(name, folded(name))}:
            request.remove(name)
        for name, value in response.items():
            if self._is_ours(name, name.lower()) and name.lower() not in CODEC_FIELDS:
                request.add(name, value)

    def _is_ours(self, name: str, key: str) -> bool:
        return key in self._names or (self._matches is not None and self._matches(canonical(key)))


def cookies_of(response: Response, names: frozenset[str]) -> list[str]:
    """The Set-Cookie fields of these cookies."""
    return [value for value in response.headers.get_all("Set-Cookie") if _cookie_name(value) in names]


def put_cookies(response: Response, names: frozenset[str], cookies: list[str]) -> None:
    """Set these cookies in place of the server's own of those names."""
    kept = [value for value in response.headers.get_all("Set-Cookie") if _cookie_name(value) not in names]
    response.headers.remove("Set-Cookie")
    for value in (*kept, *cookies):
        response.headers.add("Set-Cookie", value)


def _cookie_name(value: str) -> str:
    return value.partition("=")[0].strip()
