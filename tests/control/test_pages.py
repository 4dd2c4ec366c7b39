"""The control process's own pages over real Unix sockets: who asks while they pause is answered before or after."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from edgerouter.control.pages import Pages

ASK = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def app() -> web.Application:
    async def ping(_: web.Request) -> web.Response:
        return web.Response(text="OK")

    made = web.Application()
    made.router.add_get("/ping", ping)
    return made


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Pages, Path]]:
    with tempfile.TemporaryDirectory() as folder:  # a short path: a Unix socket's has 107 bytes
        path = Path(folder) / "s"
        pages = Pages({path: app})
        await pages.serve()
        try:
            yield pages, path
        finally:
            await pages.close()


async def answer(streams: Streams) -> bytes:
    """The status line of what comes, with its body."""
    async with asyncio.timeout(10):
        head = await streams[0].readuntil(b"\r\n\r\n")
        return head.partition(b"\r\n")[0] + b" " + await streams[0].readexactly(2)


async def silent_and_idle(path: Path) -> tuple[Streams, Streams]:
    """Two that were accepted (a queue keeps order): one that has not asked yet, one that was answered."""
    silent = await asyncio.open_unix_connection(str(path))
    idle = await asyncio.open_unix_connection(str(path))
    idle[1].write(ASK)
    assert await answer(idle) == b"HTTP/1.1 200 OK OK"
    return silent, idle


async def test_who_was_accepted_and_asks_while_it_pauses_is_answered() -> None:
    async with served() as (pages, path):
        silent, idle = await silent_and_idle(path)
        pause = asyncio.ensure_future(pages.pause())
        asyncio.get_running_loop().call_later(0.05, silent[1].write, ASK)
        assert await answer(silent) == b"HTTP/1.1 200 OK OK"
        assert await asyncio.wait_for(idle[0].read(), 10) == b"", "nothing is owed to it"
        await asyncio.wait_for(pause, 10)


async def test_who_comes_while_it_pauses_waits_for_what_answers_next() -> None:
    async with served() as (pages, path):
        await pages.pause()
        late = await asyncio.open_unix_connection(str(path))
        late[1].write(ASK)
        await pages.serve()
        assert await answer(late) == b"HTTP/1.1 200 OK OK"


async def test_who_never_asks_does_not_hold_it_up_for_long() -> None:
    async with served() as (pages, path):
        silent, _ = await silent_and_idle(path)
        await asyncio.wait_for(pages.pause(), 30)
        assert await asyncio.wait_for(silent[0].read(), 10) == b""
