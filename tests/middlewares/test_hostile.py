"""What attackers send, row by row, through middlewares in a real engine: header injection, open redirects, path tricks,
ways around authentication, forged cookies, cache poisoning, and bodies whose length a middleware changes."""

from __future__ import annotations

import asyncio
import base64
import gzip
import re
from typing import Any
from urllib.parse import unquote

import pytest
from live.toolbox import read_reply
from on_the_wire import Seen, asked, chunked, reply, request, running, serving
from steps import make

OK = reply(200, b"ok")
REDIRECT = {"redirectRegex": {"regex": "^https?://([^/]+)/(.*)", "replacement": "https://${1}/${2}"}}
SCHEME = {"redirectScheme": {"scheme": "https"}}


def raw(target: str, host: str = "acme.com", more: str = "") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode("latin-1")


# -- redirects: where clients are sent, and what gets into the field --------------------------------------------------

REDIRECTS: list[tuple[str, dict[str, Any], bytes]] = [
    ("a line break, escaped", REDIRECT, raw("/%0d%0aSet-Cookie:a=b")),
    ("a line break, escaped, in the query", REDIRECT, raw("/?a=%0d%0aSet-Cookie:a=b")),
    ("a line break of another kind", REDIRECT, raw("/%E5%98%8A%E5%98%8DSet-Cookie:a=b")),
    ("a bare CR", REDIRECT, raw("/a\rSet-Cookie:a=b")),
    ("a NUL", REDIRECT, raw("/a\0b")),
    ("a user before the host", REDIRECT, raw("/", "acme.com@evil.test")),
    ("a user before the host", SCHEME, raw("/", "acme.com@evil.test")),
    ("a path in the host", SCHEME, raw("/", "acme.com/evil.test")),
    ("a backslash in the host", SCHEME, raw("/", "acme.com\\evil.test")),
    ("a fragment in the host", SCHEME, raw("/", "evil.test#acme.com")),
    ("a space in the host", SCHEME, raw("/", "acme.com evil.test")),
    ("two hosts", SCHEME, raw("/", "acme.com", "Host: evil.test\r\n")),
    ("another host's URL", SCHEME, raw("http://evil.test/", "acme.com")),
    ("a second slash", {"redirectRegex": {"regex": "^http://[^/]+(.*)", "replacement": "$1"}}, raw("//evil.test/")),
    ("dots and slashes", {"redirectRegex": {"regex": "^http://[^/]+(.*)", "replacement": "$1"}}, raw("/.//evil.test")),
    ("a backslash", {"redirectRegex": {"regex": "^http://[^/]+(.*)", "replacement": "$1"}}, raw("/\\evil.test")),
    ("another scheme by a forged field", REDIRECT, raw("/", more="X-Forwarded-Proto: javascript\r\n")),
    ("another host by a forged field", SCHEME, raw("/", more="X-Forwarded-Host: evil.test\r\n")),
]


@pytest.mark.parametrize(("why", "kind", "sent"), REDIRECTS, ids=[row[0] for row in REDIRECTS])
async def test_redirects_lead_nowhere_else(why: str, kind: dict[str, Any], sent: bytes) -> None:
    """The absolute-form target names the host (RFC 9112 section 3.2.2): that one is the client's own choice."""
    name, options = next(iter(kind.items()))
    async with running(serving(OK), steps=[make(name, options)]) as rig:
        data = await rig.ask(sent)
        head = data.split(b"\r\n\r\n")[0]
        assert b"\r\nSet-Cookie" not in data and b"\n" not in head.replace(b"\r\n", b"")
        found = re.search(rb"\r\nLocation: ([^\r]*)", head)
        own = b"evil.test" if sent.startswith(b"GET http://evil.test") else b"acme.com"
        if found is not None:
            assert re.match(rb"https://%b(/|$)" % own, found[1]) or re.match(rb"/(?![/\\])", found[1]), found[1]
        else:
            assert head.split(b" ")[1] in (b"400", b"200")


