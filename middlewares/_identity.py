"""What the middlewares that ask who somebody is share: the challenge, and the field that tells servers who it is."""

from __future__ import annotations

from edgerouter.causes import CLIENT, declare
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import CODEC_FIELDS, Headers
from edgerouter.http.message import Response
from edgerouter.proxy.failures import answer

declare(
    "UNAUTHORIZED",
    401,
    CLIENT,
    "The client has not shown who it is: name and password, proof, key, token or session are absent or wrong.",
    "CauseDetail says which middleware refused it and why.",
)


def quoted(text: str) -> str:
    """As a quoted-string (RFC 9110 section 5.6.4)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def check_field(option: str, name: str, value: str = "x") -> None:
    """Raises ValueError that names the option when this cannot be a field of the request."""
    try:
        Headers().set(name, value)
    except ValueError:
        raise ValueError(f"{option}: {name!r} is no header field, or its value is more than a line") from None
    if name.lower() in CODEC_FIELDS:
        raise ValueError(f"{option}: {name!r} is written by the router itself; choose another name")


def set_identity(headers: Headers, name: str, value: str) -> None:
    """Set a field that servers believe. A client's own goes, in every spelling that servers read as this one: many
    make CGI variables of fields, where hyphen and underscore are the same."""
    drop_identity(headers, name)
    headers.set(name, value.encode("utf-8", "surrogateescape").decode("latin-1"))


def drop_identity(headers: Headers, name: str) -> None:
    """Remove the field in every spelling."""
    folded = name.replace("_", "-").lower()
    for known in {known for known, _ in headers.items() if known.replace("_", "-").lower() == folded}:
        headers.remove(known)


def only(headers: Headers, name: str) -> str | None:
    """The field's value when it is there once; None when it is absent, or there more than once: two readers would
    believe different ones."""
    found = headers.get_all(name)
    return found[0] if len(found) == 1 else None


def unauthorized(exchange: Exchange, challenge: str, detail: str, status: int = 401) -> Response:
    """The answer to who has not shown who they are (RFC 9110 section 11.6.1)."""
    response = answer(exchange, status, "UNAUTHORIZED", detail, "401 Unauthorized\n")
    if challenge:
        response.headers.set("WWW-Authenticate", challenge)
    return response
