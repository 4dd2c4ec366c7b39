"""responseCache: what is kept, for whom, for how long, what Cache-Status says; over real sockets (RFC 9111, 9211)."""

from __future__ import annotations

import asyncio
import os
import time
from email.utils import formatdate
from typing import Any

import pytest
from on_the_wire import Seen, asked, chunked, fields_of, reply, request, running, serving
from steps import Clock, make

from edgerouter.contracts.plugins import Middleware
from edgerouter.http.exchange import Exchange
from edgerouter.telemetry.records import DEFAULT_SIZE, SharedRecords, create_records


def cache(options: dict[str, Any] | None = None) -> tuple[Middleware, Clock]:
    clock = Clock()
    return make("responseCache", options or {}, now=clock), clock


FRESH = {"Cache_Control": "max-age=60"}
PUBLIC = {"Cache_Control": "public, max-age=60"}

# why, options, first request, first answer, second request, whether the second is answered from the store
KEPT: list[tuple[str, dict[str, Any], bytes, bytes, bytes, bool]] = [
    ("max-age", {}, request(), reply(200, b"a", **FRESH), request(), True),
    ("s-maxage", {}, request(), reply(200, b"a", Cache_Control="max-age=0, s-maxage=60"), request(), True),
    ("Expires", {}, request(), reply(200, b"a", Expires=formatdate(time.time() + 1e4, usegmt=True)), request(), True),
    ("expired", {}, request(), reply(200, b"a", Expires="0"), request(), False),
    ("a guess", {}, request(), reply(200, b"a", Last_Modified=formatdate(1e9, usegmt=True)), request(), True),
    ("says nothing", {}, request(), reply(200, b"a"), request(), False),
    ("by option", {"defaultTtl": "1m"}, request(), reply(200, b"a"), request(), True),
    ("by option, not of somebody", {"defaultTtl": "1m"}, request(Cookie="a"), reply(200, b"a"), request(), False),
    ("for somebody, by its word", {}, request(Cookie="a"), reply(200, b"a", **FRESH), request(), True),
    ("an empty one", {}, request(), reply(204, **FRESH), request(), True),
    ("an error by its word", {}, request(), reply(404, b"a", **FRESH), request(), True),
    ("a redirect", {}, request(), reply(301, b"a", Location="/b", **FRESH), request(), True),
    ("in chunks", {}, request(), chunked(b"a", b"b", **FRESH), request(), True),
    ("with trailers", {}, request(), chunked(b"a", trailers="X-A: 1\r\n", **FRESH), request(), False),
    ("no-store", {}, request(), reply(200, b"a", Cache_Control="no-store, max-age=60"), request(), False),
    ("private", {}, request(), reply(200, b"a", Cache_Control="private, max-age=60"), request(), False),
    ("private fields", {}, request(), reply(200, b"a", Cache_Control='private="x, y", max-age=60'), request(), False),
    ("no-cache", {}, request(), reply(200, b"a", Cache_Control="no-cache, max-age=60"), request(), False),
    ("malformed", {}, request(), reply(200, b"a", Cache_Control="max-age=1h"), request(), False),
    ("a cookie set", {}, request(), reply(200, b"a", Set_Cookie="a=b", **FRESH), request(), False),
    ("a part", {}, request(), reply(206, b"a", Content_Range="bytes 0-0/9", **FRESH), request(), False),
    ("a part asked for", {}, request(Range="bytes=0-0"), reply(200, b"a", **FRESH), request(), False),
    ("a part wanted", {}, request(), reply(200, b"a", **FRESH), request(Range="bytes=0-0"), False),
    ("authorized", {}, request(Authorization="x"), reply(200, b"a", **FRESH), request(), False),
    ("authorized and public", {}, request(Authorization="x"), reply(200, b"a", **PUBLIC), request(), True),
    ("any Vary", {}, request(), reply(200, b"a", Vary="*", **FRESH), request(), False),
    ("same Vary", {}, request(X_A="1"), reply(200, b"a", Vary="X-A", **FRESH), request(X_A="1"), True),
    ("other Vary", {}, request(X_A="1"), reply(200, b"a", Vary="x-a", **FRESH), request(X_A="2"), False),
    ("absent Vary", {}, request(), reply(200, b"a", Vary="X-A", **FRESH), request(X_A="1"), False),
    ("other path", {}, request(target="/a"), reply(200, b"a", **FRESH), request(target="/b"), False),
    ("other query", {}, request(target="/a?1"), reply(200, b"a", **FRESH), request(target="/a?2"), False),
    ("empty query", {}, request(target="/a"), reply(200, b"a", **FRESH), request(target="/a?"), False),
    ("other host", {}, request(Host="a.test"), reply(200, b"a", **FRESH), request(Host="b.test"), False),
    ("same host, shouted", {}, request(Host="a.test"), reply(200, b"a", **FRESH), request(Host="A.TEST"), True),
    ("other port", {}, request(Host="a.test"), reply(200, b"a", **FRESH), request(Host="a.test:81"), False),
    ("POST", {}, request("POST"), reply(200, b"a", **FRESH), request("POST"), False),
    ("POST first", {}, request("POST"), reply(200, b"a", **FRESH), request(), False),
    ("GET with a body", {}, request(body=b"x"), reply(200, b"a", **FRESH), request(), False),
    ("by key", {"keyHeaders": ["X-B"]}, request(X_B="1"), reply(200, b"a", **FRESH), request(X_B="2"), False),
    ("too large", {"maxEntryBytes": 9}, request(), reply(200, b"x" * 10, **FRESH), request(), False),
    ("too large in chunks", {"maxEntryBytes": 9}, request(), chunked(b"x" * 10, **FRESH), request(), False),
    ("asked not to", {}, request(Cache_Control="no-store"), reply(200, b"a", **FRESH), request(), False),
    ("wanted anew", {}, request(), reply(200, b"a", **FRESH), request(Cache_Control="no-cache"), False),
    ("wanted anew of old", {}, request(), reply(200, b"a", **FRESH), request(Pragma="no-cache"), False),
    ("wanted younger", {}, request(), reply(200, b"a", Age="9", **FRESH), request(Cache_Control="max-age=5"), False),
    ("wanted fresher", {}, request(), reply(200, b"a", **FRESH), request(Cache_Control="min-fresh=61"), False),
    ("wishes ignored", {"ignoreClient": True}, request(), reply(200, b"a", **FRESH),
     request(Cache_Control="no-cache", Pragma="no-cache"), True),
    ("old already", {}, request(), reply(200, b"a", Age="61", **FRESH), request(), False),
    ("an event stream", {}, request(), reply(200, b"a", Content_Type="text/event-stream", **FRESH), request(), False),
    # poisoning: fields that servers may follow and that are no part of the key
    ("another URL", {}, request(X_Original_URL="/admin"), reply(200, b"a", **FRESH), request(), False),
    ("another URL asked", {}, request(), reply(200, b"a", **FRESH), request(X_Rewrite_URL="/admin"), False),
    ("another method", {}, request(X_HTTP_Method_Override="POST"), reply(200, b"a", **FRESH), request(), False),
    ("another host", {}, request(X_Host="evil.test"), reply(200, b"a", **FRESH), request(), False),
]  # fmt: skip


