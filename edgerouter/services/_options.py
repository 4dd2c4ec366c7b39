"""Option classes that several kinds of services share, and how names in options are read."""

from __future__ import annotations

from edgerouter.config.dynamic import Model


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


class Sticky(Model, frozen=True):
    """Keep a client on its first choice."""

    # the cookie
    cookie: Cookie | None = None


def qualified(name: str, owner: str) -> str:
    """Return ``name`` with its owner's ``@provider`` unless it names one itself."""
    if "@" in name or "@" not in owner:
        return name
    return f"{name}@{owner.rsplit('@', 1)[1]}"
