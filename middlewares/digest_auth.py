"""digestAuth: lets only users pass that prove a password without showing it (RFC 7616 with MD5 and qop=auth).

Users are ``name:realm:hash`` lines as ``htdigest`` makes them; those in ``users`` win over those in ``usersFile``. Only
users of ``realm`` count. The file is looked at every second. Who proves nothing is answered 401 with a challenge, cause
``UNAUTHORIZED``.

A nonce holds for five minutes in all workers, and each of its counts once: a request that was listened to cannot be
sent again. A client with an old nonce is told ``stale=true`` and asks again by itself.

    labels:  edgerouter.http.middlewares.login.digestauth.users=ann:traefik:a2688e031edb4be6a3797f3882655c05

    http:
      middlewares:
        login:
          digestAuth:
            users: ["ann:traefik:a2688e031edb4be6a3797f3882655c05"]
            removeHeader: true
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable
from hashlib import md5
from typing import Final

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Secret
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._identity import check_field, only, quoted, set_identity, unauthorized
from edgerouter.middlewares._later import when_free
from edgerouter.middlewares._nonces import Nonces
from edgerouter.middlewares._users import Users
from edgerouter.registry import middleware
from edgerouter.telemetry.records import RecordBusy, SharedRecords

_PART: Final = re.compile(r'\s*([a-zA-Z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?:,|$)')
_HASH: Final = re.compile(r"[0-9a-fA-F]{32}")
_COUNT: Final = re.compile(r"[0-9a-fA-F]{8}")
_NEEDED: Final = ("username", "realm", "nonce", "uri", "response", "qop", "nc", "cnonce")


class Options(Model, frozen=True):
    """Options of ``digestAuth``."""

    # users, name:realm:hash
    users: tuple[Secret, ...] = ()
    # file of users, one a line
    users_file: str = ""
    # which users count, and what browsers show when they ask for the password
    realm: str = "traefik"
    # keep the proof from the server
    remove_header: bool = False
    # field of the request that tells the server the user's name
    header_field: str = ""


@middleware("digestAuth", Options)
class DigestAuth(Middleware):
    """The proof first, then the nonce: only who knows the password can use a nonce's counts up."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._users = Users("digestAuth: users", options.users, options.users_file, _parse, context.now)
        self._realm = options.realm
        check_field("digestAuth: realm", "WWW-Authenticate", quoted(options.realm))
        if options.header_field:
            check_field("digestAuth: headerField", options.header_field)
        self._field = options.header_field
        self._removes = options.remove_header
        self._nonces = Nonces(context.shared or SharedRecords(), options.realm, context.now)

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """See ``Middleware.on_request``."""
        try:
            return self._look(exchange)
        except RecordBusy:
            return when_free(lambda: self._look(exchange), _busy())

    def _look(self, exchange: Exchange) -> Response | None:
        parts = read_parts(only(exchange.request.headers, "Authorization") or "")
        if parts is None:
            return self._ask(exchange, "no proof was shown")
        exchange.user = parts["username"]
        wrong = self._wrong(exchange, parts)
        if wrong:
            return self._ask(exchange, wrong)
        return self._decide(exchange, parts["username"], self._nonces.use(parts["nonce"], int(parts["nc"], 16)))

    def _wrong(self, exchange: Exchange, parts: dict[str, str]) -> str:
        """What is wrong with the proof, "" when it holds."""
        request = exchange.request
        stored = self._users.all().get(f"{parts['username']}:{self._realm}", "")
        second = _md5(f"{request.method}:{parts['uri']}")
        rest = ":".join((parts["nonce"], parts["nc"], parts["cnonce"], parts["qop"], second))
        proof = _md5(f"{stored or 'nobody'}:{rest}")
        if not hmac.compare_digest(proof, parts["response"].lower()) or not stored:
            return "wrong name or password"
        if parts["uri"].encode("latin-1") != request.target or parts["realm"] != self._realm:
            return "the proof is for another request"
        return ""

    def _decide(self, exchange: Exchange, user: str, fresh: bool) -> Response | None:
        if not fresh:
            return self._ask(exchange, "the nonce is too old, or its count was used before", ", stale=true")
        headers = exchange.request.headers
        if self._removes:
            headers.remove("Authorization")
        if self._field:
            set_identity(headers, self._field, user)
        return None

    def _ask(self, exchange: Exchange, why: str, more: str = "") -> Response:
        challenge = (
            f'Digest realm={quoted(self._realm)}, nonce="{self._nonces.make()}", opaque="{self._nonces.opaque()}",'
            f' algorithm=MD5, qop="auth"{more}'
        )
        return unauthorized(exchange, challenge, f"digestAuth: {why}")


def _busy() -> Response:
    """When the workers' memory stays locked: never pass without having looked."""
    return Response.text(503, "Service Unavailable")


def read_parts(field: str) -> dict[str, str] | None:
    """The parts of an Authorization field of this scheme; None when it is none, or lacks or repeats something."""
    scheme, _, rest = field.partition(" ")
    if scheme.lower() != "digest":
        return None
    parts: dict[str, str] = {}
    position = 0
    while position < len(rest):
        match = _PART.match(rest, position)
        if match is None or match[1].lower() in parts:
            return None
        parts[match[1].lower()] = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        position = match.end()
    if any(name not in parts for name in _NEEDED) or parts["qop"] != "auth":
        return None
    if not _HASH.fullmatch(parts["response"]) or not _COUNT.fullmatch(parts["nc"]):
        return None
    return parts if parts.get("algorithm", "MD5").upper() == "MD5" else None


def _md5(text: str) -> str:
    return md5(text.encode("latin-1", "replace"), usedforsecurity=False).hexdigest()


def _parse(line: str) -> tuple[str, str]:
    name, _, rest = line.partition(":")
    realm, _, stored = rest.rpartition(":")
    if not name or not realm or not _HASH.fullmatch(stored):
        raise ValueError("expected name:realm:hash, as htdigest writes it")
    return f"{name}:{realm}", stored.lower()
