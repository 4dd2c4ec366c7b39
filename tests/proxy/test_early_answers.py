"""Answers that are whole before their request is: the connection closes, and the client is told so (RFC 9112 9.6)."""

from __future__ import annotations

import asyncio

import pytest
from proxy_rig import Rig, answering

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POST = b"POST /%b HTTP/1.1\r\nHost: x.test\r\n%bContent-Length: 4\r\n\r\n%b"
WAITS = b"Expect: 100-continue\r\n"


@pytest.mark.parametrize(
    ("sent", "closes"),
    [
        (POST % (b"none", WAITS, b""), True),
        (POST % (b"none", b"", b"bo"), True),
        (POST % (b"none", WAITS, b"body"), False),
        (POST % (b"none", b"", b"body"), False),
        (POST % (b"", b"", b"body"), False),
        (POST % (b"", b"", b"bo"), True),
    ],
    ids=["waits", "half", "did-not-wait", "whole", "of-a-server", "of-a-server-early"],
)
async def test_who_asked_is_told_that_the_connection_closes(sent: bytes, closes: bool) -> None:
    rig = await Rig.start(answering(OK))
    reader, writer = await rig.connect()
    writer.write(sent)
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        assert (b"Connection: close\r\n" in head) is closes
        if closes:
            assert await reader.read() == b""
        else:
            writer.write(b"GET / HTTP/1.1\r\nHost: x.test\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 OK")
    writer.close()
    await rig.stop()
