"""compress: options, a request and a server's answer in; exactly what the client gets out, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
import time
import zlib
from typing import Any

import brotli
import pytest
from on_the_wire import asked, chunked, reply, request, running, serving
from steps import make

from edgerouter.middlewares import _pipe
from edgerouter.middlewares._codings import choose

TEXT = b"All work and no play makes Jack a dull boy.\n" * 100
OFFERED = ("gzip", "br", "zstd")


def plain(data: bytes, coding: str | None) -> bytes:
    if coding == "gzip":
        return gzip.decompress(data)
    if coding == "br":
        return bytes(brotli.decompress(data))
    if coding == "zstd":
        return zstd().decompress(data)
    return data


def zstd() -> Any:
    try:
        from compression import zstd as module
    except ImportError:
        from backports import zstd as module
    return module


@pytest.mark.parametrize(
    ("accept", "default", "coding"),
    [
        (None, "", ""),
        (None, "br", "br"),
        ("", "br", ""),
        ("gzip", "", "gzip"),
        ("x-gzip", "", "gzip"),
        ("GZIP", "", "gzip"),
        ("gzip, deflate, br, zstd", "", "gzip"),
        ("deflate", "", ""),
        ("br;q=1.0, gzip;q=0.8", "", "br"),
        ("gzip;q=0.1, br;q=0.2, zstd;q=0.3", "", "zstd"),
        ("gzip;q=0", "", ""),
        ("gzip;q=0, *", "", "br"),
        ("*", "", "gzip"),
        ("*", "zstd", "zstd"),
        ("*;q=0", "gzip", ""),
        ("*;q=0, br", "", "br"),
        ("identity", "gzip", ""),
        ("identity;q=0.5, gzip;q=0.4", "", ""),
        ("identity;q=0.4, gzip;q=0.4", "", "gzip"),
        ("identity;q=0", "", ""),
        ("identity;q=0, gzip;q=0.001", "", "gzip"),
        ("gzip;q=abc", "", ""),
        ("gzip;q=2, br", "", "br"),
        ("gzip;q=0.5;q=1", "", "gzip"),
        ("gzip ; q = 0.5, br;q=0.4", "", "gzip"),
        (",, ,gzip,", "", "gzip"),
    ],
)
def test_choice(accept: str | None, default: str, coding: str) -> None:
    assert choose([] if accept is None else [accept], OFFERED, default) == coding


HTML = {"Content_Type": "text/html"}
ANSWERS: list[tuple[str, dict[str, Any], dict[str, str], bytes, dict[str, str | None]]] = [
    ("gzip", {}, {"Accept_Encoding": "gzip"}, reply(200, TEXT, **HTML), {"content-encoding": "gzip", "etag": None}),
    ("brotli", {}, {"Accept_Encoding": "br"}, reply(200, TEXT, **HTML), {"content-encoding": "br"}),
    ("zstd", {}, {"Accept_Encoding": "zstd"}, reply(200, TEXT, **HTML), {"content-encoding": "zstd"}),
    ("in chunks", {}, {"Accept_Encoding": "br"}, chunked(TEXT, TEXT), {"content-encoding": "br"}),
    ("a small one in chunks", {}, {"Accept_Encoding": "br"}, chunked(b"hello"), {"content-encoding": None}),
    ("not asked for", {}, {}, reply(200, TEXT), {"content-encoding": None, "vary": "Accept-Encoding"}),
    ("by default", {"defaultEncoding": "gzip"}, {}, reply(200, TEXT), {"content-encoding": "gzip"}),
    ("too small", {}, {"Accept_Encoding": "gzip"}, reply(200, b"x" * 1023), {"content-encoding": None}),
    ("just enough", {}, {"Accept_Encoding": "gzip"}, reply(200, b"x" * 1024), {"content-encoding": "gzip"}),
    (
        "any size",
        {"minResponseBodyBytes": 0},
        {"Accept_Encoding": "gzip"},
        reply(200, b"x"),
        {"content-encoding": "gzip"},
    ),
    ("nothing", {"minResponseBodyBytes": 0}, {"Accept_Encoding": "gzip"}, reply(200), {"content-encoding": None}),
    (
        "encoded already",
        {},
        {"Accept_Encoding": "gzip"},
        reply(200, TEXT, Content_Encoding="br"),
        {"content-encoding": "br", "vary": None},
    ),
    (
        "identity is no coding",
        {},
        {"Accept_Encoding": "gzip"},
        reply(200, TEXT, Content_Encoding="identity"),
        {"content-encoding": "gzip"},
    ),
    (
        "part of something",
        {},
        {"Accept_Encoding": "gzip"},
        reply(206, TEXT, Content_Range="bytes 0-4399/9999"),
        {"content-encoding": None},
    ),
    (
        "not to be changed",
        {},
        {"Accept_Encoding": "gzip"},
        reply(200, TEXT, Cache_Control="max-age=1, No-Transform"),
        {"content-encoding": None},
    ),
    (
        "excluded",
        {"excludedContentTypes": ["text/html"]},
        {"Accept_Encoding": "gzip"},
        reply(200, TEXT, Content_Type="Text/HTML; charset=utf-8"),
        {"content-encoding": None, "vary": None},
    ),
    (
        "excluded by the request",
        {"excludedContentTypes": ["text/html"]},
        {"Accept_Encoding": "gzip", "Content_Type": "text/html"},
        reply(200, TEXT),
        {"content-encoding": None},
    ),
    (
        "included",
        {"includedContentTypes": ["text/html"]},
        {"Accept_Encoding": "gzip"},
        reply(200, TEXT, **HTML),
        {"content-encoding": "gzip"},
    ),
    (
        "not included",
        {"includedContentTypes": ["text/html"]},
        {"Accept_Encoding": "gzip"},
        reply(200, TEXT),
        {"content-encoding": None},
    ),
    (
        "gRPC",
        {},
        {"Accept_Encoding": "gzip"},
        reply(200, TEXT, Content_Type="application/grpc+proto"),
        {"content-encoding": None},
    ),
    (
        "a strong tag becomes a weak one",
        {},
        {"Accept_Encoding": "gzip"},
        reply(200, TEXT, ETag='"a"', Accept_Ranges="bytes", Vary="Origin"),
        {"etag": 'W/"a"', "accept-ranges": None, "vary": "Origin, Accept-Encoding"},
    ),
    (
        "a plain answer keeps its tag",
        {},
        {},
        reply(200, TEXT, ETag='"a"', Accept_Ranges="bytes", Vary="accept-encoding"),
        {"etag": '"a"', "accept-ranges": "bytes", "vary": "accept-encoding"},
    ),
    ("errors as well", {}, {"Accept_Encoding": "gzip"}, reply(404, TEXT), {"content-encoding": "gzip"}),
]


@pytest.mark.parametrize(("why", "options", "asks", "answer", "fields"), ANSWERS, ids=[row[0] for row in ANSWERS])
async def test_answers(
    why: str, options: dict[str, Any], asks: dict[str, str], answer: bytes, fields: dict[str, str | None]
) -> None:
    async with running(serving(answer), steps=[make("compress", options)]) as rig:
        direct = await asked(rig, request(**{**asks, "Accept_Encoding": "identity"}))
        found = await asked(rig, request(**asks))
        assert {name: found.headers.get(name) for name in fields} == fields
        assert found.status == direct.status
        changed = found.headers.get("content-encoding") != direct.headers.get("content-encoding")
        assert (plain(found.body, found.headers["content-encoding"]) if changed else found.body) == direct.body
        assert found.headers.get("content-length", str(len(found.body))) == str(len(found.body))


@pytest.mark.parametrize("coding", OFFERED)
async def test_large_bodies_pass_in_steps_and_whole(coding: str) -> None:
    data = (os.urandom(1000) + TEXT) * 200
    async with running(serving(reply(200, data)), steps=[make("compress", {})]) as rig:
        found = await asked(rig, request(Accept_Encoding=coding))
        assert found.headers["content-encoding"] == coding and "content-length" not in found.headers
        assert len(found.body) < len(data) / 2 and plain(found.body, coding) == data
        assert rig.records[0].bytes_out == len(found.body)


async def test_head_is_told_of_the_plain_body() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    async with running(serving(answer), steps=[make("compress", {})]) as rig:
        found = await asked(rig, request("HEAD", Accept_Encoding="gzip"))
        assert "content-encoding" not in found.headers
        assert (found.headers["content-length"], found.headers["vary"]) == ("5000", "Accept-Encoding")


@pytest.mark.parametrize(
    "head",
    [
        "Transfer-Encoding: chunked\r\n",
        "Content-Type: text/event-stream\r\n",
        "Transfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n",
        "Content-Length: 1000000\r\n",
    ],
)
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_what_was_sent_so_far_can_be_read_at_once(head: str, coding: str) -> None:
    """The server waits until the client has read the event before it sends the next."""
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
        for number in range(3):
            event = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%b\r\n" % (len(event), event) if "chunked" in head else event)
            await writer.drain()
            await go_on.wait()
            go_on.clear()

    async with running(serve, steps=[make("compress", {})]) as rig:
        reader, writer = await rig.connect()
        writer.write(request(Accept_Encoding=coding))
        found = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert f"Content-Encoding: {coding}\r\n".encode() in found
        stream = decoder(coding)
        text = b""
        async with asyncio.timeout(20):
            for number in range(3):
                while not text.endswith(b"data: %d\n\n" % number):
                    size = int(await reader.readuntil(b"\r\n"), 16)
                    text += stream((await reader.readexactly(size + 2))[:-2])
                go_on.set()
        writer.close()


def decoder(coding: str) -> Any:
    if coding == "gzip":
        return zlib.decompressobj(31).decompress
    return brotli.Decompressor().process if coding == "br" else zstd().ZstdDecompressor().decompress


async def test_a_slow_reader_stops_the_server() -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(os.urandom(65536))
            await writer.drain()
            sent += 65536

    async with running(serve, steps=[make("compress", {})]) as rig:
        reader, writer = await rig.connect()
        writer.write(request(Accept_Encoding="gzip"))
        await asyncio.wait_for(reader.read(1000), 10)
        seen, since = -1, time.monotonic()
        async with asyncio.timeout(30):
            while time.monotonic() - since < 0.5:  # no byte for half a second: everything is full
                if sent != seen:
                    seen, since = sent, time.monotonic()
                await asyncio.sleep(0.01)
        assert sent < 50_000_000
        writer.close()
        await rig.until(lambda: bool(rig.records) and rig.servers[0].in_flight == 0)
        assert rig.records[0].cause == "CLIENT_GONE"


async def test_a_broken_body_is_not_passed_as_a_whole_one() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + TEXT)

    async with running(serve, steps=[make("compress", {})]) as rig:
        with pytest.raises((EOFError, ConnectionError)):
            await asked(rig, request(Accept_Encoding="gzip"))
        await rig.until(lambda: bool(rig.records))
        assert rig.records[0].cause == "UPSTREAM_RESET"


async def test_no_turn_of_the_loop_takes_long() -> None:
    """Twenty bodies at once, all in memory: other work has its turn every few milliseconds."""
    answer = reply(200, TEXT * 500)
    async with running(serving(answer), steps=[make("compress", {"encodings": ["br"]})]) as rig:
        asks = [asyncio.create_task(asked(rig, request(Accept_Encoding="br"))) for _ in range(20)]
        longest: list[float] = []
        step = _pipe.Turns._run

        def watched(turns: _pipe.Turns) -> None:
            began = time.thread_time()
            step(turns)
            longest.append(time.thread_time() - began)

        _pipe.Turns._run = watched  # type: ignore[method-assign]
        try:
            found = await asyncio.gather(*asks)
        finally:
            _pipe.Turns._run = step  # type: ignore[method-assign]
        assert all(plain(one.body, "br") == TEXT * 500 for one in found)
        assert sorted(longest)[len(longest) * 99 // 100] < 0.005


def test_without_a_package_the_default_shrinks_and_a_list_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)  # importing it now fails as where it is not installed
    step = make("compress", {})
    assert list(step._makers) == ["gzip", "zstd"]  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="encoding br needs the Python package brotli, which is not installed"):
        make("compress", {"encodings": ["br", "gzip"]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encodings": ["gzip", "lzma"]}, "there is no encoding 'lzma'; write gzip, br, zstd"),
        ({"encodings": []}, "encodings is empty"),
        ({"encodings": ["gzip"], "defaultEncoding": "br"}, "'br' is not among encodings"),
        ({"includedContentTypes": ["a/b"], "excludedContentTypes": ["c/d"]}, "not both"),
        ({"excludedContentTypes": ["html"]}, "'html' is no media type"),
        ({"minResponseBodyBytes": -1}, "must not be negative"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("compress", options)
