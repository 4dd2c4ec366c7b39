"""jwt: lets only requests pass that carry a good JSON Web Token.

The token is the Authorization field's after ``Bearer``; else the query's ``query`` or the cookie
``cookie``, where these are set. Its signature is checked with one of ``signingSecret`` (HS256, HS384, HS512),
``publicKey``, ``publicKeyFile``, ``jwksFile`` and ``jwksUrl`` (RS, PS, ES and EdDSA); ``algorithms`` narrows what is
allowed, ``none`` never is. It must not be expired (a token without ``exp`` counts as expired unless ``requireExpiry``
is false), ``issuer``, ``audience`` and ``requiredClaims`` must fit. Otherwise: 401, cause ``UNAUTHORIZED``, with the
reason in the access log.

``forwardHeaders`` gives claims to the server as fields; a client's own fields of these names never get through. Keys of
``jwksUrl`` are fetched with the first token, every ten minutes, and when a token names a key that is not known, at most
every ten seconds; while the URL gives nothing, the keys at hand stay in use. Without any: 500,
cause ``AUTH_SERVER_FAILED``.

    labels:  edgerouter.http.middlewares.token.jwt.jwksurl=https://id.acme.com/keys
             edgerouter.http.middlewares.token.jwt.issuer=https://id.acme.com/
             edgerouter.http.middlewares.token.jwt.audience=shop

    http:
      middlewares:
        token:
          jwt:
            signingSecret: correct-horse-battery-staple-0123
            requiredClaims: {scope: orders}
            forwardHeaders: {X-User: sub}
"""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration, Secret
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Request, Response
from edgerouter.middlewares._cookies import cookie_values
from edgerouter.middlewares._endpoint import TLS, Endpoint, EndpointFailed, failed
from edgerouter.middlewares._identity import check_field, drop_identity, only, set_identity, unauthorized
from edgerouter.middlewares._key_source import FetchedKeys, FixedKeys
from edgerouter.middlewares._tokens import (
    PUBLIC_ALGORITHMS,
    SECRET_ALGORITHMS,
    BadToken,
    Key,
    Rules,
    TokenCheck,
    keys_of_pem,
    keys_of_secret,
    keys_of_set,
    prepare,
    text_of,
)
from edgerouter.registry import middleware


class Options(Model, frozen=True):
    """Options of ``jwt``."""

    # secret of HS256, HS384 and HS512
    signing_secret: Secret = Secret("")
    # public key or certificate in PEM form
    public_key: str = ""
    # file with such a key
    public_key_file: str = ""
    # file with a JSON Web Key Set
    jwks_file: str = ""
    # URL of a JSON Web Key Set
    jwks_url: str = ""
    tls: TLS | None = None
    # algorithms that are allowed; all that fit the key when absent
    algorithms: tuple[str, ...] = ()
    # the issuer that a token must name
    issuer: str = ""
    # audiences of which a token must name one
    audience: tuple[str, ...] = ()
    # claims and the value that each must have, be a list with, or be words with
    required_claims: dict[str, str] = {}
    # how far clocks may differ
    leeway: Duration = Duration(30)
    # refuse tokens that never expire
    require_expiry: bool = True
    # parameter of the query that may hold the token
    query: str = ""
    # cookie that may hold the token
    cookie: str = ""
    # fields of the request and the claims that they get
    forward_headers: dict[str, str] = {}
    # claim that is the user's name in the access log
    username_claim: str = "sub"
    # keep the Authorization field from the server
    strip_authorization_header: bool = False


@middleware("jwt", Options)
class Jwt(Middleware):
    """A token that was found good a short time ago passes at once."""

    prepare = staticmethod(prepare)

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        public = [options.public_key, options.public_key_file, options.jwks_file, options.jwks_url]
        if sum(map(bool, [options.signing_secret.reveal(), *public])) != 1:
            raise ValueError("jwt: write one of signingSecret, publicKey, publicKeyFile, jwksFile and jwksUrl")
        for name in options.forward_headers:
            check_field("jwt: forwardHeaders", name)
        self._options = options
        self._check = TokenCheck(_rules(options))
        self._keys: FixedKeys | FetchedKeys
        if options.jwks_url:
            self._keys = FetchedKeys(Endpoint("jwt: jwksUrl", options.jwks_url, options.tls))
        else:
            self._keys = FixedKeys(lambda: make_keys(options))

    @staticmethod
    def examine(options: Options) -> None:
        """What only the control process looks at: whether the key is one. Raises ValueError."""
        if not options.jwks_url:
            try:
                make_keys(options)
            except (OSError, ValueError) as error:
                raise ValueError(f"jwt: its key cannot be used: {error}") from None

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """See ``Middleware.on_request``."""
        token = self._token(exchange.request)
        if not token:
            return unauthorized(exchange, "Bearer", "jwt: no token was shown")
        claims = self._check.remembered(token, self._keys.keys)
        if claims is not None:
            self._pass(exchange, claims)
            return None
        return self._look(exchange, token)

    async def _look(self, exchange: Exchange, token: str) -> Response | None:
        try:
            keys = await self._keys.get(exchange)
            if not self._check.names_key(token, keys):
                keys = await self._keys.get(exchange, unknown=True)
            self._pass(exchange, self._check.check(token, keys))
            return None
        except BadToken as error:
            return unauthorized(exchange, 'Bearer error="invalid_token"', f"jwt: the token does not count: {error}")
        except EndpointFailed as error:
            return failed(exchange, "jwt", error)

    def _token(self, request: Request) -> str:
        """The one token that was shown; "" when there is none, or several that differ."""
        options = self._options
        scheme, _, token = (only(request.headers, "Authorization") or "").partition(" ")
        found = {token.strip()} if scheme.lower() == "bearer" else set()
        if options.query and request.query:
            pairs = [pair.partition("=") for pair in request.query.split("&")]
            found |= {unquote_plus(value) for name, _, value in pairs if unquote_plus(name) == options.query}
        if options.cookie:
            found |= set(cookie_values(request.headers, options.cookie))
        found.discard("")
        return found.pop() if len(found) == 1 else ""

    def _pass(self, exchange: Exchange, claims: dict[str, Any]) -> None:
        options = self._options
        headers = exchange.request.headers
        exchange.user = text_of(claims.get(options.username_claim))
        for name, claim in options.forward_headers.items():
            value = text_of(claims.get(claim))
            if value:
                set_identity(headers, name, value)
            else:
                drop_identity(headers, name)
        if options.strip_authorization_header:
            headers.remove("Authorization")


def _rules(options: Options) -> Rules:
    allowed = SECRET_ALGORITHMS if options.signing_secret.reveal() else PUBLIC_ALGORITHMS
    for name in options.algorithms:
        if name not in allowed:
            raise ValueError(f"jwt: algorithms: {name!r} does not fit the key; write some of {', '.join(allowed)}")
    return Rules(
        algorithms=options.algorithms or allowed,
        issuer=options.issuer,
        audience=options.audience,
        leeway=int(options.leeway),
        needs_expiry=options.require_expiry,
        required=options.required_claims,
    )


def make_keys(options: Options) -> list[Key]:
    """Raises ValueError, OSError."""
    if options.signing_secret.reveal():
        return keys_of_secret(options.signing_secret.reveal())
    if options.public_key:
        return keys_of_pem(options.public_key)
    if options.public_key_file:
        return keys_of_pem(Path(options.public_key_file).read_text(encoding="ascii"))
    return keys_of_set(Path(options.jwks_file).read_bytes())
