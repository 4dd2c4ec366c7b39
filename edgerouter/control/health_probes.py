"""A service's ``healthCheck`` and a server's address -> the question to ask, and how to get there."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

from edgerouter.clients.probe import Dial, Probe
from edgerouter.config.dynamic import ServersTransport
from edgerouter.net.proxied_connect import connect_as, connect_unix_as
from edgerouter.services._load_balancer_options import HealthCheck

_PORTS = {"http": 80, "https": 443}


def make_probe(server: str, options: HealthCheck, transport: ServersTransport) -> Probe:
    """Raises ValueError for an address that is none."""
    path = server[5:].removeprefix("//") if server.startswith("unix:") else ""
    parts = urlsplit("http://localhost" if path else server)
    scheme = options.scheme or parts.scheme
    host = parts.hostname or ""
    # A port that was left out is that of the server's own scheme: another scheme alone does not mean another port.
    port = options.port or parts.port or _PORTS.get(parts.scheme, 80)
    host = f"[{host}]" if ":" in host else host
    default = port == _PORTS.get(scheme)
    return Probe(
        url=f"{scheme}://{host}" if default or path else f"{scheme}://{host}:{port}",
        path=options.path if options.path.startswith("/") else f"/{options.path}",
        socket=path,
        method=options.method or "GET",
        host=options.hostname,
        headers=options.headers,
        status=options.status,
        follow=options.follow_redirects,
        timeout=float(options.timeout),
        server_name=transport.server_name,
    )


def make_dial(probe: Probe, transport: ServersTransport) -> Dial | None:
    """For servers that want a PROXY header: one that says that there is no client."""
    if transport.proxy_protocol is None:
        return None
    version, url = transport.proxy_protocol.version, urlsplit(probe.url)

    async def dial() -> socket.socket:
        loop = asyncio.get_running_loop()
        if probe.socket:
            return await connect_unix_as(loop, probe.socket, version, "", 0)
        return await connect_as(loop, url.hostname or "", url.port or _PORTS[url.scheme], version, "", 0)

    return dial
