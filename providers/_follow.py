"""Following a daemon: events heard, listings made, snapshots yielded, all at once. What is listed is the heirs'.

So an event that takes a server out of rotation counts at once, were it in the middle of a listing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from edgerouter.clients.docker import DockerClient
from edgerouter.contracts.snapshot import Snapshot


class UnfitDaemon(ConnectionError):
    """The daemon answers, and cannot tell what is asked; says what it is and what to do."""


class Follow:
    """One connection's life. Heirs give ``filters`` (the API's JSON), ``facts`` (their type), and the methods up to
    ``rest``."""

    filters = ""
    facts: type[Any] = object

    def __init__(self, client: DockerClient) -> None:
        self.client = client
        self._stale = asyncio.Event()  # an event came that the listing at hand may not show
        self._news = asyncio.Event()  # there is something to decide on

    def mark(self, event: dict[str, Any]) -> bool:
        """Note what an event says; True when it changes what is known at once, without a listing."""
        raise NotImplementedError

    async def renew(self) -> None:
        """Ask the daemon for everything."""
        raise NotImplementedError

    def known(self) -> Any:
        """Return all facts that the daemon told: frozen structs, of the type ``facts``."""
        raise NotImplementedError

    def decide(self, known: Any) -> Snapshot:
        """Return the snapshot of these facts, and of nothing else."""
        raise NotImplementedError

    def rest(self, heard: bool) -> float:
        """Seconds until the next listing without any event. ``heard``: an event asked for the last listing."""
        raise NotImplementedError

    async def run(self, follow: bool) -> AsyncIterator[Snapshot]:
        """Yield snapshots that differ from the one before; raises what listing or hearing failed with."""
        if not follow:
            await self.renew()
            yield self.decide(self.known())
            return
        tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._keep_listed())]
        decided: Any = None
        last: Snapshot | None = None
        try:
            while True:
                await self._until_news(tasks)
                known = self.known()
                if known == decided:
                    continue  # most listings find nothing new
                decided, snapshot = known, self.decide(known)
                if snapshot != last:
                    last = snapshot
                    yield snapshot
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_news(self, tasks: list[asyncio.Task[None]]) -> None:
        news = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait([news, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        for task in tasks:
            if task.done():
                task.result()
        self._news.clear()

    async def _hear(self) -> None:
        async for event in self.client.events(self.filters):
            if self.mark(event):
                self._news.set()
            self._stale.set()
        raise ConnectionResetError("the event stream ended")

    async def _keep_listed(self) -> None:
        while True:
            heard = self._stale.is_set()
            self._stale.clear()
            began = time.monotonic()
            await self.renew()
            self._news.set()
            # Never spend more than half of the time on listings, however many events come.
            await asyncio.sleep(min(time.monotonic() - began, 1.0))
            with suppress(TimeoutError):
                async with asyncio.timeout(self.rest(heard)):
                    await self._stale.wait()
