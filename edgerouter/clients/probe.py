"""One health check over HTTP/1.1, by aiohttp: for the control process, never for a worker. What is to be checked, how
often, and what follows from it, is ``control.health``'s."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from edgerouter.errors import EdgeError

# Opens a socket to the server, where more is to be done than to connect
Dial = Callable[[], Awaitable[socket.socket]]
AGENT: Final = "edgerouter-healthcheck"


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask. ``url`` has scheme, host and port; ``path`` begins with ``/`` and may hold a query. ``socket`` is a
    Unix socket's path, or "". ``host`` is the Host field, "" for the url's own. ``status`` 0: 2xx and 3xx are well.
    ``timeout`` in seconds, for all of it. ``server_name``: whom the certificate must name, "" for the url's host."""

    url: str
    path: str = "/"
    socket: str = ""
    method: str = "GET"
    host: str = ""
    headers: dict[str, str] = {}
    status: int = 0
    follow: bool = True
    timeout: float = 5.0
    server_name: str = ""


async def probe_http(probe: Probe, tls: ssl.SSLContext | None, dial: Dial | None = None) -> str:
    """Ask; "" when the server is well, else the sentence that says why not. ``dial`` gives the socket to ask by."""
    try:
        async with asyncio.timeout(probe.timeout or None):
            return await (_ask(probe, tls) if dial is None else _ask_by_hand(probe, tls, dial))
    except TimeoutError:
        return f"no answer within {probe.timeout:g} s"
    except (aiohttp.ClientError, OSError, EdgeError, ValueError) as error:
        return said(error)


async def connect(
    probe: Probe, tls: ssl.SSLContext | None, dial: Dial | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the server, with the socket that ``dial`` gives, if any; raises OSError."""
    url = URL(probe.url)
    context = (tls or ssl.create_default_context()) if url.scheme == "https" else None
    name = (probe.server_name or url.host) if context is not None else None
    if dial is not None:
        return await asyncio.open_connection(sock=await dial(), ssl=context, server_hostname=name)
    if probe.socket:
        return await asyncio.open_unix_connection(probe.socket)
    return await asyncio.open_connection(url.host, url.port, ssl=context, server_hostname=name)


async def _ask_by_hand(probe: Probe, tls: ssl.SSLContext | None, dial: Dial) -> str:
    """aiohttp takes no socket that was used already; so this asks by hand, and follows no redirects."""
    reader, writer = await connect(probe, tls, dial)
    try:
        parts = URL(probe.url)
        fields = {"Host": probe.host or parts.authority, "User-Agent": AGENT, "Connection": "close", **probe.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"{probe.method} {probe.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace"))
        words = (await reader.readline()).split()
    finally:
        writer.transport.abort()
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        return "the server closed the connection before its answer" if not words else "the answer is no HTTP response"
    return _judged(probe, int(words[1]))


async def _ask(probe: Probe, tls: ssl.SSLContext | None) -> str:
    headers = {"User-Agent": AGENT, **probe.headers}
    if probe.host:
        headers["Host"] = probe.host
    connector: aiohttp.BaseConnector
    if probe.socket:
        connector = aiohttp.UnixConnector(probe.socket, force_close=True)
    else:
        connector = aiohttp.TCPConnector(force_close=True, ssl=tls or True)
    jar = aiohttp.DummyCookieJar()
    async with (
        aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False) as session,
        session.request(
            probe.method,
            URL(probe.url + probe.path, encoded=True),
            headers=headers,
            allow_redirects=probe.follow,
            server_hostname=probe.server_name or None,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as response,
    ):
        return _judged(probe, response.status)


def _judged(probe: Probe, status: int) -> str:
    if status == probe.status or (not probe.status and 200 <= status < 400):
        return ""
    return f"{status} to {probe.method} {probe.path}, expected {probe.status or '2xx or 3xx'}"


def said(error: Exception) -> str:
    """An exception in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