# -- paths ----------------------------------------------------------------------------------------------------------

STRIP = ("stripPrefix", {"prefixes": ["/api"]})
REPLACE = ("replacePath", {"path": "/fixed"})
REGEX = ("replacePathRegex", {"regex": "^/api/(.*)", "replacement": "/v1/$1"})
TARGETS = [
    "/api/../admin",
    "/api/%2e%2e/admin",
    "/api/.%2E/admin",
    "/api/..%2fadmin",
    "/api/%2e%2e%2fadmin",
    "/api/..;/admin",
    "/api/..\\admin",
    "/api/..%5cadmin",
    "/api//admin",
    "/api/./admin",
    "/api../admin",
    "/api..%2fadmin",
    "/api/%252e%252e/admin",
    "/api%2f..%2fadmin",
    "/api/x/../../admin",
    "/api/?/../admin",
    "/api/%00/admin",
    "/api/\xff/admin",
]


@pytest.mark.parametrize("step", [STRIP, REPLACE, REGEX], ids=lambda step: step[0])
@pytest.mark.parametrize("target", TARGETS)
async def test_paths_do_not_climb(step: tuple[str, dict[str, Any]], target: str) -> None:
    """What a server gets is clean as it stands; an escape that was there stays one escape, and none is added."""
    seen: Seen = []
    async with running(serving(OK, seen=seen), steps=[make(*step)]) as rig:
        data = await rig.ask(raw(target))
        if not seen:
            assert data.split(b" ")[1] == b"400"
            return
        path = seen[0][0].split(b" ")[1].decode("latin-1").partition("?")[0]
        assert path.startswith("/") and "//" not in path and "\\" not in path
        assert not {".", ".."} & set(path.split("/"))
        assert not re.search(r"(?i)%2e", path), "an escaped dot is a dot (RFC 3986 section 6.2.2.2)"
        assert len(re.findall("%25", path)) == len(re.findall("%25", target)) or step is REPLACE
        if "%2f" not in target.lower() and "%5c" not in target.lower() and "\\" not in target:
            assert unquote(path).count("/") == path.count("/")


# -- who is let in ---------------------------------------------------------------------------------------------------

KEY = base64.urlsafe_b64encode(b"0123456789abcdef0123456789abcdef").rstrip(b"=").decode()
BASIC = ("basicAuth", {"users": ["ann:$apr1$aaaaaaaa$pfLZ/dxpmMmJjXVSOqyUH/"]})
DIGEST = ("digestAuth", {"users": ["ann:traefik:a2688e031edb4be6a3797f3882655c05"]})
API_KEY = ("apiKey", {"keys": ["ann:secret-of-ann"]})
API_COOKIE = ("apiKey", {"keys": ["ann:secret-of-ann"], "keySource": {"header": "", "cookie": "key"}})
JWT = ("jwt", {"signingSecret": KEY, "algorithms": ["HS256"]})
OIDC = ("oidc", {"issuer": "http://127.0.0.1:9", "clientId": "c", "sessionSecret": KEY})
ONLY_INSIDE = ("ipAllowList", {"sourceRange": ["10.0.0.0/8"]})
CLOSED = ("maintenance", {"allow": ["10.0.0.0/8"]})


def basic(text: str) -> str:
    return "Authorization: Basic " + base64.b64encode(text.encode()).decode() + "\r\n"


def token(header: str, claims: str, signature: str = "") -> str:
    parts = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in (header, claims)]
    return f"Authorization: Bearer {'.'.join(parts)}.{signature}\r\n"


