"""A service's ``healthCheck`` and a server's address -> the question to ask. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from edgerouter.clients.probe import Probe
from edgerouter.config.dynamic import ServersTransport
from edgerouter.services._load_balancer_options import HealthCheck

_PORTS = {"http": 80, "https": 443}


def make_probe(server: str, options: HealthCheck, transport: ServersTransport) -> Probe:
    """Raises ValueError for an address that is none."""
    socket = server[5:].removeprefix("//") if server.startswith("unix:") else ""
    parts = urlsplit("http://localhost" if socket else server)
    scheme = options.scheme or parts.scheme
    host = parts.hostname or ""
    # A port that was left out is that of the server's own scheme: another scheme alone does not mean another port.
    port = options.port or parts.port or _PORTS.get(parts.scheme, 80)
    host = f"[{host}]" if ":" in host else host
    default = port == _PORTS.get(scheme)
    return Probe(
        url=f"{scheme}://{host}" if default or socket else f"{scheme}://{host}:{port}",
        path=options.path if options.path.startswith("/") else f"/{options.path}",
        socket=socket,
        method=options.method or "GET",
        host=options.hostname,
        headers=options.headers,
        status=options.status,
        follow=options.follow_redirects,
        timeout=float(options.timeout),
        server_name=transport.server_name,
    )
