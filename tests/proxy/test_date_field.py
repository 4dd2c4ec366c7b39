"""Who says when: a response without a Date gets one (RFC 9110 section 6.6.1), one that has it keeps it."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime

import pytest
from proxy_rig import Rig, answering

from edgerouter.contracts.plugins import Middleware
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response

GIVEN = b"Sat, 01 Jan 2000 00:00:00 GMT"
FIELD = re.compile(rb"^date: *(.*)\r\n", re.IGNORECASE | re.MULTILINE)


def get(path: bytes, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n" % (method, path)


def response(fields: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + fields + b"Content-Length: 0\r\n\r\n"


async def dates(rig: Rig, asked: bytes) -> list[bytes]:
    answer: bytes = await rig.ask(asked)
    return FIELD.findall(answer)


def is_now(text: bytes) -> bool:
    assert re.fullmatch(rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", text)
    return abs(parsedate_to_datetime(text.decode()).timestamp() - time.time()) < 60


@pytest.mark.parametrize("line", [b"Date: ", b"date: ", b"DATE:"])
async def test_a_servers_own_is_kept(line: bytes) -> None:
    rig = await Rig.start(answering(response(line + GIVEN + b"\r\n")))
    assert await dates(rig, get(b"/")) == [GIVEN]
    await rig.stop()


@pytest.mark.parametrize("status", [b"200 OK", b"304 Not Modified", b"503 Service Unavailable"])
async def test_a_server_that_says_none(status: bytes) -> None:
    rig = await Rig.start(answering(response(b"X-Date: 1\r\nLast-Modified: " + GIVEN + b"\r\n", status)))
    found = await dates(rig, get(b"/"))
    assert len(found) == 1 and is_now(found[0])
    await rig.stop()


async def test_interim_responses_have_none() -> None:
    rig = await Rig.start(answering(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response()))
    answer = await rig.ask(get(b"/"))
    assert b"103 Early Hints" in answer and b"Date" not in answer.partition(b"\r\n\r\n")[0]
    assert len(FIELD.findall(answer)) == 1
    await rig.stop()


class Refuses(Middleware):
    """Answers itself; ``dated`` as a page that was kept would be."""

    def __init__(self, dated: bool) -> None:
        super().__init__()
        self.dated = dated

    def on_request(self, exchange: Exchange) -> Response | None:
        answer = Response.text(403, "no")
        if self.dated:
            answer.headers.add("Date", GIVEN.decode())
        return answer


async def test_the_routers_own_answers_say_when() -> None:
    rig = await Rig.start(answering(response()), steps=[Refuses(False)])
    for asked in (get(b"/none"), get(b"/"), get(b"/", b"HEAD"), b"GET / HTTP/1.1\r\nbad\r\n\r\n"):
        found = await dates(rig, asked)
        assert len(found) == 1 and is_now(found[0]), asked
    await rig.stop()


async def test_an_answer_that_has_one_keeps_it() -> None:
    rig = await Rig.start(answering(response()), steps=[Refuses(True)])
    assert await dates(rig, get(b"/")) == [GIVEN]
    await rig.stop()


class Removes(Middleware):
    """What ``headers`` does with ``customResponseHeaders: {Date: ""}``."""

    def on_response(self, exchange: Exchange) -> None:
        assert exchange.response is not None
        exchange.response.headers.remove("Date")


async def test_what_a_middleware_took_out_stays_out() -> None:
    rig = await Rig.start(answering(response(b"Date: " + GIVEN + b"\r\n")), steps=[Removes()])
    assert await dates(rig, get(b"/")) == []
    await rig.stop()