DIGESTED = 'username="ann", realm="traefik", nonce="%s", uri="%s", qop=auth, nc=00000001, cnonce="x", response="%s"'
INSIDE = "".join(
    f"{name}: 10.0.0.1\r\n"
    for name in ("X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Client-Ip", "True-Client-Ip", "X_Forwarded_For")
)
WAYS_AROUND: list[tuple[str, tuple[str, dict[str, Any]], bytes]] = [
    ("no login", BASIC, raw("/")),
    ("an empty password", BASIC, raw("/", more=basic("ann:"))),
    ("no colon", BASIC, raw("/", more=basic("ann"))),
    ("the hash as password", BASIC, raw("/", more=basic("ann:$apr1$aaaaaaaa$pfLZ/dxpmMmJjXVSOqyUH/"))),
    ("a NUL behind the name", BASIC, raw("/", more=basic("ann\0:p"))),
    ("two logins", BASIC, raw("/", more=basic("ann:x") + basic("ann:y"))),
    ("a login of another scheme", BASIC, raw("/", more="Authorization: Negotiate YW5uOnA=\r\n")),
    ("not base64", BASIC, raw("/", more="Authorization: Basic !!!!\r\n")),
    ("a user in the target", BASIC, raw("http://ann:p@acme.com/")),
    ("a field in underscores", BASIC, raw("/", more=basic("ann:p").replace("Authorization", "Authoriz_ation"))),
    ("another way's path", BASIC, raw("/public/..%2fadmin")),
    ("OPTIONS", BASIC, raw("/").replace(b"GET", b"OPTIONS", 1)),
    (
        "an upgrade",
        BASIC,
        raw("/", more="Upgrade: websocket\r\n").replace(b"Connection: close", b"Connection: Upgrade"),
    ),
    ("a nonce of one's own", DIGEST, raw("/", more=f"Authorization: Digest {DIGESTED % ('x', '/', '0' * 32)}\r\n")),
    ("an unknown user", DIGEST, raw("/", more='Authorization: Digest username=""\r\n')),
    ("no key", API_KEY, raw("/?key=secret-of-ann")),
    ("the hash as key", API_KEY, raw("/", more="X-Api-Key: {SHA256}x\r\n")),
    ("two keys", API_KEY, raw("/", more="X-Api-Key: secret-of-ann\r\nX-Api-Key: other\r\n")),
    ("a forged cookie", API_COOKIE, raw("/", more="Cookie: key=secret-of-bob\r\n")),
    ("two cookies", API_COOKIE, raw("/", more="Cookie: key=secret-of-ann; key=other\r\n")),
    ("no token", JWT, raw("/")),
    ("the algorithm none", JWT, raw("/", more=token('{"alg":"none"}', '{"sub":"ann"}'))),
    ("no signature", JWT, raw("/", more=token('{"alg":"HS256"}', '{"sub":"ann"}'))),
    ("another algorithm", JWT, raw("/", more=token('{"alg":"RS256"}', '{"sub":"ann"}', "AAAA"))),
    ("a key of its own", JWT, raw("/", more=token('{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}', "{}", "AAAA"))),
    ("a token in the query", JWT, raw("/?access_token=x.y.z")),
    ("a forged session", OIDC, raw("/", more="Cookie: edgerouter_session=eyJjbGFpbXMiOnt9fQ.AAAA\r\n")),
    ("forged addresses", ONLY_INSIDE, raw("/", more=INSIDE)),
    ("forged addresses", CLOSED, raw("/", more=INSIDE)),
]


@pytest.mark.parametrize(("why", "step", "sent"), WAYS_AROUND, ids=[f"{row[1][0]}: {row[0]}" for row in WAYS_AROUND])
async def test_nobody_gets_in(why: str, step: tuple[str, dict[str, Any]], sent: bytes) -> None:
    """The server hears of none of it. The provider of ``oidc`` is not there: who has no session gets no further."""
    seen: Seen = []
    async with running(serving(OK, seen=seen), steps=[make(*step)]) as rig:
        answer = await asked(rig, sent)
        assert answer.status in ((500,) if step is OIDC else (400, 401, 403, 503)), answer
        assert seen == []


