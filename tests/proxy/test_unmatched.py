"""The id on 404 pages: for whom, of what, how many; and that what is kept asks the same question again."""

from __future__ import annotations

import json
import re

import pytest
from proxy_rig import Rig, answering

from edgerouter.proxy import unmatched
from edgerouter.proxy.forwarded import parse_networks
from edgerouter.proxy.unmatched import Unmatched

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LOST = b"GET /none?a=1 HTTP/1.1\r\nHost: Shop.test\r\nCookie: canary=1\r\n%sConnection: close\r\n\r\n"
PAGE = re.compile(rb"404 page not found\nwhy: edgerouter explain (404-[0-9a-f]{10})\n$")


async def lost(networks: tuple[str, ...], more: bytes = b"") -> tuple[bytes, Unmatched]:
    rig = await Rig.start(answering(OK))
    rig.engine.unmatched = kept = Unmatched(parse_networks(networks))
    data = await rig.ask(LOST % more)
    assert data.startswith(b"HTTP/1.1 404 ") and [record.cause for record in rig.records] == ["NO_ROUTE"]
    await rig.stop()
    return data, kept


async def test_a_trusted_client_is_told_an_id_under_which_its_request_is_kept() -> None:
    data, kept = await lost(("127.0.0.0/8",))
    found = PAGE.search(data)
    assert found, data
    (missed,) = kept.take()
    assert missed.id == found.group(1).decode() and kept.take() == []
    assert (missed.method, missed.url, missed.entry_point) == ("GET", "http://Shop.test/none?a=1", "web")
    assert (missed.client, missed.headers) == ("127.0.0.1", ["Cookie: canary=1"])


async def test_who_asks_for_json_is_told_in_json() -> None:
    data, kept = await lost(("127.0.0.1",), b"Accept: application/json\r\n")
    (missed,) = kept.take()
    told = json.loads(data.partition(b"\r\n\r\n")[2])
    assert told == {"status": 404, "cause": "NO_ROUTE", "explain": missed.id}


@pytest.mark.parametrize(
    ("networks", "more"),
    [
        ((), b""),
        (("10.0.0.0/8",), b""),
        (("127.0.0.0/8",), b"X-Forwarded-For: 203.0.113.7\r\n"),
        (("127.0.0.0/8",), b"Big: " + b"x" * unmatched.LONGEST + b"\r\n"),
    ],
    ids=["nobody", "another network", "behind another proxy", "too much to keep"],
)
async def test_pages_without_an_id(networks: tuple[str, ...], more: bytes) -> None:
    data, kept = await lost(networks, more)
    assert data.endswith(b"\r\n\r\n404 page not found\n") and kept.take() == []


async def test_many_at_once_are_bounded() -> None:
    rig = await Rig.start(answering(OK))
    rig.engine.unmatched = kept = Unmatched(parse_networks(("127.0.0.1",)))
    one = b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n"
    data = await rig.ask(one * (unmatched.MOST + 9) + LOST % b"")
    assert data.count(b"404 page not found\n") == unmatched.MOST + 10
    assert data.count(b"why: ") == unmatched.MOST == len(kept.take())
    await rig.stop()
