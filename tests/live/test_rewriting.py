"""The middlewares that redirect, rewrite, send again, set limits and log in, through one router as it is started."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from live.toolbox import EchoServer, Reply, Router, fetch

SECRET = "correct-horse-battery-staple-0123"
MESSAGE = b"\0\0\0\0\x05hello"


@asynccontextmanager
async def provider() -> AsyncIterator[str]:
    """An OpenID provider that only says where its doors are; and a flaky server: 503 to the first of each path."""
    seen: set[bytes] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        url = f"http://127.0.0.1:{port}"
        ends = {"issuer": url, **{f"{end}_endpoint": f"{url}/{end}" for end in ("authorization", "token")}}
        known = path in seen or path.startswith(b"/.well-known/")
        seen.add(path)
        body = json.dumps({**ends, "jwks_uri": f"{url}/keys"}).encode()
        head = f"HTTP/1.1 {200 if known else 503} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()


def middlewares(url: str) -> dict[str, Any]:
    return {
        "scheme": {"redirectScheme": {"scheme": "https", "port": "8443"}},
        "regex": {"redirectRegex": {"regex": "^http://regex[.]test/old/(.*)", "replacement": "https://new.test/$1"}},
        "path": {"replacePath": {"path": "/fixed"}},
        "pathregex": {"replacePathRegex": {"regex": "^/a/([0-9]+)/(.*)", "replacement": "/b/$2/$1"}},
        "strip": {"stripPrefix": {"prefixes": ["/api"]}},
        "both": {"chain": {"middlewares": ["strip", "path"]}},
        "white": {"ipWhiteList": {"sourceRange": ["10.0.0.0/8"]}},
        "web": {"grpcWeb": {"allowOrigins": ["https://app.test"]}},
        "again": {"retry": {"attempts": 3, "status": ["503"]}},
        "limits": {"timeouts": {"firstByte": "300ms"}},
        "login": {"oidc": {"issuer": url, "clientId": "edge", "sessionSecret": SECRET}},
    }


def configuration(echo: str, flaky: str) -> dict[str, Any]:
    given = middlewares(flaky)
    routers = {
        name: {"rule": f"Host(`{name}.test`)", "service": "flaky" if name == "again" else "app", "middlewares": [name]}
        for name in given
    }
    services = {
        "app": {"loadBalancer": {"servers": [{"url": echo}]}},
        "flaky": {"loadBalancer": {"servers": [{"url": flaky}]}},
    }
    return {"http": {"routers": routers, "services": services, "middlewares": given}}


JSON = {"Accept": "application/json"}
PREFLIGHT = {
    "Origin": "https://app.test",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "x-grpc-web",
}
# name, path, what else is asked, status, fields, what the echo was asked ("": nothing)
ROWS: list[tuple[str, str, dict[str, Any], int, dict[str, str | None], str]] = [
    ("scheme", "/a?b=c", {}, 302, {"location": "https://scheme.test:8443/a?b=c"}, ""),
    ("scheme", "/a", {"method": "POST"}, 307, {"location": "https://scheme.test:8443/a"}, ""),
    ("scheme", "//evil.test", {}, 302, {"location": "https://scheme.test:8443/evil.test"}, ""),
    ("regex", "/old/a?b=c", {}, 302, {"location": "https://new.test/a?b=c"}, ""),
    ("regex", "/old/%0d%0aX-Evil:1", {}, 302, {"location": "https://new.test/%0D%0AX-Evil:1", "x-evil": None}, ""),
    ("regex", "/other", {}, 200, {"location": None}, "/other"),
    ("path", "/a/b?c=d", {}, 200, {}, "/fixed?c=d"),
    ("pathregex", "/a/7/x?c=d", {}, 200, {}, "/b/x/7?c=d"),
    ("pathregex", "/a/7/..%2f..%2fadmin", {}, 200, {}, "/b/..%2F..%2Fadmin/7"),
    ("strip", "/api/x", {}, 200, {}, "/x"),
    ("strip", "/api//x", {}, 200, {}, "/x"),
    ("strip", "/api/../admin", {}, 200, {}, "/admin"),
    ("both", "/api/x", {}, 200, {}, "/fixed"),
    ("white", "/", {}, 403, {}, ""),
    ("white", "/", {"headers": {"X-Forwarded-For": "10.0.0.1"}}, 403, {}, ""),
    ("web", "/", {"method": "OPTIONS", "headers": PREFLIGHT}, 204,
     {"access-control-allow-origin": "https://app.test"}, ""),
    ("web", "/pkg.Svc/Do", {"method": "POST", "body": base64.b64encode(MESSAGE),
     "headers": {"Content-Type": "application/grpc-web-text+proto"}}, 200, {}, "/pkg.Svc/Do"),
    ("again", "/r", {}, 200, {}, ""),
    ("limits", "/?delay=3", {"headers": JSON}, 504, {}, "/?delay=3"),
    ("limits", "/", {}, 200, {}, "/"),
    ("login", "/private", {"method": "POST"}, 401, {"location": None}, ""),
]  # fmt: skip


async def ask(router: Router, name: str, path: str, **more: Any) -> Reply:
    return await fetch(router.port("web"), path, f"{name}.test", **more)


async def test_rows(tmp_path: Path) -> None:
    """All of them, one after the other; no row changes what another finds."""
    async with EchoServer() as echo, provider() as flaky:
        static = {"entryPoints": {"web": {"http": {"sanitizePath": True}}}}
        async with Router(tmp_path, configuration(echo.url, flaky), static) as router:
            for row in ROWS:
                name, path, more, status, fields, asked = row
                echo.last = {}
                reply = await ask(router, name, path, **more)
                assert (reply.status, {field: reply.headers.get(field) for field in fields}) == (status, fields), row
                assert echo.last.get("path", "") == asked or not asked, (row, echo.last)
                assert bool(echo.last) == bool(asked), row
            timed = await ask(router, "limits", "/?delay=3", headers=JSON)
            assert timed.json()["cause"] == "RESPONSE_TIMEOUT", timed.text
            await logs_in(router, flaky)


async def logs_in(router: Router, url: str) -> None:
    """Who has no session is sent to the provider, and no made-up cookie is one."""
    reply = await ask(router, "login", "/private?a=b")
    there = urlsplit(reply.headers["location"])
    assert reply.status == 302 and f"{there.scheme}://{there.netloc}{there.path}" == f"{url}/authorization"
    query = {name: values[0] for name, values in parse_qs(there.query).items()}
    assert query["client_id"] == "edge" and query["response_type"] == "code" and query["state"]
    assert query["redirect_uri"] == "http://login.test/oauth2/callback"
    body = base64.urlsafe_b64encode(b'{"sub":"root","exp":9999999999}').decode().rstrip("=")
    for value in ("x", body, f"{body}.x", f"{body}.{body}", f"1.{body}.{'A' * 43}", "a" * 5000, '{"sub":"root"}'):
        forged = await ask(router, "login", "/private", headers={"Cookie": f"edgerouter_session={value}"})
        assert forged.status == 302, value
    for asked in (f"?code=x&state={query['state']}", "?code=x&state=y", ""):
        stolen = await ask(router, "login", f"/oauth2/callback{asked}")
        assert stolen.status in (302, 400, 401, 403) and "session=" not in stolen.headers.get("set-cookie", ""), asked