@pytest.mark.parametrize("name", ["X-User", "x-user", "X_User", "X_USER"])
async def test_nobody_says_who_they_are_by_themselves(name: str) -> None:
    seen: Seen = []
    step = make(API_KEY[0], {**API_KEY[1], "headerField": "X-User"})
    async with running(serving(OK, seen=seen), steps=[step]) as rig:
        await rig.ask(raw("/", more=f"{name}: root\r\nX-Api-Key: secret-of-ann\r\n{name}: root\r\n"))
        (head, _) = seen[0]
        assert b"root" not in head and head.lower().count(b"x-user: ann") == 1


# -- what a middleware does to lengths --------------------------------------------------------------------------------

INNER = b"GET /smuggled HTTP/1.1\r\nHost: acme.com\r\n\r\n"
SHAPES: list[tuple[str, bytes]] = [
    ("a length", request("POST", body=INNER)),
    ("chunks", request("POST", **{"Transfer-Encoding": "chunked"}) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER)),
    (
        "chunks with extensions and trailers",
        request("POST", **{"Transfer-Encoding": "chunked"})
        + b"%x;a=b\r\n%b\r\n0\r\nX-Length: 0\r\n\r\n" % (len(INNER), INNER),
    ),
]
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("buffering", {}),
    ("buffering", {"memRequestBodyBytes": 0, "memResponseBodyBytes": 0}),
    ("buffering", {"disableRequestBuffer": True, "maxRequestBodyBytes": 5000}),
    ("compress", {"minResponseBodyBytes": 0}),
    ("responseCache", {"defaultTtl": "1m"}),
    ("retry", {"attempts": 2, "status": ["500"]}),
    ("errors", {"status": ["500"], "service": "p@file"}),
    ("contentType", {}),
    ("grpcWeb", {}),
]


@pytest.mark.parametrize(("shape", "sent"), SHAPES, ids=[row[0] for row in SHAPES])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0]}-{len(step[1])}")
async def test_one_request_stays_one(step: tuple[str, dict[str, Any]], shape: str, sent: bytes) -> None:
    """The body that looks like a request is never one, and the next request on the connection is itself."""
    seen: Seen = []
    async with running(serving(OK, seen=seen), steps=[make(*step)]) as rig:
        reader, writer = await rig.connect()
        writer.write(sent + request(target="/next"))
        async with asyncio.timeout(20):
            replies = [await read_reply(reader) for _ in range(2)]
        writer.close()
        assert [one.status for one in replies] == [200, 200]
        assert [head.split(b" ")[1] for head, _ in seen] == [b"/", b"/next"]
        assert seen[0][1] == INNER
        framing = re.findall(rb"(?i)\r\n(content-length|transfer-encoding):", seen[0][0])
        assert len(framing) == 1


ANSWERS: list[tuple[str, bytes]] = [
    ("a length", reply(200, b"x" * 3000, Cache_Control="max-age=9")),
    ("chunks", chunked(b"x" * 2999, b"x", Cache_Control="max-age=9")),
    ("an empty one", reply(200, Cache_Control="max-age=9")),
    ("no body allowed", reply(204, Cache_Control="max-age=9")),
    ("looks like two", reply(200, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 100, Cache_Control="max-age=9")),
]


@pytest.mark.parametrize(("shape", "answer"), ANSWERS, ids=[row[0] for row in ANSWERS])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0]}-{len(step[1])}")
async def test_one_answer_stays_one(step: tuple[str, dict[str, Any]], shape: str, answer: bytes) -> None:
    """GET, HEAD and GET again on one connection: each gets its own answer, whole, framed once."""
    fields = {"Accept-Encoding": "gzip"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer.split(b"\r\n\r\n")[0] + b"\r\n\r\n" if head.startswith(b"HEAD") else answer)

    async with running(serve, steps=[make(*step)]) as rig:
        reader, writer = await rig.connect()
        sent = [request(method, **fields) for method in ("GET", "HEAD", "GET")]
        writer.write(b"".join(sent))
        async with asyncio.timeout(20):
            replies = [await read_reply(reader, method) for method in ("GET", "HEAD", "GET")]
        writer.close()
        bodies = {gzip.decompress(r.body) if "content-encoding" in r.headers else r.body for r in replies[::2]}
        direct = answer.split(b"\r\n\r\n", 1)[1]
        assert len(bodies) == 1 and (bodies.pop() == direct or shape == "chunks")
        assert replies[1].body == b""
        for one in replies:
            assert not {"content-length", "transfer-encoding"} <= one.headers.keys()


