"""The connection to a Kubernetes API server: credentials, lists, watches and small writes, on plain JSON.

kubernetes_asyncio finds the cluster and logs in (kubeconfig with exec and OIDC plugins, a pod's token with renewal); it
is imported on first use only, since it costs 0.7 s and 60 MB. Its typed models and its watch are not used. What the
objects mean does not live here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from edgerouter.errors import ConfigurationError

CONNECT_SECONDS: Final = 5.0
LIST_SECONDS: Final = 60.0
# A watch lives this long at most: a server that went away without a word is noticed when the next one is opened.
WATCH_SECONDS: Final = 75
LONGEST_LINE: Final = 16 * 1024 * 1024
TRANSPORT_ERRORS: Final = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class ApiError(Exception):
    """The server answered, and said no. ``code`` is the HTTP status, ``words`` the server's own."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{code}: {words}")
        self.code = code
        self.words = words


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What options say of the API server; all empty: the pod's own, else ``$KUBECONFIG``, else ``~/.kube/config``."""

    endpoint: str = ""
    token: str = ""
    ca_file: str = ""


class KubernetesClient:
    """Requests to one API server; use ``connect``."""

    def __init__(self, configuration: Any, rest: Any) -> None:
        self._configuration = configuration
        self._rest = rest

    @staticmethod
    async def connect(credentials: Credentials) -> KubernetesClient:
        """Find the cluster and its credentials; nothing is asked yet.

        Raises ConfigurationError when nothing says where the API server is, or a file cannot be read.
        """
        # In a thread: a second of importing must not stand in the way of everything else on this loop.
        client = await asyncio.to_thread(import_module, "kubernetes_asyncio.client")
        rest = await asyncio.to_thread(import_module, "kubernetes_asyncio.client.rest")
        configuration = client.Configuration()
        try:
            await _log_in(configuration, credentials)
        except (OSError, ValueError, import_module("kubernetes_asyncio.config").ConfigException) as error:
            raise ConfigurationError(f"no way to the Kubernetes API server: {error}") from error
        return KubernetesClient(configuration, rest.RESTClientObject(configuration))

    @property
    def host(self) -> str:
        """Where the API server is, for messages."""
        return str(self._configuration.host)

    async def close(self) -> None:
        """Close all connections."""
        await self._rest.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET ``path``; raises ApiError, or ConnectionError when no answer came."""
        return await self.send("GET", path, query=query)

    async def send(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a request and return the answer's object; raises ApiError, or ConnectionError when none came."""
        timeout = aiohttp.ClientTimeout(total=LIST_SECONDS, sock_connect=CONNECT_SECONDS)
        try:
            response = await self._request(method, path, query, timeout, body)
            async with response:
                data = await response.read()
        except TRANSPORT_ERRORS as error:
            raise self._lost(error) from error
        if response.status >= 300:
            raise ApiError(response.status, _words(data, str(response.reason)))
        return _decode(data)

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
                    yield _decode(line)
        except TRANSPORT_ERRORS as error:
            raise self._lost(error) from error

    def _lost(self, error: BaseException) -> ConnectionError:
        return ConnectionError(f"the Kubernetes API server at {self.host}: {error or type(error).__name__}")

    async def _request(
        self, method: str, path: str, query: Mapping[str, str] | None, limits: aiohttp.ClientTimeout, body: Any
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "User-Agent": "edgerouter"}
        # Asked anew for each request: a pod's token is renewed in its file every hour.
        for setting in (await self._configuration.auth_settings()).values():
            headers["Authorization"] = setting["value"]
        response: aiohttp.ClientResponse = await self._rest.request(
            method,
            self._configuration.host.rstrip("/") + path,
            query_params=list(query.items()) if query else None,
            headers=headers,
            body=body,
            _preload_content=False,
            _request_timeout=limits,
        )
        return response


async def _log_in(configuration: Any, credentials: Credentials) -> None:
    config = import_module("kubernetes_asyncio.config")
    if credentials.endpoint:
        configuration.host = credentials.endpoint
    elif "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(client_configuration=configuration)
    else:
        await config.load_kube_config(_kubeconfig(), client_configuration=configuration, persist_config=False)
    if credentials.ca_file:
        configuration.ssl_ca_cert = _existing(credentials.ca_file)
    if credentials.token:
        configuration.api_key["BearerToken"] = f"Bearer {credentials.token}"


def _kubeconfig() -> str:
    file = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not any(Path(part).is_file() for part in file.split(os.pathsep)):
        raise ValueError(
            f"this is no pod, there is no {file}, and providers.kubernetesIngress.endpoint is not set; "
            "run it in the cluster, set KUBECONFIG, or set endpoint, token and certAuthFilePath"
        )
    return file


def _existing(file: str) -> str:
    if not Path(file).is_file():
        raise ValueError(f"certAuthFilePath: there is no file {file!r}")
    return file


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


def _decode(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise ConnectionError(f"the Kubernetes API server sent something that is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _words(data: bytes, reason: str) -> str:
    try:
        return str(_decode(data).get("message") or reason)[:300]
    except ConnectionError:
        return reason
