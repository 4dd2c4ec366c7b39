"""What RFC 9111 says of one request or response: may it be stored, for how long is it fresh. Pure: clocks come in."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.middlewares._fields import MOST, directives

_HEURISTIC: Final = frozenset((200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501))  # RFC 9110 section 15.1
_LONGEST_GUESS: Final = 86400.0
# Fields by which some servers let a request mean another one: not part of the key, so such requests pass by.
_OVERRIDES: Final = (
    "X-Http-Method-Override",
    "X-Http-Method",
    "X-Method-Override",
    "X-Original-Url",
    "X-Rewrite-Url",
    "X-Original-Host",
    "X-Host",
    "X-Forwarded-Path",
)


class Wishes:
    """What the request's Cache-Control asks for (RFC 9111 section 5.2.1); all at rest where it is ignored."""

    def __init__(self, request: Request, ignored: bool) -> None:
        lines = [] if ignored else request.headers.get_all("Cache-Control")
        found = directives(lines)
        if not lines and not ignored and "no-cache" in (request.headers.get("Pragma") or "").lower():
            found = {"no-cache": ""}  # section 5.4
        self.no_store = "no-store" in found
        self.no_cache = "no-cache" in found
        self.only_if_cached = "only-if-cached" in found
        self.max_age = seconds(found.get("max-age"))
        self.min_fresh = seconds(found.get("min-fresh")) or 0.0
        stale = found.get("max-stale")
        self.max_stale = 0.0 if stale is None else float("inf") if stale == "" else seconds(stale) or 0.0

    def content_with(self, age: float, lifetime: float) -> bool:
        """May a stored response of that age be used without asking the server?"""
        if self.no_cache or (self.max_age is not None and age > self.max_age):
            return False
        return age + self.min_fresh < lifetime + self.max_stale


def bypass(request: Request) -> bool:
    """True for requests that are neither answered from the store nor stored."""
    if request.method not in ("GET", "HEAD") or request.body is not None or request.upgrade:
        return True
    headers = request.headers
    return "Range" in headers or any(name in headers for name in _OVERRIDES)


class Freshness:
    """A response's rules. ``lifetime`` in seconds; ``age`` it had when it came."""

    def __init__(self, lifetime: float, age: float, found: dict[str, str]) -> None:
        self.lifetime = 0.0 if "no-cache" in found else lifetime
        self.age = age
        # must-revalidate and its like forbid every use beyond freshness (section 4.2.4)
        self.strict = bool(found.keys() & {"must-revalidate", "proxy-revalidate", "s-maxage", "no-cache"})
        self.while_revalidate = seconds(found.get("stale-while-revalidate"))
        self.if_error = seconds(found.get("stale-if-error"))


def storable(request: Request, response: Response, default: float, now: float) -> Freshness | None:
    """None: it must not be stored (section 3). ``default``: lifetime of what says nothing, 0 for none; ``now``: Unix
    time."""
    headers = response.headers
    found = directives(headers.get_all("Cache-Control"))
    if _forbidden(request, response, found):
        return None
    lifetime = _explicit(headers, found, now)
    if lifetime is None:
        if not _anonymous(request) or response.status not in _HEURISTIC:
            return None
        guess = _guess(headers, now)
        lifetime = default if guess is None else guess
        if lifetime <= 0.0:
            return None
    if lifetime <= 0.0 and not ("ETag" in headers or "Last-Modified" in headers):
        return None  # it could never be used again
    return Freshness(lifetime, _age(headers, now), found)


def _forbidden(request: Request, response: Response, found: dict[str, str]) -> bool:
    headers = response.headers
    if response.status < 200 or response.status in (206, 304) or "Content-Range" in headers:
        return True
    if "no-store" in found or "private" in found or "Set-Cookie" in headers:
        return True
    if any("*" in line for line in headers.get_all("Vary")):
        return True
    shared = found.keys() & {"public", "s-maxage", "must-revalidate"}
    return "Authorization" in request.headers and not shared  # section 3.5


def _anonymous(request: Request) -> bool:
    """Nothing in it says who asks: only such answers may be kept without the server's word."""
    return "Cookie" not in request.headers and "Authorization" not in request.headers


def _explicit(headers: Headers, found: dict[str, str], now: float) -> float | None:
    for name in ("s-maxage", "max-age"):
        if name in found:
            return seconds(found[name]) or 0.0  # what is malformed is stale (section 4.2.1)
    expires = headers.get("Expires")
    if expires is None:
        return None
    at, date = moment(expires), moment(headers.get("Date"))
    return 0.0 if at is None else max(0.0, at - (now if date is None else date))


def _guess(headers: Headers, now: float) -> float | None:
    """A tenth of the time since the last change (section 4.2.2)."""
    changed = moment(headers.get("Last-Modified"))
    date = moment(headers.get("Date"))
    if changed is None:
        return None
    return min(_LONGEST_GUESS, max(0.0, ((now if date is None else date) - changed) / 10))


def _age(headers: Headers, now: float) -> float:
    """Section 4.2.3, without the time under way."""
    date = moment(headers.get("Date"))
    apparent = 0.0 if date is None else max(0.0, now - date)
    return max(apparent, seconds(headers.get("Age")) or 0.0)


def seconds(text: str | None) -> float | None:
    """delta-seconds (section 1.2.2), bounded; None where it is none."""
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    return float(min(int(text[:10]), 2**31))


def moment(text: str | None) -> float | None:
    """An HTTP date as Unix time; None where it is none."""
    if not text or len(text) > 64:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def unchanged(request: Request, headers: Headers) -> bool:
    """Does the client have it already (RFC 9110 section 13.2.2)?"""
    asked = request.headers.get_all("If-None-Match")
    if asked:
        tag = _weak(headers.get("ETag") or "")
        tags = [_weak(part.strip()) for part in ",".join(asked)[:MOST].split(",")]
        return "*" in tags or (bool(tag) and tag in tags)
    since, changed = moment(request.headers.get("If-Modified-Since")), moment(headers.get("Last-Modified"))
    return since is not None and changed is not None and changed <= since


def _weak(tag: str) -> str:
    return tag.removeprefix("W/")
