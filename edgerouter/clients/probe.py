"""One health check over HTTP/1.1, by aiohttp: for the control process, never for a worker. What is to be checked, how
often, and what follows from it, is ``control.health``'s."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import aiohttp
import msgspec
from yarl import URL

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


async def probe_http(probe: Probe, tls: ssl.SSLContext | None) -> str:
    """Ask; "" when the server is well, else the sentence that says why not."""
    try:
        async with asyncio.timeout(probe.timeout or None):
            return await _ask(probe, tls)
    except TimeoutError:
        return f"no answer within {probe.timeout:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return said(error)


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
