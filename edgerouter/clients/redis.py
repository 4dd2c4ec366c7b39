"""A small client of Redis for workers: one connection, many commands under way, never a wait for what is gone.

Not the package ``redis``: importing that takes 0.2 s and 10 MB in every worker, and this needs one command. RESP2
(redis.io, "Redis serialization protocol specification"): replies come in the order of commands, so futures in a queue
match them. While the server cannot be reached, commands fail at once; one a second tries again.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

RETRY_AFTER: Final = 1.0  # seconds between two attempts to connect
IDLE: Final = 60.0  # seconds after which an unused connection is closed
MOST_WAITING: Final = 10_000  # commands under way; more are refused
_LONGEST: Final = 1 << 20  # bytes of one reply


class RedisError(Exception):
    """The server answered with an error, in its own words."""


class RedisGone(Exception):
    """No answer: not reachable, too slow, or the connection broke."""


class Settings(msgspec.Struct, frozen=True):
    """Where and how. ``endpoints`` are ``host:port``, tried in order; times in seconds."""

    endpoints: tuple[str, ...] = ("localhost:6379",)
    username: str = ""
    password: str = ""
    db: int = 0
    dial_timeout: float = 5.0
    read_timeout: float = 3.0
    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""
    insecure: bool = False


_clients: WeakValueDictionary[Settings, RedisClient] = WeakValueDictionary()


def client(settings: Settings) -> RedisClient:
    """The client of this process for these settings: however many use it, it is one connection."""
    known = _clients.get(settings)
    if known is None:
        known = RedisClient(settings)
        _clients[settings] = known
    return known


class RedisClient:
    """``execute`` from any number of tasks of one loop. ``fault`` says why the server is gone, "" while it is there."""

    def __init__(self, settings: Settings) -> None:
        self.fault = ""
        self._settings = settings
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._writer: asyncio.StreamWriter | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._not_before = 0.0

    async def execute(self, *words: str | bytes) -> Any:
        """One command. Raises RedisGone, RedisError."""
        # A writer alone is not enough: what is sent before AUTH and SELECT are answered may end up in another database.
        if self._writer is None or self._connecting is not None:
            await self._connected()
        try:
            async with asyncio.timeout(self._settings.read_timeout):
                return await self._send(words)
        except TimeoutError:
            self._broken(f"no answer within {self._settings.read_timeout:g} s")
            raise RedisGone(self.fault) from None

    def close(self) -> None:
        """End the connection; what is under way fails."""
        self._broken("closed")
        self.fault = ""
        self._not_before = 0.0

    # -- the connection ---------------------------------------------------------------------------------------------

    async def _connected(self) -> None:
        task = self._connecting
        if task is None:
            if time.monotonic() < self._not_before:
                raise RedisGone(self.fault)
            task = self._connecting = asyncio.get_running_loop().create_task(self._connect())
        await asyncio.shield(task)

    async def _connect(self) -> None:
        faults = []
        try:
            for endpoint in self._settings.endpoints:
                try:
                    async with asyncio.timeout(self._settings.dial_timeout):
                        await self._open(endpoint)
                    self.fault = ""
                    return
                except TimeoutError:
                    faults.append(f"{endpoint}: no answer within {self._settings.dial_timeout:g} s")
                except (OSError, RedisError, RedisGone, ValueError) as error:
                    faults.append(f"{endpoint}: {error}")
                self._broken(faults[-1])
            self._broken("; ".join(faults))
            raise RedisGone(self.fault)
        finally:
            self._connecting = None

    async def _open(self, endpoint: str) -> None:
        settings = self._settings
        host, _, port = endpoint.rpartition(":")
        loop = asyncio.get_running_loop()
        context = await loop.run_in_executor(None, _tls, settings) if settings.tls else None
        name = host.strip("[]") or "localhost"
        reader, writer = await asyncio.open_connection(name, int(port), ssl=context, limit=_LONGEST)
        self._writer = writer
        self._reading = loop.create_task(self._read(reader, writer))
        if settings.password:
            await self._send(("AUTH", *([settings.username] if settings.username else []), settings.password))
        if settings.db:
            await self._send(("SELECT", str(settings.db)))
        await self._send(("PING",))

    async def _send(self, words: tuple[str | bytes, ...]) -> Any:
        writer = self._writer
        if writer is None:
            raise RedisGone(self.fault)
        if len(self._waiting) >= MOST_WAITING:
            raise RedisGone(f"{MOST_WAITING} commands wait for an answer")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        writer.write(_encode(words))
        return await future

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        why = "the connection was closed"
        try:
            while True:
                async with asyncio.timeout(IDLE):
                    reply = await _reply(reader)
                future = self._waiting.popleft()
                if not future.done():
                    _settle(future, reply)
        except TimeoutError:
            why = "" if not self._waiting else "no answer"
        except (OSError, EOFError, ValueError, IndexError) as error:
            why = str(error) or why
        finally:
            if self._writer is writer:
                self._broken(why)
            writer.close()

    def _broken(self, why: str) -> None:
        writer, self._writer = self._writer, None
        self.fault = why
        self._not_before = time.monotonic() + RETRY_AFTER if why else 0.0
        if writer is not None:
            writer.close()
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_exception(RedisGone(why or "closed"))


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if isinstance(reply, RedisError):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def _tls(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca or None)
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert:
        context.load_cert_chain(settings.cert, settings.key or None)
    return context


def _encode(words: tuple[str | bytes, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word.encode() if isinstance(word, str) else word
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


async def _reply(reader: asyncio.StreamReader) -> Any:
    """One reply; an error is returned, not raised. Raises ValueError for what is no RESP2."""
    line = await reader.readuntil(b"\r\n")
    kind, text = line[:1], line[1:-2]
    if kind == b"+":
        return text
    if kind == b"-":
        return RedisError(text.decode("utf-8", "replace"))
    if kind == b":":
        return int(text)
    if kind == b"$":
        return await _bulk(reader, int(text))
    if kind == b"*":
        return [await _reply(reader) for _ in range(int(text))]
    raise ValueError(f"no reply of Redis: {line[:20]!r}")


async def _bulk(reader: asyncio.StreamReader, size: int) -> bytes | None:
    if size < 0:
        return None
    if size > _LONGEST:
        raise ValueError(f"a reply of {size} bytes is longer than {_LONGEST}")
    return (await reader.readexactly(size + 2))[:-2]
