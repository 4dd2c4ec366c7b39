"""Option classes that several kinds of services share, and how names in options are read."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Secret


class Cookie(Model, frozen=True):
    """The cookie that ties a client to its first choice."""

    # name; made from the service's name when absent
    name: str = ""
    # send it over TLS only
    secure: bool = False
    # keep it from scripts
    http_only: bool = False
    # none, lax or strict
    same_site: str = ""
    # seconds that it lasts; 0: as long as the browser runs
    max_age: int = 0
    # path that it is valid for
    path: str = "/"
    # domain that it is valid for
    domain: str = ""
    # signs the value: what a client makes up is ignored. The same key everywhere where the cookie shall hold
    key: Secret | None = None
    # with a key: believe unsigned values too, for as long as clients with such cookies are about
    accept_unsigned: bool = False


class Sticky(Model, frozen=True):
    """Keep a client on its first choice."""

    # the cookie
    cookie: Cookie | None = None


class Child(Model, frozen=True):
    """One of several services."""

    # name of the service, of the same provider unless it says @provider
    name: str
    # share; 0: none
    weight: int = 1


class PropagatedHealth(Model, frozen=True):
    """Accepted for compatibility: whether children can answer is always looked at."""


def cookie_warnings(sticky: Sticky | None) -> tuple[str, ...]:
    """Return sentences on what is wrong but harmless with a cookie."""
    cookie = None if sticky is None else sticky.cookie
    if sticky is not None and cookie is None:
        return ("sticky names no cookie, so nothing is sticky; write sticky.cookie: {}",)
    if cookie is not None and cookie.same_site.lower() == "none" and not cookie.secure:
        return ("sticky.cookie: browsers drop a cookie with sameSite: none that is not secure; add secure: true",)
    return ()


def qualified(name: str, owner: str) -> str:
    """Return ``name`` with its owner's ``@provider`` unless it names one itself."""
    if "@" in name or "@" not in owner:
        return name
    return f"{name}@{owner.rsplit('@', 1)[1]}"
