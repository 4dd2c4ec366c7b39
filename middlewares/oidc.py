"""oidc: lets people pass that an OpenID provider has logged in (OpenID Connect, authorization code flow with PKCE).

A browser without a session is sent to the provider (302) and comes back to ``redirectUrl``, a path of the same host or
a whole URL, which must be registered there and match the router's rule. The code that it brings is exchanged for an ID
token; its signature, issuer, audience and nonce are checked, and ``requiredClaims``. Then the browser gets a session: a
cookie signed with ``sessionSecret``, with the claims that are forwarded and nothing else, so it holds in all workers,
on all machines with that secret, and over restarts. It lasts ``sessionDuration``, whatever the provider's own does.

Requests other than GET and HEAD are not sent away: they get 401, as do tokens that do not hold, cause ``UNAUTHORIZED``.
Who the provider turned away, or who lacks a required claim, gets 403. A provider that does not answer: 500, cause
``AUTH_SERVER_FAILED``. ``logoutPath`` ends the session. The session's cookie does not go on to the server, and a
client's own fields of the names in ``forwardHeaders`` never do.

    labels:  edgerouter.http.middlewares.people.oidc.issuer=https://id.acme.com/realms/main
             edgerouter.http.middlewares.people.oidc.clientid=shop
             edgerouter.http.middlewares.people.oidc.clientsecret=client-secret-of-the-provider
             edgerouter.http.middlewares.people.oidc.sessionsecret=32-characters-or-more-0123456789ab

    http:
      middlewares:
        people:
          oidc:
            issuer: https://id.acme.com/realms/main
            clientId: shop
            sessionSecret: 32-characters-or-more-0123456789ab
            requiredClaims: {groups: staff}
            forwardHeaders: {X-User: preferred_username}
            logoutPath: /logout
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Awaitable
from hashlib import sha256
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration, Secret
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Request, Response
from edgerouter.middlewares._cookies import cookie_values, without_cookie
from edgerouter.middlewares._endpoint import TLS, EndpointFailed, failed
from edgerouter.middlewares._identity import check_field, drop_identity, set_identity, unauthorized
from edgerouter.middlewares._oidc_provider import OidcProvider
from edgerouter.middlewares._redirect import client_scheme
from edgerouter.middlewares._signed_cookies import CookieSigner
from edgerouter.middlewares._tokens import PUBLIC_ALGORITHMS, BadToken, Rules, TokenCheck, holds, prepare, text_of
from edgerouter.registry import middleware

_LOGIN: Final = 600  # seconds that a login may take
_LARGEST: Final = 3800  # bytes of a cookie that browsers keep


class Options(Model, frozen=True):
    """Options of ``oidc``."""

    # URL of the provider, as it stands in its tokens
    issuer: str = ""
    tls: TLS | None = None
    # the name by which the provider knows this client
    client_id: str = ""
    # its secret; none for a public client
    client_secret: Secret = Secret("")
    # where browsers come back to: a path, or a whole URL
    redirect_url: str = "/oauth2/callback"
    # path that ends the session
    logout_path: str = ""
    # what is asked for
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    # more parameters of the request to the provider
    auth_params: dict[str, str] = {}
    # secret of at least 32 characters that sessions are signed with; the same on all machines
    session_secret: Secret = Secret("")
    # how long a session lasts
    session_duration: Duration = Duration(12 * 3600)
    # name of the session's cookie
    cookie_name: str = "edgerouter_session"
    # domain of the cookie; the request's host alone when absent
    cookie_domain: str = ""
    # SameSite of the cookie
    same_site: Literal["lax", "strict", "none"] = "lax"
    # claims and the value that each must have, be a list with, or be words with
    required_claims: dict[str, str] = {}
    # fields of the request and the claims that they get
    forward_headers: dict[str, str] = {}
    # claim that is the user's name in the access log
    username_claim: str = "sub"


@middleware("oidc", Options)
class Oidc(Middleware):
    """Who has a session passes at once; all else is a conversation with the provider."""

    prepare = staticmethod(prepare)

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        _check(options)
        self._options = options
        self._provider = OidcProvider(options.issuer, options.client_id, options.client_secret.reveal(), options.tls)
        who = (options.issuer, options.client_id, sorted(options.required_claims.items()))
        self._signer = CookieSigner(options.session_secret.reveal(), repr(who))
        self._callback = urlsplit(options.redirect_url).path
        self._tokens = TokenCheck(Rules(PUBLIC_ALGORITHMS, options.issuer, (options.client_id,)))
        self._kept = {options.username_claim, *options.forward_headers.values()}

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        if request.path == self._callback:
            return self._guarded(exchange, self._come_back(exchange))
        if self._options.logout_path and request.path == self._options.logout_path:
            return self._guarded(exchange, self._log_out(exchange))
        claims = self._session(request)
        if claims is not None:
            self._pass(exchange, claims)
            return None
        if request.method not in ("GET", "HEAD"):
            return unauthorized(exchange, "", "oidc: no session, and this method cannot be sent to a login")
        return self._guarded(exchange, self._send_away(exchange))

    async def _guarded(self, exchange: Exchange, work: Awaitable[Response]) -> Response:
        try:
            return await work
        except BadToken as error:
            return unauthorized(exchange, "", f"oidc: the ID token does not count: {error}")
        except EndpointFailed as error:
            return failed(exchange, "oidc", error)

    # -- a session --------------------------------------------------------------------------------------------------

    def _session(self, request: Request) -> dict[str, Any] | None:
        for cookie in cookie_values(request.headers, self._options.cookie_name):
            values = self._signer.read("session", cookie, time.time())
            if values is not None:
                claims = values.get("claims")
                return claims if isinstance(claims, dict) else None
        return None

    def _pass(self, exchange: Exchange, claims: dict[str, Any]) -> None:
        headers = exchange.request.headers
        exchange.user = text_of(claims.get(self._options.username_claim))
        for name, claim in self._options.forward_headers.items():
            value = text_of(claims.get(claim))
            if value:
                set_identity(headers, name, value)
            else:
                drop_identity(headers, name)
        without_cookie(headers, self._options.cookie_name)

    # -- to the provider and back -----------------------------------------------------------------------------------

    async def _send_away(self, exchange: Exchange) -> Response:
        addresses = await self._provider.addresses(exchange)
        state, nonce, verifier = (secrets.token_urlsafe(24) for _ in range(3))
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        question = {
            **self._options.auth_params,
            "response_type": "code",
            "client_id": self._options.client_id,
            "redirect_uri": self._redirect_uri(exchange.request),
            "scope": " ".join(self._options.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        url = exchange.request.target_text()
        values = {"nonce": nonce, "verifier": verifier, "url": url if len(url) <= 2000 else "/"}
        login = self._signer.make(f"login {state}", values, time.time() + _LOGIN)
        mark = "&" if "?" in addresses.authorize else "?"
        answer = _redirect(f"{addresses.authorize}{mark}{urlencode(question)}")
        self._set_cookie(exchange.request, answer, self._login_cookie(state), login, _LOGIN, "Lax")
        return answer

    async def _come_back(self, exchange: Exchange) -> Response:
        request = exchange.request
        given = {name: values[0] for name, values in parse_qs(request.query).items() if len(values) == 1}
        state = given.get("state", "")
        login = self._login(request, state)
        if login is None:
            return _refuse(exchange, 400, "the login is not known, or took too long; go back and begin again")
        if "code" not in given:
            return _refuse(exchange, 403, f"the provider says {given.get('error', 'nothing')[:80]!r}")
        redirect_uri = self._redirect_uri(request)
        token = await self._provider.exchange_code(exchange, given["code"], redirect_uri, login["verifier"])
        claims = await self._claims(exchange, token, login["nonce"])
        for name, value in self._options.required_claims.items():
            if not holds(claims.get(name), value):
                return _refuse(exchange, 403, f"the claim {name} does not hold what is required")
        return self._begin(request, state, claims, login["url"])

    def _login(self, request: Request, state: str) -> dict[str, Any] | None:
        if not state:
            return None
        for cookie in cookie_values(request.headers, self._login_cookie(state)):
            values = self._signer.read(f"login {state}", cookie, time.time())
            if values is not None:
                return values
        return None

    async def _claims(self, exchange: Exchange, token: str, nonce: str) -> dict[str, Any]:
        source = (await self._provider.addresses(exchange)).keys
        keys = await source.get(exchange)
        if not self._tokens.names_key(token, keys):
            keys = await source.get(exchange, unknown=True)
        claims = self._tokens.check(token, keys)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise BadToken("its nonce is of another login")
        if claims.get("azp", self._options.client_id) != self._options.client_id:
            raise BadToken("it was made for another client")
        return claims

    def _begin(self, request: Request, state: str, claims: dict[str, Any], url: str) -> Response:
        kept = {name: claims[name] for name in sorted(self._kept) if name in claims}
        seconds = int(self._options.session_duration)
        cookie = self._signer.make("session", {"claims": kept}, time.time() + seconds)
        if len(cookie) > _LARGEST:
            raise BadToken(f"the claims of forwardHeaders are longer than a cookie of {_LARGEST} bytes")
        answer = _redirect(_own(url))
        self._set_cookie(request, answer, self._options.cookie_name, cookie, seconds, self._options.same_site.title())
        self._set_cookie(request, answer, self._login_cookie(state), "", 0, "Lax")
        return answer

    async def _log_out(self, exchange: Exchange) -> Response:
        logout = (await self._provider.addresses(exchange)).logout
        mark = "&" if "?" in logout else "?"
        answer = _redirect(f"{logout}{mark}{urlencode({'client_id': self._options.client_id})}" if logout else "/")
        same_site = self._options.same_site.title()
        self._set_cookie(exchange.request, answer, self._options.cookie_name, "", 0, same_site)
        return answer

    # -- names ------------------------------------------------------------------------------------------------------

    def _redirect_uri(self, request: Request) -> str:
        url = self._options.redirect_url
        return url if not url.startswith("/") else f"{client_scheme(request)}://{request.authority}{url}"

    def _login_cookie(self, state: str) -> str:
        """One a login, so that two tabs can log in at once."""
        return f"{self._options.cookie_name}_{sha256(state.encode()).hexdigest()[:8]}"

    def _set_cookie(
        self, request: Request, answer: Response, name: str, value: str, seconds: int, same_site: str
    ) -> None:
        parts = [f"{name}={value}", "Path=/", f"Max-Age={seconds}", "HttpOnly", f"SameSite={same_site}"]
        if client_scheme(request) == "https":
            parts.append("Secure")
        if self._options.cookie_domain:
            parts.append(f"Domain={self._options.cookie_domain}")
        answer.headers.add("Set-Cookie", "; ".join(parts))


def _check(options: Options) -> None:
    if not options.client_id:
        raise ValueError("oidc: clientId is empty; write the name by which the provider knows this client")
    if len(options.session_secret.reveal()) < 32:
        raise ValueError("oidc: sessionSecret has less than 32 characters; make one with openssl rand -hex 32")
    if not urlsplit(options.redirect_url).path.startswith("/"):
        raise ValueError(f"oidc: redirectUrl: {options.redirect_url!r} is no path and no URL; write /oauth2/callback")
    if options.session_duration <= 0:
        raise ValueError("oidc: sessionDuration must be more than 0; write e.g. 12h")
    if "openid" not in options.scopes:
        raise ValueError("oidc: scopes lack openid, without which there is no ID token")
    check_field("oidc: cookieName", options.cookie_name)
    check_field("oidc: cookieDomain", "Set-Cookie", options.cookie_domain)
    for name in options.forward_headers:
        check_field("oidc: forwardHeaders", name)


def _own(url: str) -> str:
    """Only ever a path of this host: ``//evil`` and ``/\\evil`` are other hosts for browsers."""
    return url if url.startswith("/") and url[1:2] not in ("/", "\\") else "/"


def _redirect(location: str) -> Response:
    answer = Response.text(302, "")
    answer.headers.set("Location", location)
    answer.headers.set("Cache-Control", "no-store")
    return answer


def _refuse(exchange: Exchange, status: int, why: str) -> Response:
    exchange.cause = "UNAUTHORIZED"
    exchange.detail = f"oidc: {why}"
    return Response.text(status, f"{why}\n")
