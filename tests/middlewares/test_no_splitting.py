"""No middleware can be made to write a second field, a second message or a name that is none: neither by what clients
send and middlewares decode, nor by what options hold. Real bytes in, and all bytes that go to server and client out."""

from __future__ import annotations

import base64
import re
import time
from hashlib import md5, sha1
from typing import Any
from urllib.parse import quote

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from on_the_wire import Seen, reply, running, serving
from steps import answered, ask, make
from test_forward_auth import stage

from edgerouter.contracts.plugins import Middleware

SECRET = "correct-horse-battery-staple-0123"
NEXT = "\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
EVIL = ["x\r\nX-Evil: 1", "x\nX-Evil: 1", "x\rX-Evil: 1", "x\0X-Evil: 1", f"x{NEXT}", "\u010d\u010aX-Evil: 1"]
FIRST = re.compile(rb"[A-Z]+ [\x21-\x7e]+ HTTP/1\.1|HTTP/1\.1 [1-9][0-9]{2} [\t\x20-\x7e\x80-\xff]*")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*[^\r\n\0]*")


def assert_one_message(data: bytes) -> None:
    """Nothing but whole lines, each a field of a name that may be there, up to the head's end."""
    head, end, _ = data.partition(b"\r\n\r\n")
    assert end, data
    first, *lines = head.split(b"\r\n")
    assert FIRST.fullmatch(first), first
    for line in lines:
        found = FIELD.fullmatch(line)
        assert found is not None, line
        assert found[1].lower() != b"x-evil", data
    assert b"\nX-Evil" not in data and b"\rX-Evil" not in data


async def exchanged(step: Middleware, raw: bytes, services: dict[str, Any], answer: bytes) -> tuple[int, Seen]:
    """Status, and what servers saw, all of it looked through."""
    seen: Seen = []
    named = {name: serving(page, seen=seen) for name, page in services.items()}
    async with running(serving(answer, seen=seen), steps=[step], services=named) as rig:
        data = await rig.ask(raw)
    assert data.startswith(b"HTTP/1.1 ") and data.count(b"\nHTTP/1.1 ") == 0, data
    assert_one_message(data)
    for head, _ in seen:
        assert_one_message(head)
    assert len(seen) <= 1 + len(services)
    return int(data[9:12]), seen


def raw(target: str = "/a", method: str = "GET", **fields: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\nHost: acme.com\r\nConnection: close\r\n{lines}\r\n".encode("latin-1")


# -- what clients send, decoded on the way -------------------------------------------------------------------------


def basic(evil: str) -> bytes:
    return raw(Authorization="Basic " + base64.b64encode(f"{evil}:p".encode()).decode())


def bearer(evil: str) -> bytes:
    claims = {"exp": int(time.time()) + 600, "sub": evil, "groups": [evil, evil], "deep": {"a": evil}}
    made = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))
    return raw(Authorization=f"Bearer {made}")


def digest(evil: str) -> bytes:
    shown = evil.replace("\r", "\\\r").replace("\n", "\\\n")  # refused as bytes; escaped, it must stay text
    text = quote(shown, safe="")
    return raw(Authorization=f'Digest username="{text}", realm="traefik", nonce="{text}", uri="/a", response="x"')


def escaped(evil: str) -> bytes:
    return raw("/a/" + quote(evil, safe="") + "?u=" + quote(evil, safe=""))


def twice_escaped(evil: str) -> bytes:
    return raw("/a/" + quote(quote(evil, safe=""), safe=""))


def raw_field(evil: str) -> bytes:
    text = evil.encode().decode("latin-1").replace("\r\n", "\r")  # a whole line break is just the next field
    return raw(X_Request_Id=text, Origin=text, X_Forwarded_Proto=text, X_Forwarded_Host=text, Cookie=f"t={text}")


def preflight(evil: str) -> bytes:
    text = quote(evil, safe=" :")
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": f"x-grpc-web,{text}"}
    return raw(method="OPTIONS", Origin=f"http://{text}", **asked)


