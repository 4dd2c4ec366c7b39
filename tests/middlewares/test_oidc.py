"""oidc: a login from the first request to the last, with a provider on a real socket; and what does not get in."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from proxy_rig import Rig, answering
from steps import make

from edgerouter.middlewares import _oidc_provider
from edgerouter.middlewares._signed_cookies import CookieSigner
from edgerouter.middlewares.oidc import _own

KEY, OTHER = RSAKey.generate_key(2048, {"kid": "one"}), RSAKey.generate_key(2048, {"kid": "one"})
SECRET = "a-session-secret-of-32-characters"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Provider:
    """Answers discovery, keys and the token endpoint; ``changes`` go into the ID token."""

    def __init__(self) -> None:
        self.issuer = ""
        self.nonce = ""
        self.challenge = ""
        self.key = KEY
        self.changes: dict[str, Any] = {}
        self.asked: list[str] = []
        self.status = 200

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head.split("\r\n")[1:])}
                body = (await reader.readexactly(int(fields.get("content-length", 0)))).decode()
                path = head.split(" ")[1]
                self.asked.append(path)
                text = json.dumps(self.answer(path, fields, body))
                writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
                await writer.drain()
        except (OSError, EOFError):
            writer.close()

    def answer(self, path: str, fields: dict[str, str], body: str) -> Any:
        if path.endswith("/openid-configuration"):
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            urls = {name: f"{self.issuer}/{last}" for name, last in names.items()}
            return {"issuer": self.issuer, **urls, "end_session_endpoint": f"{self.issuer}/end?x=1"}
        if path.endswith("/keys"):
            return KeySet([KEY]).as_dict(private=False)
        form = {name: values[0] for name, values in parse_qs(body).items()}
        assert path.endswith("/token") and form["grant_type"] == "authorization_code"
        assert form["redirect_uri"] == "http://app.test/oauth2/callback"
        assert fields["authorization"] == "Basic " + base64.b64encode(b"shop:client+s%C3%A9cret").decode()
        verified = base64.urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if form["code"] != "good" or verified != self.challenge:
            self.status = 400
            return {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "shop", "sub": "7", "exp": now + 60, "nonce": self.nonce, "name": "änn"}
        claims |= {"groups": ["staff", "b"], "big": "not kept", **self.changes}
        return {"id_token": jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key, algorithms=["RS256"])}


class Browser:
    """Keeps cookies, follows nothing."""

    def __init__(self, rig: Rig, provider: Provider) -> None:
        self.rig = rig
        self.provider = provider
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.location = ""

    async def go(self, target: str, *fields: str, method: str = "GET") -> int:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        lines = ["Host: app.test", "Connection: close", *([f"Cookie: {cookies}"] if cookies else []), *fields]
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
        data = (await self.rig.ask(head.encode("latin-1"))).decode("latin-1")
        pairs = [line.partition(": ") for line in data.partition("\r\n\r\n")[0].split("\r\n")]
        self.set_cookies = [value for name, _, value in pairs if name.lower() == "set-cookie"]
        for cookie in self.set_cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in cookie:
                del self.cookies[name]
        self.location = next((value for name, _, value in pairs if name.lower() == "location"), "")
        return int(data.split(" ")[1])

    async def leave(self, target: str = "/x?y=1") -> dict[str, str]:
        """To the provider: what it is asked."""
        assert await self.go(target) == 302
        assert self.location.startswith(f"{self.provider.issuer}/authorize?"), self.location
        question = {name: values[0] for name, values in parse_qs(urlsplit(self.location).query).items()}
        self.provider.nonce, self.provider.challenge = question["nonce"], question["code_challenge"]
        return question

    async def come_back(self, question: dict[str, str], code: str = "good") -> int:
        return await self.go(f"/oauth2/callback?code={code}&state={question['state']}")


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[tuple[Browser, Provider, list[bytes]]]:
    provider = Provider()
    server = await asyncio.start_server(provider, "127.0.0.1", 0)
    provider.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/realm"
    served: list[bytes] = []
    given = {
        "issuer": provider.issuer,
        "clientId": "shop",
        "clientSecret": "client sécret",
        "sessionSecret": SECRET,
        "forwardHeaders": {"X-User": "name", "X-Groups": "groups", "X-None": "none"},
        "requiredClaims": {"groups": "staff"},
        "logoutPath": "/logout",
        **options,
    }
    rig = await Rig.start(answering(OK, log=served), steps=[make("oidc", given)])
    try:
        yield Browser(rig, provider), provider, served
    finally:
        server.close()
        await rig.stop()


async def test_a_login_from_beginning_to_end() -> None:
    async with scene() as (browser, provider, served):
        question = await browser.leave("/x?y=1")
        assert question["response_type"] == "code" and question["client_id"] == "shop"
        assert question["redirect_uri"] == "http://app.test/oauth2/callback"
        assert question["scope"] == "openid profile email" and question["code_challenge_method"] == "S256"
        assert all("HttpOnly; SameSite=Lax" in cookie and "Max-Age=600" in cookie for cookie in browser.set_cookies)
        assert await browser.come_back(question) == 302
        assert browser.location == "/x?y=1"
        assert list(browser.cookies) == ["edgerouter_session"], "the login's own cookie is gone"
        browser.cookies["other"] = "1"
        assert await browser.go("/x", "X-User: root", "X_User: root", "X-None: root") == 200
        head = served[-1].decode("latin-1")
        assert "X-User: änn".encode().decode("latin-1") in head and "X-Groups: staff,b" in head
        assert "root" not in head and "edgerouter_session" not in head and "Cookie: other=1" in head
        assert "not kept" not in base64.b64decode(browser.cookies["edgerouter_session"].split(".")[0] + "==").decode()
        assert await browser.go("/x", method="POST") == 200
        assert provider.asked.count("/realm/.well-known/openid-configuration") == 1
        assert await browser.go("/logout") == 302
        assert browser.location == f"{provider.issuer}/end?x=1&client_id=shop"
        assert await browser.go("/x") == 302 and len(served) == 2


async def test_two_tabs_log_in_at_once() -> None:
    async with scene() as (browser, provider, _):
        one = await browser.leave("/one")
        two = await browser.leave("/two")
        assert await browser.come_back(two) == 302 and browser.location == "/two"
        provider.nonce, provider.challenge = one["nonce"], one["code_challenge"]
        assert await browser.come_back(one) == 302 and browser.location == "/one"


async def test_what_cannot_be_sent_to_a_login() -> None:
    async with scene() as (browser, _, served):
        assert await browser.go("/x", method="POST") == 401
        assert await browser.go("/x", method="DELETE") == 401
        assert served == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"nonce": "other"}, 401),
        ({"aud": "other"}, 401),
        ({"aud": ["shop", "other"], "azp": "other"}, 401),
        ({"iss": "https://evil"}, 401),
        ({"exp": 1}, 401),
        ({"exp": None}, 401),
        ({"groups": ["b"]}, 403),
        ({"groups": None}, 403),
        ({"name": "x" * 5000}, 401),
    ],
)
async def test_tokens_that_do_not_hold(changes: dict[str, Any], status: int) -> None:
    async with scene() as (browser, provider, served):
        question = await browser.leave()
        provider.changes = changes
        assert await browser.come_back(question) == status
        assert "edgerouter_session" not in browser.cookies and served == []


async def test_a_token_of_another_key() -> None:
    async with scene() as (browser, provider, _):
        question = await browser.leave()
        provider.key = OTHER
        assert await browser.come_back(question) == 401


@pytest.mark.parametrize(
    "target", ["?code=good&state={}x", "?code=good", "?code=good&state={}&state={}", "", "?state="]
)
async def test_callbacks_that_were_not_asked_for(target: str) -> None:
    async with scene() as (browser, _, _):
        question = await browser.leave()
        assert await browser.go("/oauth2/callback" + target.replace("{}", question["state"])) == 400
        browser.cookies.clear()
        assert await browser.come_back(question) == 400, "the browser that comes back is another one"


async def test_codes_that_do_not_work_and_people_who_say_no() -> None:
    async with scene() as (browser, _, _):
        question = await browser.leave()
        assert await browser.go(f"/oauth2/callback?error=access_denied&state={question['state']}") == 403
        question = await browser.leave()
        assert await browser.come_back(question, "bad") == 500
        assert browser.rig.records[-1].cause == "AUTH_SERVER_FAILED"
        assert "it answered 400" in browser.rig.records[-1].exchange.detail


async def test_a_provider_that_is_gone_or_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_oidc_provider, "_AGAIN_AFTER", 0.0)
    async with scene() as (browser, provider, served):
        own = provider.issuer
        for status, issuer, why in ((503, own, "it answered 503"), (200, f"{own}/b", "the document of another issuer")):
            provider.status, provider.issuer = status, issuer
            assert await browser.go("/") == 500
            assert why in browser.rig.records[-1].exchange.detail
        provider.issuer = own
        assert await browser.go("/") == 302, "asked again, and well"
        assert served == []
    async with scene(issuer="http://127.0.0.1:1/realm") as (browser, _, served):
        assert await browser.go("/") == 500
        assert "CONNECT_REFUSED" in browser.rig.records[-1].exchange.detail


@pytest.mark.parametrize("url", ["//evil.test/", "/\\evil.test", "https://evil.test/"])
async def test_nobody_is_sent_elsewhere_after_the_login(url: str) -> None:
    """The path that comes back from the cookie is looked at again, whoever signed it."""

    assert _own(url) == "/"
    assert _own("/x?y=//z") == "/x?y=//z"


def forged(issuer: str) -> dict[str, str]:
    who = repr((issuer, "shop", [("groups", "staff")]))
    claims = {"claims": {"name": "root"}}
    later = time.time() + 600
    good = CookieSigner(SECRET, who).make("session", claims, later)
    body, _, sign = good.rpartition(".")
    other = base64.urlsafe_b64encode(json.dumps({**claims, "ends": later * 2}).encode()).rstrip(b"=").decode()
    return {
        "good": good,
        "another secret": CookieSigner("x" * 32, who).make("session", claims, later),
        "another client": CookieSigner(SECRET, repr((issuer, "x", []))).make("session", claims, later),
        "other claims required": CookieSigner(SECRET, repr((issuer, "shop", []))).make("session", claims, later),
        "a login's cookie": CookieSigner(SECRET, who).make("login x", claims, later),
        "over": CookieSigner(SECRET, who).make("session", claims, time.time() - 1),
        "no signature": f"{body}.",
        "cut off": good[:-1],
        "another body": f"{other}.{sign}",
        "no body": f".{sign}",
        "rubbish": "\xff\xfe",
        "no claims": CookieSigner(SECRET, who).make("session", {}, later),
        "claims of another shape": CookieSigner(SECRET, who).make("session", {"claims": "root"}, later),
    }


async def test_forged_sessions() -> None:
    async with scene() as (browser, provider, served):
        for what, cookie in forged(provider.issuer).items():
            browser.cookies = {"edgerouter_session": cookie}
            assert await browser.go("/") == (200 if what == "good" else 302), what
        assert len(served) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clientId": ""}, "oidc: clientId is empty"),
        ({"sessionSecret": "short"}, "oidc: sessionSecret has less than 32 characters"),
        ({"issuer": "id.acme.com"}, "oidc: issuer: 'id.acme.com/.well-known/openid-configuration' is no address"),
        ({"redirectUrl": "callback"}, "oidc: redirectUrl: 'callback' is no path and no URL"),
        ({"scopes": ["profile"]}, "oidc: scopes lack openid"),
        ({"sessionDuration": 0}, "oidc: sessionDuration must be more than 0"),
        ({"cookieName": "a b"}, "oidc: cookieName: 'a b' is no header field"),
        ({"forwardHeaders": {"a b": "sub"}}, "oidc: forwardHeaders: 'a b' is no header field"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    good = {"issuer": "https://id/", "clientId": "shop", "sessionSecret": SECRET}
    with pytest.raises(ValueError) as caught:
        make("oidc", {**good, **options})
    assert message in str(caught.value)
    assert "short" not in str(caught.value).removeprefix(message)
