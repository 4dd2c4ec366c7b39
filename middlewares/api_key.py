"""apiKey: lets only requests pass that carry a key.

Keys are ``name:key``; instead of the key itself, ``name:{SHA256}`` and its SHA-256 in hexadecimal can be written
(``printf %s KEY | sha256sum``). ``keysFile`` holds more, one a line; it is looked at every second. The key is looked
for in the header field, the query and the cookie that ``keySource`` names. A request without a key, with two or with a
wrong one is answered 401, cause ``UNAUTHORIZED``. The key does not go on to the server, unless ``removeKey`` is false;
the name of the key goes into the access log, and into ``headerField``.

    labels:  edgerouter.http.middlewares.partners.apikey.keys=ann:vLUzGTkOSmCy
             edgerouter.http.middlewares.partners.apikey.headerfield=X-Partner

    http:
      middlewares:
        partners:
          apiKey:
            keys:
              - ann:{SHA256}2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683
            keySource:
              header: Authorization
              headerAuthScheme: Bearer
              query: api_key
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final
from urllib.parse import unquote_plus

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Secret
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Request, Response
from edgerouter.middlewares._cookies import cookie_values, without_cookie
from edgerouter.middlewares._identity import check_field, drop_identity, set_identity, unauthorized
from edgerouter.middlewares._users import Users
from edgerouter.registry import middleware

_HASHED: Final = re.compile(r"\{SHA256\}([0-9a-fA-F]{64})")


class KeySource(Model, frozen=True):
    """Where the key is."""

    # header field
    header: str = "X-API-Key"
    # word before the key in the field, e.g. Bearer
    header_auth_scheme: str = ""
    # parameter of the query
    query: str = ""
    # cookie
    cookie: str = ""


class Options(Model, frozen=True):
    """Options of ``apiKey``."""

    # keys, name:key or name:{SHA256}hash
    keys: tuple[Secret, ...] = ()
    # file of keys, one a line
    keys_file: str = ""
    key_source: KeySource = KeySource()
    # keep the key from the server
    remove_key: bool = True
    # field of the request that tells the server the key's name
    header_field: str = ""


@middleware("apiKey", Options)
class ApiKey(Middleware):
    """Only hashes are kept and looked up: what the time of a look-up tells is of no use."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        source = options.key_source
        if not (source.header or source.query or source.cookie):
            raise ValueError("apiKey: keySource names no place; write header, query or cookie")
        for option, name in (("keySource.header", source.header), ("headerField", options.header_field)):
            if name:
                check_field(f"apiKey: {option}", name)
        self._keys = Users("apiKey: keys", options.keys, options.keys_file, _parse, context.now)
        self._source = source
        self._removes = options.remove_key
        self._field = options.header_field

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        shown = self._shown(request)
        if len(shown) != 1:
            why = "more than one key was shown" if shown else "no key was shown"
            return unauthorized(exchange, self._challenge(), f"apiKey: {why}")
        digest = sha256(next(iter(shown)).encode("latin-1", "replace")).hexdigest()
        name = self._keys.all().get(digest)
        if name is None:
            return unauthorized(exchange, self._challenge(), "apiKey: this key is not known")
        exchange.user = name
        if self._removes:
            self._remove(request)
        if self._field:
            set_identity(request.headers, self._field, name)
        return None

    def _challenge(self) -> str:
        return self._source.header_auth_scheme if self._source.header.lower() == "authorization" else ""

    def _shown(self, request: Request) -> set[str]:
        source = self._source
        found: list[str] = []
        if source.header:
            found += filter(None, map(self._from_field, request.headers.get_all(source.header)))
        if source.query:
            found += [unquote_plus(value, "latin-1") for value in _query_values(request.query, source.query)]
        if source.cookie:
            found += cookie_values(request.headers, source.cookie)
        return set(found)

    def _from_field(self, value: str) -> str:
        if not self._source.header_auth_scheme:
            return value
        scheme, _, key = value.partition(" ")
        return key.strip() if scheme.lower() == self._source.header_auth_scheme.lower() else ""

    def _remove(self, request: Request) -> None:
        source = self._source
        if source.header:
            drop_identity(request.headers, source.header)
        if source.query and request.query:
            kept = [pair for pair in request.query.split("&") if _name(pair) != source.query]
            request.query = "&".join(kept)
            request.has_query = bool(kept)
        if source.cookie:
            without_cookie(request.headers, source.cookie)


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def _query_values(query: str, name: str) -> list[str]:
    return [pair.partition("=")[2] for pair in query.split("&") if _name(pair) == name] if query else []


def _parse(line: str) -> tuple[str, str]:
    """The key's hash and its name: who shows the key is looked for by it."""
    name, colon, key = line.partition(":")
    if not colon or not name or not key:
        raise ValueError("expected name:key, or name:{SHA256} and a hash")
    hashed = _HASHED.fullmatch(key)
    if hashed is None and key.startswith("{"):
        raise ValueError("a hash is {SHA256} and 64 hexadecimal digits")
    return (hashed[1].lower() if hashed else sha256(key.encode()).hexdigest()), name