@pytest.mark.parametrize(("why", "options", "first", "answer", "second", "kept"), KEPT, ids=[row[0] for row in KEPT])
async def test_what_is_kept(
    why: str, options: dict[str, Any], first: bytes, answer: bytes, second: bytes, kept: bool
) -> None:
    seen: Seen = []
    step, _ = cache(options)
    async with running(serving(answer, reply(200, b"second"), seen=seen), steps=[step]) as rig:
        one = await asked(rig, first)
        two = await asked(rig, second)
        assert len(seen) == (1 if kept else 2)
        assert two.body == (one.body if kept else b"second")
        if kept:
            assert (two.status, two.headers["age"]) == (one.status, "0")
            assert two.headers["cache-status"].startswith("EdgeRouter; hit; ttl=")
        else:
            assert two.headers["cache-status"].startswith("EdgeRouter; fwd=")


async def test_a_forged_forwarded_host_changes_nothing() -> None:
    """Clients are not believed; the field is the router's own, and equal for all."""
    seen: Seen = []
    step, _ = cache()
    async with running(serving(reply(200, b"a", **FRESH), seen=seen), steps=[step]) as rig:
        await asked(rig, request(X_Forwarded_Host="evil.test", X_Forwarded_Proto="https"))
        assert fields_of(seen[0][0], "X-Forwarded-Host") == ["acme.com"]
        assert (await asked(rig, request())).headers["cache-status"].startswith("EdgeRouter; hit")


