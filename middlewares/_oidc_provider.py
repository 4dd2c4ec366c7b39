"""An OpenID provider as a client of it sees it: its addresses by discovery, and a code's exchange for an ID token.

OpenID Connect Core 1.0 sections 3.1.2 and 3.1.3, Discovery 1.0 section 4, RFC 7636 (S256).
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import msgspec

from edgerouter.errors import EdgeError
from edgerouter.http.body import Body
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.middlewares._endpoint import TLS, Endpoint, EndpointFailed
from edgerouter.middlewares._key_source import FetchedKeys, fetch

_AGAIN_AFTER: Final = 2.0  # seconds, when discovery failed
_DOCUMENT: Final = "/.well-known/openid-configuration"


class Addresses(msgspec.Struct, frozen=True):
    """What discovery gave."""

    authorize: str
    token: Endpoint
    keys: FetchedKeys
    logout: str = ""


class OidcProvider:
    """``issuer`` as the provider writes it in tokens. Raises ValueError when it is no URL."""

    def __init__(self, issuer: str, client_id: str, client_secret: str, tls: TLS | None) -> None:
        self._issuer = issuer
        self._tls = tls
        self._id = client_id
        self._secret = client_secret
        self._document = Endpoint("oidc: issuer", issuer.rstrip("/") + _DOCUMENT, tls)
        self._addresses: Addresses | None = None
        self._not_before = 0.0
        self._fault = ""
        self._lock = asyncio.Lock()

    async def addresses(self, exchange: Exchange) -> Addresses:
        """By discovery, once. Raises EndpointFailed."""
        async with self._lock:
            if self._addresses is None and time.monotonic() >= self._not_before:
                try:
                    self._addresses = self._read(await fetch(exchange, self._document))
                except (EndpointFailed, EdgeError, ValueError) as error:
                    self._fault = f"{self._document.url}: {error}"
                    self._not_before = time.monotonic() + _AGAIN_AFTER
        if self._addresses is None:
            raise EndpointFailed(self._fault)
        return self._addresses

    def _read(self, data: bytes) -> Addresses:
        try:
            found: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
            authorize, token, keys = (
                str(found[name]) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
            )
        except (msgspec.DecodeError, KeyError) as error:
            raise ValueError(f"no discovery document: {error}") from None
        if found.get("issuer") != self._issuer:
            raise ValueError(f"it is the document of another issuer, {found.get('issuer')!r}")
        return Addresses(
            authorize=Endpoint("authorization_endpoint", authorize).url,
            token=Endpoint("token_endpoint", token, self._tls),
            keys=FetchedKeys(Endpoint("jwks_uri", keys, self._tls)),
            logout=str(found.get("end_session_endpoint", "")),
        )

    async def exchange_code(self, exchange: Exchange, code: str, redirect_uri: str, verifier: str) -> str:
        """The ID token for a code. Raises EndpointFailed."""
        addresses = await self.addresses(exchange)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        if not self._secret:
            form["client_id"] = self._id
        body = urlencode(form).encode()
        headers = Headers.of([("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json")])
        if self._secret:
            pair = f"{quote_plus(self._id)}:{quote_plus(self._secret)}"
            headers.set("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
        request = Request("POST", b"", "", headers)
        request.body = Body.of(body)
        try:
            data = await fetch(exchange, addresses.token, request)
            token = msgspec.json.decode(data, type=dict[str, Any]).get("id_token")
        except (EdgeError, msgspec.DecodeError) as error:
            raise EndpointFailed(f"{addresses.token.url}: {error}") from None
        if not isinstance(token, str):
            raise EndpointFailed(f"{addresses.token.url} gave no id_token; is openid among the scopes?")
        return token