async def test_http_1_0_clients_get_no_chunks() -> None:
    async with running(serving(chunked(b"x" * 5000)), steps=[make("compress", {})]) as rig:
        data = await rig.ask(b"GET / HTTP/1.0\r\nHost: acme.com\r\nAccept-Encoding: gzip\r\n\r\n")
        head, body = data.split(b"\r\n\r\n", 1)
        assert b"Transfer-Encoding" not in head and gzip.decompress(body) == b"x" * 5000


# -- what must not be shared ------------------------------------------------------------------------------------------

KEPT = reply(200, b"first", Cache_Control="max-age=60")
POISON: list[tuple[str, bytes, bytes]] = [
    ("Host", request(Host="evil.test"), request()),
    ("a port", request(Host="acme.com:1337"), request()),
    ("a semicolon", request(target="/?a=1;b=2"), request(target="/?a=1")),
    ("a fat GET", request(body=b"a=2"), request()),
    ("an override", request(X_HTTP_Method_Override="DELETE"), request()),
    ("a rewritten URL", request(X_Rewrite_URL="/other"), request()),
    ("an escaped slash", request(target="/a%2fb"), request(target="/a/b")),
    ("an escaped question mark", request(target="/a%3fb"), request(target="/a?b")),
    ("a HEAD", request("HEAD"), request()),
    ("a range", request(Range="bytes=0-1"), request()),
]


@pytest.mark.parametrize(("why", "first", "second"), POISON, ids=[row[0] for row in POISON])
async def test_nobody_poisons_the_cache(why: str, first: bytes, second: bytes) -> None:
    head = KEPT.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    answers = (head if why == "a HEAD" else KEPT, reply(200, b"second", Cache_Control="max-age=60"))
    async with running(serving(*answers), steps=[make("responseCache", {"defaultTtl": "1m"})]) as rig:
        await asked(rig, first)
        assert (await asked(rig, second)).body == b"second"


async def test_one_user_s_page_is_not_another_s() -> None:
    """Says nothing of caching, looks like a file, comes with a cookie: it is not kept, whatever the options say."""
    step = make("responseCache", {"defaultTtl": "1h", "staleIfError": "1h"})
    async with running(serving(reply(200, b"Ann's"), reply(200, b"Bob's")), steps=[step]) as rig:
        assert (await asked(rig, request(target="/account/logo.css", Cookie="id=ann"))).body == b"Ann's"
        assert (await asked(rig, request(target="/account/logo.css", Cookie="id=bob"))).body == b"Bob's"


@pytest.mark.parametrize(
    "fields",
    [
        {"Accept_Encoding": ", " * 20_000},
        {"Accept_Encoding": "gzip;" + "q=" * 20_000},
        {"Cache_Control": '"' * 40_000},
        {"Cache_Control": "max-age=" + "9" * 40_000},
        {"If_None_Match": '"a", ' * 10_000},
        {"Accept": "a/b;q=0.1, " * 4_000},
        {"If_Modified_Since": "9" * 40_000},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_long_fields_cost_little(fields: dict[str, str]) -> None:
    kinds = ("compress", "responseCache", "errorPages", "requestId")
    steps = [make(kind, {}, slot=slot) for slot, kind in enumerate(kinds)]
    async with running(serving(KEPT), steps=steps) as rig:
        loop = asyncio.get_running_loop()
        await asked(rig, request(**fields))
        began = loop.time()
        for _ in range(5):
            assert (await asked(rig, request(**fields))).status in (200, 304)
        assert loop.time() - began < 5.0
