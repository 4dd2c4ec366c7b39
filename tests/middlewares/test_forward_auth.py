"""forwardAuth through a real engine: what the auth server is asked, what its answers do, how clients tried to lie."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from proxy_rig import Rig, answering
from steps import make

from edgerouter.config.static import EntryPoint, ForwardedHeaders

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def reply(status: int, *fields: str, body: str = "") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{lines}\r\n{body}".encode()


class Stage:
    """The router with one forwardAuth, its auth server and its server. ``asked`` and ``served``: heads received."""

    def __init__(self, rig: Rig, asked: list[bytes], served: list[bytes], address: str) -> None:
        self.rig = rig
        self.asked = asked
        self.served = served
        self.address = address

    async def get(self, target: str = "/", *fields: str, method: str = "GET", body: str = "") -> tuple[int, bytes]:
        """(status, the whole response) of one request."""
        length = [f"Content-Length: {len(body)}"] if body else []
        lines = "".join(f"{field}\r\n" for field in ("Host: app.test", "Connection: close", *length, *fields))
        data = await self.rig.ask(f"{method} {target} HTTP/1.1\r\n{lines}\r\n{body}".encode("latin-1"))
        return int(data.split(b" ")[1]), data

    def question(self) -> dict[str, list[str]]:
        return parsed(self.asked[-1])

    def request(self) -> dict[str, list[str]]:
        return parsed(self.served[-1])


def parsed(head: bytes) -> dict[str, list[str]]:
    """Fields of a head by name in lower case; the request line under ""."""
    first, *lines = head.decode("latin-1").split("\r\n")
    found: dict[str, list[str]] = {"": [first]}
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        found.setdefault(name.lower(), []).append(value.strip())
    return found


@asynccontextmanager
async def stage(
    *answers: bytes, app: bytes = OK, trusting: bool = False, context: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Stage]:
    asked: list[bytes] = []
    served: list[bytes] = []
    auth = await asyncio.start_server(quietly(answering(*answers, log=asked)), "127.0.0.1", 0, ssl=context)
    scheme = "http" if context is None else "https"
    address = f"{scheme}://127.0.0.1:{auth.sockets[0].getsockname()[1]}"
    step = make("forwardAuth", {"address": f"{address}/verify?x=1", **options})
    settings = EntryPoint(address=":0", forwarded_headers=ForwardedHeaders(insecure=trusting))
    rig = await Rig.start(answering(app, log=served), steps=[step], settings=settings)
    try:
        yield Stage(rig, asked, served, address)
    finally:
        auth.close()
        await rig.stop()


def quietly(serve: Any) -> Any:
    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    return run


async def test_what_is_asked() -> None:
    async with stage(reply(200)) as s:
        status, _ = await s.get(
            "/a/b?c=d", "Cookie: x=y", "X-Own: 1", "Expect: 100-continue", method="POST", body="hello"
        )
        assert status == 200
        question = s.question()
        assert question[""] == ["GET /verify?x=1 HTTP/1.1"]
        assert question["host"] == [s.address.removeprefix("http://")]
        assert question["x-forwarded-method"] == ["POST"]
        assert question["x-forwarded-proto"] == ["http"]
        assert question["x-forwarded-host"] == ["app.test"]
        assert question["x-forwarded-uri"] == ["/a/b?c=d"]
        assert question["x-forwarded-for"] == ["127.0.0.1"]
        assert (question["cookie"], question["x-own"]) == (["x=y"], ["1"])
        assert not {"content-length", "transfer-encoding", "expect", "connection"} & set(question)
        assert s.request()[""] == ["POST /a/b?c=d HTTP/1.1"]
        assert s.request()["content-length"] == ["5"]


LIES = (
    *("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil", "X-Forwarded-Uri: /public", "X-Forwarded-Method: HEAD"),
    *("X_Forwarded_Uri: /public", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /p", "X-Real-Ip: 6.6.6.6"),
)


@pytest.mark.parametrize("trust", [None, False, True])
async def test_lies_of_untrusted_clients_do_not_reach_the_auth_server(trust: bool | None) -> None:
    options = {} if trust is None else {"trustForwardHeader": trust}
    async with stage(reply(200), **options) as s:
        assert (await s.get("/secret", *LIES))[0] == 200
        question = s.question()
        assert question["x-forwarded-for"] == ["127.0.0.1"]
        assert question["x-forwarded-host"] == ["app.test"]
        assert question["x-forwarded-uri"] == ["/secret"]
        assert question["x-forwarded-method"] == ["GET"]
        assert question["x-forwarded-proto"] == ["http"]
        assert "6.6.6.6" not in str(question) and "/public" not in str(question) and "evil" not in str(question)


@pytest.mark.parametrize(
    ("trust", "uri", "chain", "prefix"),
    [
        (None, "/secret", ["127.0.0.1"], ["/p"]),
        (False, "/secret", ["127.0.0.1"], None),
        (True, "/public", ["6.6.6.6, 127.0.0.1"], ["/p"]),
    ],
)
async def test_what_a_trusted_proxy_says(
    trust: bool | None, uri: str, chain: list[str], prefix: list[str] | None
) -> None:
    options = {} if trust is None else {"trustForwardHeader": trust}
    async with stage(reply(200), trusting=True, **options) as s:
        assert (await s.get("/secret", *(lie for lie in LIES if not lie.startswith("X_"))))[0] == 200
        question = s.question()
        assert (question["x-forwarded-uri"], question["x-forwarded-for"]) == ([uri], chain)
        assert question.get("x-forwarded-prefix") == prefix


async def test_only_wanted_fields_are_sent() -> None:
    async with stage(reply(200), authRequestHeaders=["Cookie", "accept"]) as s:
        await s.get("/", "Cookie: a", "Accept: b", "Authorization: c")
        assert set(s.question()) - {"", "host", "cookie", "accept"} == {
            f"x-forwarded-{name}" for name in ("for", "host", "method", "proto", "uri")
        }


async def test_the_auth_servers_fields_take_the_place_of_the_clients() -> None:
    answer = reply(204, "X-User: ann", "X-Groups: a", "X-Groups: b", "X-Other: no", "Set-Cookie: s=1", "X-Web-Id: 7")
    options = {"authResponseHeaders": ["X-User", "X-Groups", "X-Role"], "authResponseHeadersRegex": "^X-Web-"}
    async with stage(answer, **options) as s:
        forged = ("X-User: root", "x-user: root", "X_User: root", "X-Role: admin", "X_role: admin", "X-Web-Name: root")
        assert (await s.get("/", *forged, "x-web_id: 0", "X-Kept: 1"))[0] == 200
        request = s.request()
        assert (request["x-user"], request["x-groups"], request["x-web-id"]) == (["ann"], ["a", "b"], ["7"])
        assert not {"x_user", "x-role", "x_role", "x-web-name", "x-web_id", "x-other", "set-cookie"} & set(request)
        assert request["x-kept"] == ["1"]


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 500, 503])
async def test_every_other_answer_is_the_clients(status: int) -> None:
    answer = reply(status, "X-Why: because", "WWW-Authenticate: Basic", "Set-Cookie: a=b", body="no")
    async with stage(answer) as s:
        found, data = await s.get("/")
        assert found == status
        head = data.lower()
        assert b"x-why: because" in head and b"www-authenticate: basic" in head and b"set-cookie: a=b" in head
        assert data.endswith(b"no")
        assert s.served == []


@pytest.mark.parametrize(
    ("keep", "given", "location"),
    [
        (False, "/login", "{}/login"),
        (False, "login", "{}/login"),
        (False, "https://other/x", "https://other/x"),
        (True, "/login", "/login"),
    ],
)
async def test_relative_locations(keep: bool, given: str, location: str) -> None:
    async with stage(reply(302, f"Location: {given}"), preserveLocationHeader=keep) as s:
        _, data = await s.get("/")
        assert f"Location: {location.format(s.address)}\r\n".encode() in data


async def test_sign_in() -> None:
    async with stage(reply(401, body="no"), reply(403), authSigninURL="https://login/") as s:
        status, data = await s.get("/")
        assert status == 302 and b"Location: https://login/\r\n" in data
        assert (await s.get("/"))[0] == 403


async def test_cookies_of_the_auth_server() -> None:
    app = reply(200, "Set-Cookie: session=app", "Set-Cookie: other=app")
    answer = reply(200, "Set-Cookie: session=auth; Path=/", "Set-Cookie: more=auth", "Set-Cookie: sessionx=auth")
    async with stage(answer, app=app, addAuthCookiesToResponse=["session"]) as s:
        _, data = await s.get("/")
        assert parsed(data)["set-cookie"] == ["other=app", "session=auth; Path=/"]


async def test_the_user_is_in_the_access_log() -> None:
    async with stage(reply(200, "X-Name: ann"), headerField="X-Name") as s:
        await s.get("/")
        await s.rig.until(lambda: bool(s.rig.records))
        assert s.rig.records[0].exchange.user == "ann"


async def test_the_body_goes_along_and_on() -> None:
    bodies: list[bytes] = []

    async def auth(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"PUT ") and b"content-length: 5" in head.lower()
        bodies.append(await reader.readexactly(5))
        writer.write(reply(200))
        await writer.drain()

    server = await asyncio.start_server(quietly(auth), "127.0.0.1", 0)

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        bodies.append(await reader.readexactly(5))
        writer.write(OK)
        await writer.drain()

    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    options = {"address": address, "forwardBody": True, "maxBodySize": 5, "preserveRequestMethod": True}
    rig = await Rig.start(app, steps=[make("forwardAuth", options)])
    try:
        stage_ = Stage(rig, [], [], address)
        assert (await stage_.get("/", method="PUT", body="hello"))[0] == 200
        assert bodies == [b"hello", b"hello"]
        status, _ = await stage_.get("/", method="PUT", body="hello!")
        assert status == 401
        await rig.until(lambda: len(rig.records) == 2)
        assert rig.records[1].cause == "BODY_TOO_LARGE"
        assert len(bodies) == 2
    finally:
        server.close()
        await rig.stop()


@pytest.mark.parametrize("status", [200, 403])
async def test_too_much_of_an_answer(status: int) -> None:
    async with stage(reply(status, body="x" * 11), reply(status, body="x" * 10), maxResponseBodySize=10) as s:
        assert (await s.get("/"))[0] == 401
        found, data = await s.get("/")
        assert found == status and data.endswith(b"ok" if status == 200 else b"x" * 10)


async def test_an_auth_server_that_is_gone_lets_nobody_pass() -> None:
    async with stage(reply(200)) as s:
        rig = await Rig.start(
            answering(OK, log=s.served), steps=[make("forwardAuth", {"address": "http://127.0.0.1:1/"})]
        )
        try:
            data = await rig.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert data.startswith(b"HTTP/1.1 500 ")
            await rig.until(lambda: bool(rig.records))
            assert rig.records[0].cause == "AUTH_SERVER_FAILED"
            assert rig.records[0].exchange.detail == "forwardAuth: CONNECT_REFUSED from 127.0.0.1:1"
            assert s.served == []
        finally:
            await rig.stop()


async def test_tls_to_the_auth_server() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    own = authority.issue_cert("client@router")
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    pem = authority.cert_pem.bytes().decode()
    key, chain = own.private_key_pem.bytes().decode(), own.cert_chain_pems[0].bytes().decode()
    for tls, status in (
        ({"ca": pem, "cert": chain, "key": key}, 200),
        ({"insecureSkipVerify": True, "cert": chain, "key": key}, 200),
        ({"cert": chain, "key": key}, 500),
        ({"ca": "/nonexistent"}, 500),
    ):
        async with stage(reply(200), context=context, tls=tls) as s:
            assert (await s.get("/"))[0] == status, tls


@pytest.mark.parametrize("address", ["", "auth:9091", "ftp://auth/", "http://", "http://a:b/", "//auth/"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError, match=r"forwardAuth: address: .* is no address; write http://host:port/path"):
        make("forwardAuth", {"address": address})
