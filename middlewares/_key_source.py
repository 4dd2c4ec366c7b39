"""Where the keys of tokens come from: a secret, a PEM text, a file, or a URL that is asked again now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from edgerouter.errors import EdgeError
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.middlewares._endpoint import Endpoint, EndpointFailed
from edgerouter.middlewares._tokens import Key, keys_of_set
from edgerouter.proxy.collect import read_all

log = logging.getLogger("edgerouter.worker")
RENEW_AFTER: Final = 600.0  # seconds
ASK_AGAIN_AFTER: Final = 10.0  # seconds, for a key that is not known, or when nothing was got
_LARGEST: Final = 1 << 20  # bytes


class FixedKeys:
    """Made with the first token, in a thread: files are read."""

    def __init__(self, make: Callable[[], list[Key]]) -> None:
        self._make = make
        self.keys: list[Key] | None = None

    async def get(self, exchange: Exchange, unknown: bool = False) -> list[Key]:
        """The keys. Raises EndpointFailed."""
        if self.keys is None:
            try:
                self.keys = await asyncio.get_running_loop().run_in_executor(None, self._make)
            except (OSError, ValueError) as error:
                raise EndpointFailed(f"its key cannot be used: {error}") from error
        return self.keys


class FetchedKeys:
    """A JSON Web Key Set behind a URL. What was got stays in use when the URL gives nothing any more."""

    def __init__(self, server: Endpoint) -> None:
        self._server = server
        self.keys: list[Key] | None = None
        self._asked = 0.0
        self._fault = ""
        self._lock = asyncio.Lock()

    async def get(self, exchange: Exchange, unknown: bool = False) -> list[Key]:
        """The keys; ``unknown``: those at hand lack one. Raises EndpointFailed when there never were any."""
        if not self._is_due(unknown):
            if self.keys is None:
                raise EndpointFailed(self._fault)
            return self.keys
        async with self._lock:
            if self._is_due(unknown):
                await self._renew(exchange)
        if self.keys is None:
            raise EndpointFailed(self._fault)
        return self.keys

    def _is_due(self, unknown: bool) -> bool:
        age = time.monotonic() - self._asked if self._asked else RENEW_AFTER
        return age >= (ASK_AGAIN_AFTER if unknown or self.keys is None else RENEW_AFTER)

    async def _renew(self, exchange: Exchange) -> None:
        try:
            data = await fetch(exchange, self._server)
            self.keys = await asyncio.get_running_loop().run_in_executor(None, keys_of_set, data)
        except (EndpointFailed, EdgeError, ValueError) as error:
            self._fault = f"{self._server.url}: {error}"
            log.warning("keys of tokens cannot be renewed: %s", self._fault)
        self._asked = time.monotonic()


async def fetch(exchange: Exchange, server: Endpoint, request: Request | None = None) -> bytes:
    """The body of a 200. Raises EndpointFailed, EdgeError."""
    if request is None:
        request = Request("GET", b"", "", Headers.of([("Accept", "application/json")]))
    request.path, request.query, request.has_query = server.path, server.query, bool(server.query)
    response = await server.send(exchange, request)
    data = await read_all(response.body, _LARGEST)
    if response.status != 200:
        raise EndpointFailed(f"it answered {response.status}")
    return data
