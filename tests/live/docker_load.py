"""A steady load with an account of every request: who answered, what failed, which ids the servers saw.

Each request has an id (``X-Request-Id``) that the test server records; the ledger here is compared with its files.
"""

from __future__ import annotations

import asyncio
import collections
import time
from dataclasses import dataclass, field
from pathlib import Path

from live.toolbox import exchange

CONNECTIONS = 25


@dataclass
class Sent:
    """One request and its end. ``status`` 0: no response came, ``error`` says how."""

    id: str
    method: str
    status: int = 0
    error: str = ""
    server: str = ""
    at: float = 0.0
    client: int = 0


@dataclass
class Load:
    """``rate`` requests a second over keep-alive connections, every ``post_every``-th a POST with a body.

    With ``sticky`` every other client keeps the last cookie that it was sent, as a browser does."""

    port: int
    host: str
    rate: float = 500.0
    post_every: int = 4
    path: str = "/"
    prefix: str = "r"
    sticky: bool = False
    address: str = "127.0.0.1"
    sent: list[Sent] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _cookies: dict[int, str] = field(default_factory=dict)
    _stopped: bool = False

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._connection(number)) for number in range(CONNECTIONS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)

    async def _connection(self, number: int) -> None:
        pause = CONNECTIONS / self.rate
        next_at = time.monotonic() + pause * number / CONNECTIONS
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        count = 0
        while not self._stopped:
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            next_at += pause
            count += 1
            method = "POST" if count % self.post_every == 0 else "GET"
            one = Sent(f"{self.prefix}-{number}-{count}", method, at=time.monotonic(), client=number)
            self.sent.append(one)
            streams = await self._send(one, streams)
        if streams is not None:
            streams[1].close()

    async def _send(
        self, one: Sent, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        body = b"x" * 100 if one.method == "POST" else b""
        headers = {"X-Request-Id": one.id, "Accept": "application/json"}  # so that a failure names its cause
        if one.client in self._cookies:
            headers["Cookie"] = self._cookies[one.client]
        try:
            async with asyncio.timeout(30):
                if streams is None:
                    streams = await asyncio.open_connection(self.address, self.port)
                reply = await exchange(*streams, self.path, self.host, one.method, headers, body)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            one.error = f"{type(error).__name__}: {error}"
            if streams is not None:
                streams[1].close()
            return None
        one.status = reply.status
        one.server = reply.headers.get("x-server", "")
        if self.sticky and one.client % 2 and "set-cookie" in reply.headers:
            self._cookies[one.client] = reply.headers["set-cookie"].partition(";")[0]
        if reply.status >= 400:
            one.error = reply.text[:200]
        if reply.headers.get("connection", "").lower() == "close":
            streams[1].close()
            return None
        return streams

    def failed(self, method: str = "") -> list[Sent]:
        """Requests that did not end with 200."""
        return [one for one in self.sent if one.status != 200 and (not method or one.method == method)]

    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return sum(not one.status and not one.error for one in self.sent[-2 * CONNECTIONS :])

    def by_server(self) -> dict[str, int]:
        """How many requests each server answered."""
        return dict(collections.Counter(one.server for one in self.sent if one.status == 200))

    def stays(self) -> dict[int, list[str]]:
        """Of every client with a cookie: the servers that answered it, in order, without repetition."""
        found: dict[int, list[str]] = {number: [] for number in self._cookies}
        for one in self.sent:
            stay = found.get(one.client)
            if stay is not None and one.status == 200 and stay[-1:] != [one.server]:
                stay.append(one.server)
        return found

    def summary(self) -> str:
        """What to show when an assertion fails."""
        kinds = collections.Counter((one.method, one.status, one.error) for one in self.failed())
        return f"{len(self.sent)} sent, by server {self.by_server()}, failed {kinds.most_common(8)}"


def ids_of(*files: Path) -> collections.Counter[str]:
    """How often the servers recorded each id."""
    return collections.Counter(line for file in files if file.exists() for line in file.read_text().splitlines())
