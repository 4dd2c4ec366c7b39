"""The workers' client of Redis against servers that answer rightly, wrongly, slowly and not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edgerouter.clients import redis
from edgerouter.clients.redis import RedisClient, RedisError, RedisGone, Settings, client

PONG = b"+PONG\r\n"


@asynccontextmanager
async def server(*answers: bytes, seen: list[bytes] | None = None) -> AsyncIterator[Callable[..., Settings]]:
    """Each command gets the next answer; an empty one closes the connection, the last one comes again and again."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                count = int((await reader.readuntil(b"\r\n"))[1:])
                words = []
                for _ in range(count):
                    size = int((await reader.readuntil(b"\r\n"))[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                if seen is not None:
                    seen.append(b" ".join(words))
                answer = left.pop(0) if len(left) > 1 else left[0]
                if not answer:
                    break
                writer.write(answer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield lambda **more: Settings(endpoints=(f"127.0.0.1:{port}",), **more)
    finally:
        listening.close()


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (b"+OK\r\n", b"OK"),
        (b":-7\r\n", -7),
        (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
        (b"$0\r\n\r\n", b""),
        (b"$-1\r\n", None),
        (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", [b"a", [1]]),
        (b"*0\r\n", []),
    ],
)
async def test_replies(answer: bytes, value: Any) -> None:
    async with server(PONG, answer) as settings:
        one = RedisClient(settings())
        assert await one.execute("GET", "a") == value
        one.close()


async def test_login_and_commands_side_by_side() -> None:
    seen: list[bytes] = []
    async with server(
        b"+OK\r\n", b"+OK\r\n", PONG, b":1\r\n", b":2\r\n", b"-ERR no\r\n", b":4\r\n", seen=seen
    ) as settings:
        one = RedisClient(settings(username="ann", password="s3cret", db=3))
        found = await asyncio.gather(*(one.execute("INCR", str(n)) for n in range(4)), return_exceptions=True)
        assert [str(item) for item in found] == ["1", "2", "ERR no", "4"], "in order, an error among them"
        assert isinstance(found[2], RedisError)
        assert seen[:3] == [b"AUTH ann s3cret", b"SELECT 3", b"PING"]
        one.close()


async def test_who_comes_during_the_login_waits_for_its_end() -> None:
    # Sent between AUTH and SELECT, a command would be another database's.
    seen: list[bytes] = []
    async with server(b"+OK\r\n", seen=seen) as settings:
        one = RedisClient(settings(password="p", db=3))
        first = asyncio.ensure_future(one.execute("GET", "first"))
        async with asyncio.timeout(10):
            while not seen:
                await asyncio.sleep(0)
        await asyncio.gather(first, *(one.execute("GET", "later") for _ in range(3)))
        assert seen[:3] == [b"AUTH p", b"SELECT 3", b"PING"] and len(seen) == 7, seen
        one.close()


@pytest.mark.parametrize(
    "answer", [b"?what\r\n", b"$x\r\n", b"$99999999\r\n", b":x\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
async def test_what_is_no_redis(answer: bytes) -> None:
    async with server(PONG, answer) as settings:
        one = RedisClient(settings())
        with pytest.raises(RedisGone):
            await one.execute("GET", "a")
        assert one.fault


async def test_a_wrong_password_is_named() -> None:
    async with server(b"-WRONGPASS invalid username-password pair\r\n") as settings:
        one = RedisClient(settings(password="s3cret"))
        with pytest.raises(RedisGone, match="WRONGPASS") as caught:
            await one.execute("GET", "a")
        assert "s3cret" not in str(caught.value)


async def test_nobody_waits_for_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(PONG, b"", PONG, b":1\r\n") as settings:
        one = RedisClient(settings())
        with pytest.raises(RedisGone):
            await one.execute("INCR", "a")
        with pytest.raises(RedisGone):
            await one.execute("INCR", "a")
        monkeypatch.setattr(one, "_not_before", 0.0)
        assert await one.execute("INCR", "a") == 1, "it is tried again after a while"
        one.close()


async def test_an_answer_that_does_not_come() -> None:
    never = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        writer.write(PONG)
        await never.wait()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    one = RedisClient(Settings((f"127.0.0.1:{listening.sockets[0].getsockname()[1]}",), read_timeout=0.2))
    found = await asyncio.gather(*(one.execute("INCR", "a") for _ in range(3)), return_exceptions=True)
    assert [type(item) for item in found] == [RedisGone] * 3
    assert "no answer within 0.2 s" in one.fault
    never.set()
    listening.close()


async def test_the_next_endpoint_is_tried_and_an_idle_connection_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "IDLE", 0.1)
    async with server(PONG, b":1\r\n", PONG, b":2\r\n") as settings:
        one = RedisClient(Settings(("127.0.0.1:1", "rubbish", *settings().endpoints)))
        assert await one.execute("INCR", "a") == 1
        async with asyncio.timeout(20):
            while one._writer is not None:
                await asyncio.sleep(0.02)
        assert one.fault == "", "that is no fault"
        assert await one.execute("INCR", "a") == 2
        one.close()


async def test_who_has_the_same_settings_has_the_same_connection() -> None:
    settings = Settings(("127.0.0.1:1",))
    assert client(settings) is client(Settings(("127.0.0.1:1",)))
    assert client(settings) is not client(Settings(("127.0.0.1:2",)))
