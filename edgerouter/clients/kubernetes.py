"""The connection to a Kubernetes API server: credentials, lists, watches and small writes, on plain JSON.

``kubernetes_login`` finds the cluster and logs in. What the objects mean does not live here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final, TypedDict

import aiohttp
import msgspec

from edgerouter.clients.kubernetes_login import Credentials, Login, log_in

CONNECT_SECONDS: Final = 5.0
LIST_SECONDS: Final = 60.0
# A watch lives this long at most: a server that went away without a word is noticed when the next one is opened.
WATCH_SECONDS: Final = 75
LONGEST_LINE: Final = 16 * 1024 * 1024
TRANSPORT_ERRORS: Final = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class _Meta(TypedDict, total=False):
    name: Any
    namespace: Any
    uid: Any
    creationTimestamp: Any
    resourceVersion: Any
    annotations: Any
    labels: Any


class _Object(TypedDict, total=False):
    """What of an object is looked at. The rest, which is most of it (managedFields), is never made."""

    apiVersion: Any
    kind: Any
    metadata: _Meta
    spec: Any
    status: Any
    type: Any
    data: Any
    ports: Any
    endpoints: Any
    addressType: Any
    subsets: Any
    code: Any
    message: Any


class _Page(TypedDict, total=False):
    metadata: dict[str, Any]
    items: list[_Object] | None


class _Event(TypedDict, total=False):
    type: Any
    object: _Object


_ANY: Final = msgspec.json.Decoder()
_PAGE: Final = msgspec.json.Decoder(_Page)
_EVENT: Final = msgspec.json.Decoder(_Event)


class ApiError(Exception):
    """The server answered, and said no. ``code`` is the HTTP status, ``words`` the server's own."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{code}: {words}")
        self.code = code
        self.words = words


class KubernetesClient:
    """Requests to one API server; use ``connect``."""

    def __init__(self, login: Login) -> None:
        self._login = login
        # Each watch holds a connection, and each namespace has its own watches.
        connector = aiohttp.TCPConnector(limit=0, ssl=login.tls if login.tls is not None else True)
        headers = {"Accept": "application/json", "User-Agent": "edgerouter"}
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)

    @staticmethod
    async def connect(credentials: Credentials) -> KubernetesClient:
        """Find the cluster and its credentials; nothing is asked yet.

        Raises ConfigurationError when nothing says where the API server is, or a file cannot be read.
        """
        return KubernetesClient(await log_in(credentials))

    @property
    def host(self) -> str:
        """Where the API server is, for messages."""
        return self._login.host

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET ``path``; raises ApiError, or ConnectionError when no answer came."""
        return await self.send("GET", path, query=query)

    async def page(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """GET a page of a collection, with what of its objects is looked at; raises as ``get`` does."""
        return _decode(await self._answer("GET", path, None, query), _PAGE)

    async def send(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a request and return the answer's object; raises ApiError, or ConnectionError when none came."""
        return _decode(await self._answer(method, path, body, query))

    async def _answer(self, method: str, path: str, body: Any, query: Mapping[str, str] | None) -> bytes:
        timeout = aiohttp.ClientTimeout(total=LIST_SECONDS, sock_connect=CONNECT_SECONDS)
        try:
            response = await self._request(method, path, query, timeout, body)
            async with response:
                data = await response.read()
        except TRANSPORT_ERRORS as error:
            raise self._lost(error) from error
        if response.status >= 300:
            raise ApiError(response.status, _words(data, str(response.reason)))
        return data

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[dict[str, Any], None]:
        """Yield a watch's events until the server ends it; raises ApiError, or ConnectionError when it breaks off."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=WATCH_SECONDS + 15)
        asked = {**query, "watch": "true", "timeoutSeconds": str(WATCH_SECONDS)}
        try:
            response = await self._request("GET", path, asked, timeout, None)
            async with response:
                if response.status >= 300:
                    raise ApiError(response.status, _words(await response.read(), str(response.reason)))
                async for line in _lines(response.content):
                    yield _decode(line, _EVENT)
        except TRANSPORT_ERRORS as error:
            raise self._lost(error) from error

    def _lost(self, error: BaseException) -> ConnectionError:
        return ConnectionError(f"the Kubernetes API server at {self.host}: {error or type(error).__name__}")

    async def _request(
        self, method: str, path: str, query: Mapping[str, str] | None, limits: aiohttp.ClientTimeout, body: Any
    ) -> aiohttp.ClientResponse:
        asked = await self._login.authorization()  # each time: tokens are renewed
        headers = {"Authorization": asked} if asked else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self._session.request(
            method,
            self._login.host + path,
            params=query,
            headers=headers,
            data=msgspec.json.encode(body) if body is not None else None,
            timeout=limits,
            proxy=self._login.proxy or None,
        )


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to the bound: aiohttp's own reader refuses what is longer than its buffer."""
    buffer = bytearray()
    async for data in stream.iter_any():
        buffer += data
        *whole, rest = buffer.split(b"\n")
        for line in whole:
            if line.strip():
                yield bytes(line)
        if len(rest) > LONGEST_LINE:
            raise aiohttp.ClientPayloadError(f"an event is longer than {LONGEST_LINE} bytes")
        buffer = rest


def _decode(data: bytes, decoder: msgspec.json.Decoder[Any] = _ANY) -> dict[str, Any]:
    try:
        found = decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ConnectionError(f"the Kubernetes API server sent something that is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _words(data: bytes, reason: str) -> str:
    try:
        return str(_decode(data).get("message") or reason)[:300]
    except ConnectionError:
        return reason