async def test_a_trusted_proxy_s_word_is_part_of_the_key() -> None:
    from proxy_rig import Rig

    from edgerouter.config.static import EntryPoint, ForwardedHeaders

    step, _ = cache()
    settings = EntryPoint(address=":0", forwarded_headers=ForwardedHeaders(insecure=True))
    rig = await Rig.start(serving(reply(200, b"a", **FRESH)), steps=[step], settings=settings)
    try:
        await asked(rig, request(X_Forwarded_Host="one.test"))
        two = await asked(rig, request(X_Forwarded_Host="two.test"))
        assert two.headers["cache-status"] == "EdgeRouter; fwd=uri-miss; fwd-status=200; stored"
    finally:
        await rig.stop()


async def test_age_and_ttl_and_the_end_of_freshness() -> None:
    seen: Seen = []
    step, clock = cache()
    async with running(serving(reply(200, b"a", Age="5", **FRESH), seen=seen), steps=[step]) as rig:
        first = await asked(rig, request())
        assert (first.headers["cache-status"], first.headers["age"]) == (
            "EdgeRouter; fwd=uri-miss; fwd-status=200; stored",
            "5",
        )
        clock.seconds += 10
        second = await asked(rig, request())
        assert (second.headers["cache-status"], second.headers["age"]) == ("EdgeRouter; hit; ttl=45", "15")
        clock.seconds += 45.5
        third = await asked(rig, request())
        assert third.headers["cache-status"] == "EdgeRouter; fwd=stale; fwd-status=200; stored"
        assert len(seen) == 2
        stale = await asked(rig, request(Cache_Control="max-stale=10"))
        assert len(seen) == 2 and "hit" in stale.headers["cache-status"]