CORS = {"accessControlAllowOriginList": ["*"], "accessControlAllowCredentials": True}
HASH = "{SHA}" + base64.b64encode(sha1(b"p").digest()).decode()
SENT: list[tuple[str, dict[str, Any], Any]] = [
    ("basicAuth", {"users": [f"ann:{HASH}"], "headerField": "X-User"}, basic),
    ("jwt", {"signingSecret": SECRET, "forwardHeaders": {"X-User": "sub", "X-Groups": "groups"}}, bearer),
    ("jwt", {"signingSecret": SECRET, "forwardHeaders": {"X-Deep": "deep", "X-Inner": "deep.a"}}, bearer),
    ("digestAuth", {"users": ["ann:traefik:" + md5(b"ann:traefik:p").hexdigest()], "headerField": "X-User"}, digest),
    ("redirectRegex", {"regex": "^http://[^/]+/a/(.*)", "replacement": "http://b.test/$1"}, escaped),
    ("redirectScheme", {"scheme": "https"}, escaped),
    ("redirectScheme", {"scheme": "https"}, raw_field),
    ("addPrefix", {"prefix": "/p"}, escaped),
    ("addPrefix", {"prefix": "/p"}, twice_escaped),
    ("replacePath", {"path": "/new"}, escaped),
    ("replacePathRegex", {"regex": "^/a/(.*)", "replacement": "/b/$1"}, escaped),
    ("replacePathRegex", {"regex": "^/a/(.*)", "replacement": "/b/$1"}, twice_escaped),
    ("stripPrefix", {"prefixes": ["/a"]}, escaped),
    ("stripPrefixRegex", {"regex": ["/a/[^/]*"]}, escaped),
    ("errors", {"status": ["200"], "service": "pages@file", "query": "/{status}?u={url}"}, escaped),
    ("requestId", {}, raw_field),
    ("headers", CORS, raw_field),
    ("headers", CORS, preflight),
    ("grpcWeb", {"allowOrigins": ["*"]}, preflight),
    ("responseCache", {"keyHeaders": ["X-Request-Id"]}, raw_field),
    ("contentType", {}, escaped),
]  # fmt: skip

PATHS = ("addPrefix", "replacePath", "replacePathRegex", "stripPrefix", "stripPrefixRegex", "forwardAuth")


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
@pytest.mark.parametrize(("kind", "options", "sent"), SENT, ids=[f"{row[0]}-{row[2].__name__}" for row in SENT])
async def test_what_clients_send(kind: str, options: dict[str, Any], sent: Any, evil: str) -> None:
    pages = {"pages@file": reply(200, b"page")} if kind == "errors" else {}
    status, _ = await exchanged(make(kind, options), sent(evil), pages, reply(200, b"ok"))
    assert status in (200, 204, 301, 302, 400, 401)
    if sent is not raw_field:
        assert status != 400 or kind in PATHS, "what is encoded is no fault of the client's"


# -- what options hold ----------------------------------------------------------------------------------------------

NAMES = ["X-Evil: 1\r\nX", "X Evil", "X:", "", "X\0", "\u010d\u010aX-Evil"]
VALUES: list[tuple[str, Any]] = [
    ("headers", lambda evil: {"customRequestHeaders": {"X-A": evil}}),
    ("headers", lambda evil: {"customRequestHeaders": {"Host": evil}}),
    ("headers", lambda evil: {"customResponseHeaders": {"X-A": evil}}),
    ("headers", lambda evil: {"contentSecurityPolicy": evil}),
    ("headers", lambda evil: {"contentSecurityPolicyReportOnly": evil}),
    ("headers", lambda evil: {"referrerPolicy": evil}),
    ("headers", lambda evil: {"permissionsPolicy": evil}),
    ("headers", lambda evil: {"customFrameOptionsValue": evil}),
    ("headers", lambda evil: {"customBrowserXSSValue": evil}),
    ("headers", lambda evil: {"accessControlAllowOriginList": [evil], "accessControlExposeHeaders": [evil]}),
    ("headers", lambda evil: {"accessControlAllowOriginList": ["*"], "accessControlAllowMethods": [evil]}),
    ("headers", lambda evil: {"accessControlAllowOriginList": ["*"], "accessControlAllowHeaders": [evil]}),
    ("addPrefix", lambda evil: {"prefix": f"/{evil}"}),
    ("replacePath", lambda evil: {"path": f"/{evil}"}),
    ("replacePathRegex", lambda evil: {"regex": "^/a", "replacement": f"/{evil}"}),
    ("redirectRegex", lambda evil: {"regex": "^http://(.*)", "replacement": f"https://{evil}"}),
    ("redirectScheme", lambda evil: {"scheme": evil}),
    ("redirectScheme", lambda evil: {"scheme": "https", "port": evil}),
    ("basicAuth", lambda evil: {"users": [f"ann:{HASH}"], "realm": evil}),
    ("digestAuth", lambda evil: {"users": ["ann:traefik:" + "0" * 32], "realm": evil}),
    ("respond", lambda evil: {"headers": {"X-A": evil}}),
    ("respond", lambda evil: {"body": "x", "contentType": evil}),
    ("errors", lambda evil: {"status": ["200"], "service": "pages@file", "query": f"/{evil}"}),
]
KEPT_WITHIN_A_LINE = ("addPrefix", "replacePath", "replacePathRegex", "errors", "headers")
NAMED: list[tuple[str, Any]] = [
    ("headers", lambda evil: {"customRequestHeaders": {evil: "1"}}),
    ("headers", lambda evil: {"customResponseHeaders": {evil: "1"}}),
    ("respond", lambda evil: {"headers": {evil: "1"}}),
    ("requestId", lambda evil: {"header": evil}),
    ("basicAuth", lambda evil: {"users": [f"ann:{HASH}"], "headerField": evil}),
    ("jwt", lambda evil: {"signingSecret": SECRET, "forwardHeaders": {evil: "sub"}}),
    ("apiKey", lambda evil: {"keys": ["ann:p"], "headerField": evil}),
]


