"""The transport to a Docker-like daemon (Docker, Podman): who connects, with which credentials, what is asked.

Nothing is decided here, and the daemon is only read: every method is a GET. Shared by whatever provider needs it.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import aiodocker
import aiohttp
import msgspec
from yarl import URL

from edgerouter.config.dynamic import Model
from edgerouter.errors import ConfigurationError

T = TypeVar("T")
CONNECT_SECONDS = 5.0
# Events of this many seconds before the subscription are asked for too, so that none is lost between the
# request and its acceptance.
LOOK_BACK_SECONDS = 2
TRANSPORT_ERRORS = (aiohttp.ClientError, aiodocker.DockerError, OSError, asyncio.TimeoutError)


class ClientTLS(Model, frozen=True):
    """TLS towards the daemon."""

    # file of the CA that signed the daemon's certificate
    ca: str = ""
    # file of the client certificate
    cert: str = ""
    # file of the client certificate's key
    key: str = ""
    # do not check the daemon's certificate
    insecure_skip_verify: bool = False

    def context(self) -> ssl.SSLContext:
        """Return a client context; raises ConfigurationError that names the file that cannot be used."""
        context = ssl.create_default_context()
        if self.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for what, file in (("ca", self.ca), ("cert", self.cert), ("key", self.key)):
            if file and not Path(file).is_file():
                raise ConfigurationError(f"tls.{what}: there is no file {file!r}")
        try:
            if self.ca:
                context.load_verify_locations(self.ca)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"tls: these certificates cannot be used: {error}") from error
        return context


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def checked(endpoint: str, tls: ClientTLS | None = None) -> str:
    """The endpoint as the transport wants it; raises ConfigurationError for what is no address of a daemon."""
    scheme, separator, _ = endpoint.partition("://")
    if not separator or scheme not in ("unix", "tcp", "http", "https"):
        raise ConfigurationError(
            f"endpoint: {endpoint!r} is no address of a daemon; write unix:///var/run/docker.sock or tcp://host:2376"
        )
    return endpoint.replace(f"{scheme}://", "https://", 1) if tls and scheme in ("tcp", "http") else endpoint


def _message(body: bytes) -> str:
    """What a refusal says: the daemon's own are JSON, those of a proxy in front of it any text."""
    try:
        return msgspec.json.decode(body, type=_Refusal).message
    except msgspec.MsgspecError:
        return body.decode("utf-8", "replace")


class _Refusal(msgspec.Struct):
    message: str


class DockerClient:
    """One connection to one daemon. Make and use it inside a running loop; ``close`` it."""

    def __init__(
        self, endpoint: str, tls: ClientTLS | None = None, seconds: float = 0, user: str = "", password: str = ""
    ) -> None:
        """``seconds`` bounds one request, 0 does not. Raises ConfigurationError: unusable endpoint or TLS file."""
        self._docker = aiodocker.Docker(
            checked(endpoint, tls),
            timeout=aiohttp.ClientTimeout(total=seconds or None, sock_connect=CONNECT_SECONDS),
            ssl_context=tls.context() if tls else None,
        )
        if user:
            self._docker.session.headers["Authorization"] = _basic(user, password)

    async def containers(self, shape: type[T]) -> list[T]:
        """Return what ``shape`` holds of all containers, running or not, as the daemon lists them."""
        return msgspec.json.decode(await self._read("containers/json?all=true"), type=list[shape])  # type: ignore[valid-type]

    async def inspect(self, container_id: str, shape: type[T]) -> T | None:
        """Return what ``shape`` holds of all that is known of a container; None when it is gone."""
        try:
            return msgspec.json.decode(await self._read(f"containers/{container_id}/json"), type=shape)
        except aiodocker.DockerError as error:
            if error.status == 404:
                return None
            raise

    async def inspect_if_allowed(self, container_id: str, shape: type[T]) -> T | None:
        """As ``inspect``; None too where a proxy in front of the daemon's socket does not let it through (403)."""
        try:
            return await self.inspect(container_id, shape)
        except aiodocker.DockerError as error:
            if error.status == 403:
                return None
            raise

    async def _read(self, path: str) -> bytes:
        """The answer as it comes: aiodocker's own way there makes plain data of all of it, which costs as much again
        as the request, and a daemon with 1,000 containers is asked 1,000 times at a start."""
        docker = self._docker
        if docker.api_version == "auto":
            await docker.version()  # agrees on one
        address = URL(f"{docker.docker_host}/{docker.api_version}/{path}", encoded=True)
        async with docker.session.get(address) as response:
            body = await response.read()
        if response.status >= 400:
            raise aiodocker.DockerError(response.status, _message(body))
        return body

    async def networks(self) -> list[dict[str, Any]]:
        """Return all networks as the daemon lists them."""
        return [dict(network) for network in await self._docker.networks.list()]

    async def info(self) -> dict[str, Any]:
        """Return what the daemon says of itself."""
        return dict(await self._docker.system.info())

    async def services(self) -> list[dict[str, Any]]:
        """Return all services of the Swarm, as a manager lists them."""
        return [dict(service) for service in await self._docker.services.list()]

    async def tasks(self, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Return the tasks of the Swarm that the API's filters let through."""
        return [dict(task) for task in await self._docker.tasks.list(filters=filters)]

    async def nodes(self) -> list[dict[str, Any]]:
        """Return all nodes of the Swarm."""
        return [dict(node) for node in await self._docker.nodes.list()]

    async def events(self, filters: str) -> AsyncIterator[dict[str, Any]]:
        """Yield events until the stream ends; ``filters`` is the API's JSON. Raises what the stream failed with."""
        since = int(time.time()) - LOOK_BACK_SECONDS
        source: Any = self._docker.events  # untyped there
        subscriber = source.subscribe(filters=filters, since=str(since))
        while (event := await subscriber.get()) is not None:
            yield event
        task = source.task
        if task is not None:
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def close(self) -> None:
        """End the event stream and close all connections."""
        with suppress(*TRANSPORT_ERRORS):
            await self._docker.close()
        await self._docker.session.close()  # closing fails half-way where the event stream has failed
