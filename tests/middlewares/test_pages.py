"""errors, errorPages and contentType: options, a request and a server's answer in; what the client gets out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from on_the_wire import Seen, asked, chunked, fields_of, reply, request, running, serving
from steps import make

from edgerouter.middlewares._sniff import media_type_of

BAD = reply(500, b"broken", X_Own="1", Set_Cookie="a=b")
PAGE = reply(200, b"<h1>sorry</h1>", Content_Type="text/html", X_Page="1")

ERRORS: list[tuple[str, dict[str, Any], bytes, int, str | None]] = [
    ("replaced", {"query": "/{status}.html"}, BAD, 500, "/500.html"),
    ("another status", {"status": ["404", "501-599"]}, BAD, 500, None),
    ("in a list", {"status": ["404", "500"]}, BAD, 500, "/"),
    ("fine", {}, reply(200, b"ok"), 200, None),
    ("rewritten", {"statusRewrites": {"500": 404}, "query": "/{status}-{originalStatus}"}, BAD, 404, "/404-500"),
    ("rewritten by range", {"statusRewrites": {"500-503": 404}, "query": "e?{originalStatus}"}, BAD, 404, "/e?500"),
    ("the URL", {"query": "/p?u={url}"}, BAD, 500, "/p?u=%2Fa%2Fb%3Fc%3Dd%26e%2Bf"),
    ("nothing of the URL gets into the path", {"query": "/{url}"}, BAD, 500, "/%2Fa%2Fb%3Fc%3Dd%26e%2Bf"),
]


@pytest.mark.parametrize(("why", "options", "answer", "status", "target"), ERRORS, ids=[row[0] for row in ERRORS])
async def test_errors(why: str, options: dict[str, Any], answer: bytes, status: int, target: str | None) -> None:
    seen: Seen = []
    step = make("errors", {"status": ["400-599"], "service": "pages@file", **options})
    pages = {"pages@file": serving(PAGE, seen=seen)}
    async with running(serving(answer), steps=[step], services=pages) as rig:
        found = await asked(rig, request("POST", "/a/b?c=d&e+f", b"given"))
        assert found.status == status
        if target is None:
            assert seen == [] and found.body in (b"broken", b"ok")
        else:
            assert found.body == b"<h1>sorry</h1>"
            assert (found.headers.get("x-page"), found.headers.get("x-own")) == ("1", None)
            head, body = seen[0]
            assert head.splitlines()[0] == f"GET {target} HTTP/1.1".encode() and body == b""
        await rig.until(lambda: all(server.in_flight == 0 for server in rig.servers))


async def test_what_the_page_s_service_is_told() -> None:
    seen: Seen = []
    pages = {"p@file": serving(PAGE, seen=seen)}
    asks = {
        "Cookie": "a=1",
        "Accept": "text/html",
        "If_None_Match": '"x"',
        "Range": "bytes=0-1",
        "Content_Type": "text/plain",
    }
    for options, cookie in (
        ({}, ["a=1"]),
        ({"errorRequestHeaders": ["accept"]}, []),
        ({"errorRequestHeaders": []}, []),
    ):
        seen.clear()
        step = make("errors", {"status": ["500"], "service": "p@file", **options})
        async with running(serving(BAD), steps=[step], services=pages) as rig:
            await asked(rig, request("POST", "/", b"given", **asks))
        head = seen[0][0]
        assert fields_of(head, "Host") == ["acme.com"] and fields_of(head, "Cookie") == cookie
        assert fields_of(head, "X-Forwarded-For") == ["127.0.0.1"]
        gone = ("If-None-Match", "Range", "Content-Type", "Content-Length")
        assert [value for name in gone for value in fields_of(head, name)] == []


async def test_what_makes_a_status_complete_stays() -> None:
    answer = reply(401, b"no", WWW_Authenticate="Basic", Retry_After="9", X_Own="1")
    step = make("errors", {"status": ["401"], "service": "p@file"})
    async with running(serving(answer), steps=[step], services={"p@file": serving(PAGE)}) as rig:
        found = await asked(rig, request())
        assert (found.status, found.headers["www-authenticate"], found.headers["retry-after"]) == (401, "Basic", "9")
        assert "x-own" not in found.headers


async def test_the_router_s_own_failures_get_a_page_too() -> None:
    step = make("errors", {"status": ["503"], "service": "p@file"})
    async with running(steps=[step], services={"p@file": serving(reply(404, b"page"))}) as rig:
        found = await asked(rig, request())
        assert (found.status, found.body) == (503, b"page")
        assert rig.records[0].cause == "NO_SERVER"


@pytest.mark.parametrize("rewrites", [{}, {"500": 503}])
async def test_without_its_page_a_response_stays(rewrites: dict[str, int]) -> None:
    step = make("errors", {"status": ["500"], "service": "nowhere@file", "statusRewrites": rewrites})
    async with running(serving(BAD), steps=[step]) as rig:
        found = await asked(rig, request())
        assert (found.status, found.body, found.headers["x-own"]) == (503 if rewrites else 500, b"broken", "1")


async def test_a_client_that_leaves_stops_the_page_s_service() -> None:
    left = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        finally:
            left.set()

    step = make("errors", {"status": ["500"], "service": "p@file"})
    async with running(serving(BAD), steps=[step], services={"p@file": endless}) as rig:
        reader, writer = await rig.connect()
        writer.write(request())
        await reader.readexactly(100_000)
        writer.transport.abort()
        await asyncio.wait_for(left.wait(), 10)


async def test_a_client_that_leaves_before_the_page_stops_its_service() -> None:
    asked_for, left = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked_for.set()
        await reader.read()
        left.set()

    step = make("errors", {"status": ["500"], "service": "p@file"})
    async with running(serving(BAD), steps=[step], services={"p@file": silent}) as rig:
        _, writer = await rig.connect()
        writer.write(request())
        await asyncio.wait_for(asked_for.wait(), 10)
        writer.transport.abort()
        await asyncio.wait_for(left.wait(), 10)


async def test_head_gets_no_page_and_keeps_the_connection() -> None:
    step = make("errors", {"status": ["500"], "service": "p@file"})
    bad = b"HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\n"
    async with running(serving(bad), steps=[step], services={"p@file": serving(PAGE)}) as rig:
        data = await rig.ask(request("HEAD") + request("HEAD", Connection="close"))
        assert data.count(b"HTTP/1.1 500") == 2 and b"sorry" not in data


# -- errorPages --------------------------------------------------------------------------------------------------------

HOSTILE = "/<script>?a=%22'{cause}"


def folder(tmp_path: Path) -> str:
    (tmp_path / "404.html").write_text("<p>no {path} here, {reason}")
    (tmp_path / "5xx.html").write_text("<p>{status} {cause} {unknown} {")
    (tmp_path / "error.json").write_text('{"code":{status},"at":"{path}"}')
    return str(tmp_path)


OWN: list[tuple[str, dict[str, str], bytes, int, bytes]] = [
    ("a status's own page", {}, reply(404, b"x"), 404, b"<p>no /&lt;script&gt;?a=%22&#x27;{cause} here, Not Found"),
    ("the page of its kind", {}, reply(599, b"x"), 599, b"<p>599  {unknown} {"),
    ("built in", {}, reply(403, b"x"), 403, b"<h1>403 Forbidden</h1>"),
    ("JSON", {"Accept": "application/json"}, reply(404, b"x"), 404, b'{"code":404,"at":"/<script>?a=%22\'{cause}"}'),
    ("fine", {}, reply(200, b"x"), 200, b"x"),
    ("not listed", {}, reply(418, b"x"), 418, b"x"),
]


@pytest.mark.parametrize(("why", "asks", "answer", "status", "text"), OWN, ids=[row[0] for row in OWN])
async def test_error_pages(
    tmp_path: Path, why: str, asks: dict[str, str], answer: bytes, status: int, text: bytes
) -> None:
    step = make("errorPages", {"folder": folder(tmp_path), "status": ["403", "404", "500-599"]})
    async with running(serving(answer), steps=[step]) as rig:
        found = await asked(rig, request(target=HOSTILE, **asks))
        assert found.status == status and text in found.body
        assert found.headers["content-length"] == str(len(found.body))


async def test_only_what_describes_the_body_goes() -> None:
    answer = reply(
        500,
        b"old",
        **{name: "1" for name in ("Content_Encoding", "ETag", "Last_Modified", "Content_Language", "Digest")},
        Set_Cookie="a=b",
        Retry_After="5",
        Content_Security_Policy="default-src 'self'",
    )
    async with running(serving(answer), steps=[make("errorPages", {})]) as rig:
        found = await asked(rig, request(X_Request_Id="<7>"))
        assert {"set-cookie", "retry-after", "content-security-policy"} <= found.headers.keys()
        assert not {"content-encoding", "etag", "last-modified", "content-language", "digest"} & found.headers.keys()
        assert (found.headers["content-type"], found.headers["vary"]) == ("text/html; charset=utf-8", "Accept")
        assert b"&lt;7&gt;" in found.body


async def test_grpc_gets_a_status_of_its_own() -> None:
    async with running(steps=[make("errorPages", {})]) as rig:
        found = await asked(rig, request("POST", body=b"x", Content_Type="application/grpc+proto"))
        fields = {name: found.headers.get(name) for name in ("content-type", "grpc-status", "grpc-message")}
        assert fields == {
            "content-type": "application/grpc",
            "grpc-status": "14",
            "grpc-message": "HTTP 503 Service Unavailable: NO_SERVER",
        }
        assert (found.status, found.body) == (200, b"")


async def test_a_server_s_own_errors_may_stay() -> None:
    step = make("errorPages", {"ownOnly": True})
    async with running(serving(reply(500, b"own")), steps=[step]) as rig:
        assert (await asked(rig, request())).body == b"own"
        rig.servers[0].up = False
        found = await asked(rig, request(Accept="application/json"))
        assert found.json() == {"status": 503, "error": "Service Unavailable", "cause": "NO_SERVER", "requestId": ""}


async def test_a_changed_template_is_seen(tmp_path: Path) -> None:
    from steps import Clock

    clock = Clock()
    step = make("errorPages", {"folder": folder(tmp_path)}, now=clock)
    async with running(serving(reply(500)), steps=[step]) as rig:
        assert (await asked(rig, request())).text.startswith("<p>500")
        (tmp_path / "5xx.html").write_text("new")
        os.utime(tmp_path / "5xx.html", ns=(1, 1))
        clock.seconds += 3
        assert (await asked(rig, request())).text == "new"
        (tmp_path / "5xx.html").unlink()
        clock.seconds += 3
        assert "<h1>500 Internal Server Error</h1>" in (await asked(rig, request())).text


# -- contentType -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html>\n<html>", "text/html; charset=utf-8"),
        (b" \n <hTmL><body>", "text/html; charset=utf-8"),
        (b"<b>", "text/html; charset=utf-8"),
        (b"<bold>", "text/plain; charset=utf-8"),
        (b"<!-- x", "text/html; charset=utf-8"),
        (b"\n<?xml version='1.0'?>", "text/xml; charset=utf-8"),
        (b"%PDF-1.4", "application/pdf"),
        (b"%!PS-Adobe-3.0", "application/postscript"),
        (b"\x89PNG\r\n\x1a\n\0\0", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF1234WEBPVP8 ", "image/webp"),
        (b"RIFF1234WAVEfmt ", "audio/wave"),
        (b"\0\0\x01\0", "image/x-icon"),
        (b"\x1f\x8b\x08\0", "application/x-gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"wOF2....", "font/woff2"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video/mp4"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2", "application/octet-stream"),
        (b"\x1a\x45\xdf\xa3....", "video/webm"),
        (b"\0asm\1\0\0\0", "application/wasm"),
        (b"\xef\xbb\xbfhello", "text/plain; charset=utf-8"),
        (b"\xfe\xff\0h", "text/plain; charset=utf-16be"),
        (b'{"a": 1}', "text/plain; charset=utf-8"),
        ("grüße".encode(), "text/plain; charset=utf-8"),
        (b"a\0b", "application/octet-stream"),
        (b"x" * 600 + b"\0", "text/plain; charset=utf-8"),
    ],
)
def test_sniffing(data: bytes, kind: str) -> None:
    assert media_type_of(data) == kind


HTML = b"<html><body>hello"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(200, HTML), "text/html; charset=utf-8"),
        (chunked(HTML[:10], HTML[10:]), "text/html; charset=utf-8"),
        (reply(200, HTML, Content_Type="a/b"), "a/b"),
        (reply(200, HTML, Content_Encoding="br"), None),
        (reply(200, HTML, X_Content_Type_Options="nosniff"), None),
        (reply(200), None),
        (reply(404, b"no"), "text/plain; charset=utf-8"),
    ],
)
async def test_content_type(answer: bytes, kind: str | None) -> None:
    async with running(serving(answer), steps=[make("contentType", {})]) as rig:
        found = await asked(rig, request())
        assert found.headers.get("content-type") == kind
        assert answer.endswith(found.body) or found.body == HTML


async def test_a_head_waits_for_its_body() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(HTML.ljust(40))
        await reader.read()

    async with running(slow, steps=[make("contentType", {})]) as rig:
        found = await asked(rig, request())
        assert (found.headers["content-type"], found.headers["content-length"]) == ("text/html; charset=utf-8", "40")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("errors", {"status": ["500"]}, "service is empty"),
        ("errors", {"service": "p"}, "status is empty"),
        ("errors", {"service": "p", "status": ["5xx"]}, "'5xx' is no status"),
        ("errors", {"service": "p", "status": ["500"], "statusRewrites": {"500": 99}}, "99 is no status"),
        ("errors", {"service": "p", "status": ["500"], "statusRewrites": {"x": 500}}, "statusRewrites: 'x'"),
        ("errorPages", {"folder": "/does/not/exist"}, "/does/not/exist is no folder"),
        ("errorPages", {"status": ["1000"]}, "no range of statuses"),
    ],
)
def test_bad_options(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(kind, options)