@pytest.mark.parametrize("number", range(len(VALUES) + len(NAMED)))
async def test_what_options_hold(number: int) -> None:
    """Refused where it is written, or kept within its line; and no request is answered 500 for it."""
    kind, options = [*VALUES, *NAMED][number]
    refused = 0
    for evil in EVIL if number < len(VALUES) else NAMES:
        try:
            step = make(kind, options(evil))
        except ValueError as error:
            assert str(error).startswith(f"{kind}: "), "the option is named"
            refused += 1
            continue
        pages = {"pages@file": reply(200, b"page")} if kind == "errors" else {}
        for sent in (raw(Origin="http://b.test"), basic("ann"), preflight("x"), bearer("ann")):
            status, _ = await exchanged(step, sent, pages, reply(200, b"ok"))
            assert status < 500, (kind, options(evil))
    assert refused >= 4 or kind in KEPT_WITHIN_A_LINE


def test_a_policy_over_several_lines_is_one_line() -> None:
    exchange = answered(ask())
    make("headers", {"contentSecurityPolicy": "default-src 'self';\n  img-src *;\n"}).on_response(exchange)
    assert exchange.response is not None
    assert exchange.response.headers.get("Content-Security-Policy") == "default-src 'self'; img-src *;"


# -- what servers answer --------------------------------------------------------------------------------------------

ANSWERS = [f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{line}\r\n\r\n" for line in (
    "X-User: a\rX-Evil: 1", "X-User: a\0X-Evil: 1", "X-User: a\n X-Evil: 1", "X-User: a\r\n X-Evil: 1",
    "X User: a", "X-User : a", "X-Us\0er: a", "Location: /a\rX-Evil: 1", "Set-Cookie: t=a\rX-Evil: 1",
)]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ANSWERS)))
async def test_what_servers_answer(number: int) -> None:
    """An auth server, a page for errors and the server itself: their bytes come through whole, or not at all."""
    answer = ANSWERS[number].encode("latin-1")
    copied = {"authResponseHeaders": ["X-User"], "authResponseHeadersRegex": "^X-", "addAuthCookiesToResponse": ["t"]}
    async with stage(answer, **copied) as play:
        status, data = await play.get()
        assert status >= 400 or number == 3
        assert_one_message(data)
        for head in play.served:
            assert_one_message(head)
    errors = make("errors", {"status": ["200-599"], "service": "pages@file"})
    status, _ = await exchanged(errors, raw(), {"pages@file": answer}, reply(200, b"ok"))
    for kind, options in (("headers", CORS), ("contentType", {}), ("compress", {}), ("responseCache", {})):
        status, _ = await exchanged(make(kind, options), raw(), {}, answer)
        assert status == 502 or number == 3