async def test_revalidation() -> None:
    seen: Seen = []
    tag = {"ETag": '"a"', "Last_Modified": "Sat, 01 Jan 2000 00:00:00 GMT"}
    renewed = reply(304, X_New="2", Cache_Control="max-age=100", ETag='"a"').replace(b"Content-Length: 0\r\n", b"")
    step, clock = cache()
    async with running(serving(reply(200, b"whole", **tag, **FRESH), renewed, seen=seen), steps=[step]) as rig:
        await asked(rig, request())
        clock.seconds += 61
        found = await asked(rig, request(If_None_Match='"other"'))
        assert fields_of(seen[1][0], "If-None-Match") == ['"a"']
        assert fields_of(seen[1][0], "If-Modified-Since") == ["Sat, 01 Jan 2000 00:00:00 GMT"]
        assert (found.status, found.body, found.headers["x-new"]) == (200, b"whole", "2")
        assert found.headers["cache-status"] == "EdgeRouter; fwd=stale; fwd-status=304"
        clock.seconds += 90
        assert (await asked(rig, request())).headers["cache-status"] == "EdgeRouter; hit; ttl=10"


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"If_None_Match": '"a"'}, 304),
        ({"If_None_Match": 'W/"a"'}, 304),
        ({"If_None_Match": '"b", "a"'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"b"'}, 200),
        ({"If_Modified_Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 304),
        ({"If_Modified_Since": "Fri, 31 Dec 1999 00:00:00 GMT"}, 200),
        ({"If_Modified_Since": "nonsense"}, 200),
        ({"If_None_Match": '"b"', "If_Modified_Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 200),
    ],
)
async def test_conditions_of_clients(condition: dict[str, str], status: int) -> None:
    """On the first request too: the store gets the whole, the client what it needs."""
    seen: Seen = []
    answer = reply(200, b"whole", ETag='"a"', Last_Modified="Sat, 01 Jan 2000 00:00:00 GMT", **FRESH)
    step, _ = cache()
    async with running(serving(answer, seen=seen), steps=[step]) as rig:
        for _ in range(2):
            found = await asked(rig, request(**condition))
            assert (found.status, found.body) == (status, b"" if status == 304 else b"whole")
            assert found.headers["etag"] == '"a"'
        assert len(seen) == 1 and fields_of(seen[0][0], "If-None-Match") == []


async def test_head_is_answered_from_a_stored_get_and_stores_nothing() -> None:
    seen: Seen = []
    step, _ = cache()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\n\r\n"
    async with running(serving(head, head + b"whole", seen=seen), steps=[step]) as rig:
        await asked(rig, request("HEAD"))
        await asked(rig, request())
        found = await asked(rig, request("HEAD"))
        assert len(seen) == 2
        assert (found.headers["content-length"], found.headers["cache-status"]) == ("5", "EdgeRouter; hit; ttl=60")


@pytest.mark.parametrize(("status", "kept"), [(200, False), (302, False), (404, True), (500, True)])
async def test_a_change_drops_what_is_kept(status: int, kept: bool) -> None:
    seen: Seen = []
    step, _ = cache()
    answers = (reply(200, b"a", **FRESH), reply(status), reply(200, b"b", **FRESH))
    async with running(serving(*answers, seen=seen), steps=[step]) as rig:
        await asked(rig, request())
        await asked(rig, request("DELETE"))
        assert (await asked(rig, request())).body == (b"a" if kept else b"b")


async def test_only_if_cached() -> None:
    step, _ = cache()
    async with running(serving(reply(200, b"a", **FRESH)), steps=[step]) as rig:
        assert (await asked(rig, request(Cache_Control="only-if-cached"))).status == 504
        await asked(rig, request())
        assert (await asked(rig, request(Cache_Control="only-if-cached"))).status == 200


@pytest.mark.parametrize(
    ("options", "control"),
    [({"staleWhileRevalidate": "30s"}, "max-age=60"), ({}, "max-age=60, stale-while-revalidate=30")],
)
async def test_stale_while_revalidate(options: dict[str, Any], control: str) -> None:
    seen: Seen = []
    inner = make("addPrefix", {"prefix": "/inner"})
    step, clock = cache(options)
    answers = (reply(200, b"old", Cache_Control=control), reply(200, b"new", Cache_Control=control))
    async with running(serving(*answers, seen=seen), steps=[step, inner]) as rig:
        await asked(rig, request())
        clock.seconds += 89
        stale = await asked(rig, request())
        assert (stale.body, stale.headers["cache-status"]) == (
            b"old",
            "EdgeRouter; hit; ttl=-29; detail=stale-while-revalidate",
        )
        await rig.until(lambda: len(seen) == 2)
        assert seen[1][0].startswith(b"GET /inner/ "), "through the steps inside"
        assert fields_of(seen[1][0], "X-Forwarded-For") == ["127.0.0.1"]
        async with asyncio.timeout(10):
            while (found := await asked(rig, request())).body != b"new":
                await asyncio.sleep(0.01)
        assert found.headers["cache-status"].startswith("EdgeRouter; hit; ttl=60")
        clock.seconds += 91
        last = await asked(rig, request())
        assert last.headers["cache-status"] == "EdgeRouter; fwd=stale; fwd-status=200; stored"


@pytest.mark.parametrize(
    ("options", "control", "after", "stale"),
    [
        ({"staleIfError": "1h"}, "max-age=60", 61, True),
        ({}, "max-age=60, stale-if-error=100", 159, True),
        ({"staleIfError": "1h"}, "max-age=60, stale-if-error=100", 161, False),
        ({"staleIfError": "1h"}, "max-age=60, must-revalidate", 61, False),
        ({}, "max-age=60", 61, False),
    ],
)
async def test_stale_if_error(options: dict[str, Any], control: str, after: int, stale: bool) -> None:
    step, clock = cache(options)
    async with running(serving(reply(200, b"a", Cache_Control=control), reply(503, b"no")), steps=[step]) as rig:
        await asked(rig, request())
        clock.seconds += after
        found = await asked(rig, request())
        assert (found.status, found.body) == ((200, b"a") if stale else (503, b"no"))
        rig.servers[0].up = False
        gone = await asked(rig, request())
        assert gone.status == (200 if stale else 503)
        if stale:
            assert gone.headers["cache-status"] == "EdgeRouter; fwd=stale; fwd-status=503; detail=stale-if-error"


async def test_one_request_fills_for_all() -> None:
    go_on = asyncio.Event()
    asks = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asks
        await reader.readuntil(b"\r\n\r\n")
        asks += 1
        await go_on.wait()
        writer.write(reply(200, b"a" * 1000, **FRESH))
        await reader.read()

    step, _ = cache()
    async with running(slow, steps=[step]) as rig:
        all_of_them = [asyncio.create_task(asked(rig, request())) for _ in range(20)]
        await rig.until(lambda: rig.engine.in_flight == 20)
        go_on.set()
        found = await asyncio.gather(*all_of_them)
        assert {one.body for one in found} == {b"a" * 1000} and asks == 1
        collapsed = [one for one in found if one.headers["cache-status"] == "EdgeRouter; fwd=uri-miss; collapsed"]
        assert len(collapsed) == 19


async def test_what_cannot_be_stored_makes_nobody_wait_twice() -> None:
    go_on = asyncio.Event()
    asks = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asks
        while True:
            await reader.readuntil(b"\r\n\r\n")
            asks += 1
            if asks > 1:
                await go_on.wait()
            writer.write(reply(200, b"mine", Cache_Control="private"))

    step, _ = cache()
    async with running(slow, steps=[step]) as rig:
        await asked(rig, request())
        rest = [asyncio.create_task(asked(rig, request())) for _ in range(5)]
        await rig.until(lambda: asks == 6)
        go_on.set()
        assert {one.body for one in await asyncio.gather(*rest)} == {b"mine"}


async def test_a_filler_that_leaves_hands_over() -> None:
    asks = 0
    first = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asks
        await reader.readuntil(b"\r\n\r\n")
        asks += 1
        if asks == 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nCache-Control: max-age=60\r\n\r\nhalf")
            first.set()
            await reader.read()
        writer.write(reply(200, b"whole", **FRESH))
        await reader.read()

    step, _ = cache()
    async with running(serve, steps=[step]) as rig:
        reader, leaver = await rig.connect()
        leaver.write(request())
        await reader.readuntil(b"half")
        waiting = [asyncio.create_task(asked(rig, request())) for _ in range(5)]
        await rig.until(lambda: rig.engine.in_flight == 6)
        leaver.transport.abort()
        assert {one.body for one in await asyncio.gather(*waiting)} == {b"whole"}
        assert asks == 2


async def test_a_broken_fill_is_not_kept() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nCache-Control: max-age=60\r\n\r\nhalf")

    step, _ = cache()
    async with running(broken, steps=[step]) as rig:
        for _ in range(2):
            with pytest.raises((EOFError, ConnectionError)):
                await asked(rig, request())
        assert step._store.used == 0  # type: ignore[attr-defined]


async def test_memory_is_bounded_and_the_least_used_go_first() -> None:
    seen: Seen = []
    step, _ = cache({"maxBytes": 100_000, "maxEntryBytes": 50_000})
    async with running(serving(reply(200, b"x" * 20_000, **FRESH), seen=seen), steps=[step]) as rig:
        for number in range(4):
            await asked(rig, request(target=f"/{number}"))
        await asked(rig, request(target="/0"))
        await asked(rig, request(target="/4"))
        assert step._store.used <= 100_000  # type: ignore[attr-defined]
        assert len(seen) == 5
        await asked(rig, request(target="/0"))
        assert len(seen) == 5, "used lately: still there"
        await asked(rig, request(target="/1"))
        assert len(seen) == 6, "the least used is gone"


async def test_variants_of_one_url_are_bounded() -> None:
    step, _ = cache()
    async with running(serving(reply(200, b"x", Vary="User-Agent", **FRESH)), steps=[step]) as rig:
        for number in range(40):
            await asked(rig, request(User_Agent=str(number)))
        assert max(len(variants) for variants in step._store._keys.values()) == 16  # type: ignore[attr-defined]
        found = await asked(rig, request(User_Agent="0"))
        assert found.headers["cache-status"].startswith("EdgeRouter; fwd=vary-miss")


async def test_a_large_hit_waits_for_its_reader() -> None:
    data = bytes(range(256)) * 40_000
    step, _ = cache({"maxEntryBytes": 20_000_000})
    async with running(serving(reply(200, data, **FRESH)), steps=[step]) as rig:
        assert (await asked(rig, request())).body == data
        reader, writer = await rig.connect()
        writer.write(request(Connection="close"))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert b"Content-Length: 10240000\r\n" in head and b"; hit; " in head
        assert await asyncio.wait_for(reader.read(), 20) == data
        writer.close()


async def test_what_the_router_answers_is_not_kept() -> None:
    class Refuses(Middleware):
        def on_request(self, exchange: Exchange) -> Any:
            from edgerouter.http.message import Response

            exchange.cause = "NOT_YOU"
            response = Response.text(403, "no")
            response.headers.set("Cache-Control", "max-age=60")
            return response

    step, _ = cache()
    async with running(serving(reply(200, b"a")), steps=[step, Refuses()]) as rig:
        for _ in range(2):
            assert (await asked(rig, request())).headers["cache-status"] == "EdgeRouter; fwd=uri-miss; fwd-status=403"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"maxBytes": 5}, "maxBytes must be 65536 at least"),
        ({"maxEntryBytes": 0}, "maxEntryBytes must be more than 0"),
        ({"maxBytes": 70000, "maxEntryBytes": 80000}, "and maxBytes at most"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("responseCache", options)


async def test_what_one_worker_drops_counts_in_all() -> None:
    """RFC 9111 section 4.4: whoever changed a URL must not get its old self from the next worker."""
    memory = create_records(DEFAULT_SIZE, workers=2)
    clock = Clock()
    one, other = (make("responseCache", {}, SharedRecords(memory, slot), clock) for slot in range(2))
    elsewhere = make("responseCache", {}, SharedRecords(memory, 1), clock, router="other@file")
    answer = serving(reply(200, b"a", **FRESH))
    async with running(answer, steps=[one]) as first, running(answer, steps=[elsewhere]) as third:
        for rig in (first, third):
            await asked(rig, request(target="/a"))
            await asked(rig, request(target="/b"))
        clock.seconds += 1
        async with running(serving(reply(500), reply(200)), steps=[other]) as second:
            await asked(second, request("POST", target="/a"))
            assert "hit" in (await asked(first, request(target="/a"))).headers["cache-status"], "nothing was changed"
            await asked(second, request("POST", target="/a"))
        assert "fwd=uri-miss" in (await asked(first, request(target="/a"))).headers["cache-status"]
        for rig, target in ((first, "/b"), (third, "/a"), (third, "/b")):
            assert "hit" in (await asked(rig, request(target=target))).headers["cache-status"]
        clock.seconds += 1
        await asked(first, request(target="/a"))
        assert "hit" in (await asked(first, request(target="/a"))).headers["cache-status"], "stored anew"
    os.close(memory)
