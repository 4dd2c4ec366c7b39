"""basicAuth: lets only users pass that show name and password (RFC 7617).

Users are ``name:hash`` lines as ``htpasswd`` makes them, with bcrypt (``-B``), MD5 (``-m``) or SHA-1 (``-s``); those in
``users`` win over those in ``usersFile``, where empty lines and lines with ``#`` are left out. The file is looked at
every second. Who shows nothing, or the wrong thing, is answered 401, cause ``UNAUTHORIZED``.

Passwords are checked in threads, and what was checked is remembered, so bcrypt costs a user's first request only. When
more passwords are tried than can be checked (64 wait in one worker), the next is answered 503, cause ``AUTH_BUSY``.

In Compose files, write ``$$`` for each ``$`` of a hash.

    labels:  edgerouter.http.middlewares.login.basicauth.users=ann:{SHA}UWuXg/ylF+7L0dBk2i0WUxCxl1k=
             edgerouter.http.middlewares.login.basicauth.removeheader=true

    http:
      middlewares:
        login:
          basicAuth:
            realm: office
            headerField: X-User
            users:
              - ann:$2y$05$SPVJlb9BAULMsm4/0vr7U.ypt6VYhSv4lR9LF9BhaLfg50Fz/TQ3C
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable

from edgerouter.causes import ROUTER, declare
from edgerouter.config.dynamic import Model
from edgerouter.config.types import Secret
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Response
from edgerouter.middlewares._identity import check_field, only, quoted, set_identity, unauthorized
from edgerouter.middlewares._passwords import is_known
from edgerouter.middlewares._users import Users
from edgerouter.middlewares._verifier import Busy, verifier
from edgerouter.proxy.failures import answer
from edgerouter.registry import middleware

declare(
    "AUTH_BUSY",
    503,
    ROUTER,
    "More passwords wait to be checked than basicAuth allows.",
    "Use cheaper hashes, or look at who tries so many; the answer says when to come again.",
)


class Options(Model, frozen=True):
    """Options of ``basicAuth``."""

    # users, name:hash
    users: tuple[Secret, ...] = ()
    # file of users, one a line
    users_file: str = ""
    # what browsers show when they ask for the password
    realm: str = "traefik"
    # keep name and password from the server
    remove_header: bool = False
    # field of the request that tells the server the user's name
    header_field: str = ""


@middleware("basicAuth", Options)
class BasicAuth(Middleware):
    """Unknown users are checked like known ones, so that time does not tell names."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._users = Users("basicAuth: users", options.users, options.users_file, _parse, context.now)
        self._challenge = f"Basic realm={quoted(options.realm)}"
        check_field("basicAuth: realm", "WWW-Authenticate", self._challenge)
        if options.header_field:
            check_field("basicAuth: headerField", options.header_field)
        self._field = options.header_field
        self._removes = options.remove_header

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """See ``Middleware.on_request``."""
        shown = credentials(exchange.request.headers)
        if shown is None:
            return unauthorized(exchange, self._challenge, "basicAuth: no name and password were shown")
        user, password = shown
        exchange.user = user
        users = self._users.all()
        stored = users.get(user)
        try:
            right = verifier.check(user, password, stored or next(iter(users.values())))
        except Busy:
            return _busy(exchange)
        if isinstance(right, bool):
            return self._decide(exchange, user, right and stored is not None)
        return self._later(exchange, user, right, stored is not None)

    async def _later(self, exchange: Exchange, user: str, right: Awaitable[bool], known: bool) -> Response | None:
        return self._decide(exchange, user, await right and known)

    def _decide(self, exchange: Exchange, user: str, right: bool) -> Response | None:
        if not right:
            return unauthorized(exchange, self._challenge, "basicAuth: wrong name or password")
        headers = exchange.request.headers
        if self._removes:
            headers.remove("Authorization")
        if self._field:
            set_identity(headers, self._field, user)
        return None


def credentials(headers: Headers) -> tuple[str, bytes] | None:
    """Name and password of the one Authorization field; None when there is none, or it cannot be read."""
    scheme, _, encoded = (only(headers, "Authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        plain = base64.b64decode(encoded.strip(" "), validate=True)
    except (binascii.Error, ValueError):
        return None
    name, colon, password = plain.partition(b":")
    if not colon or any(byte < 32 or byte == 127 for byte in name):
        return None
    return name.decode("utf-8", "surrogateescape"), password


def _parse(line: str) -> tuple[str, str]:
    name, colon, stored = line.partition(":")
    if not colon or not name:
        raise ValueError("expected name:hash, as htpasswd -nB NAME prints it")
    if not is_known(stored):
        raise ValueError("no hash of a kind that is known; make it with htpasswd -nB NAME, and write $$ in Compose")
    return name, stored


def _busy(exchange: Exchange) -> Response:
    response = answer(
        exchange, 503, "AUTH_BUSY", "basicAuth: too many passwords are being checked", "Service Unavailable"
    )
    response.headers.set("Retry-After", "1")
    return response
