"""How servers are reached: a Plan's transports -> the settings that the engine's pools take. No connection lives here.

Reading certificate authorities takes tens of milliseconds, so it is done in a thread, and only for transports by which
some server is reached over TLS.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from edgerouter.clients.references import Resolver
from edgerouter.config.dynamic import ServersTransport
from edgerouter.contracts.plan import ServiceEntry, TransportEntry
from edgerouter.net.pool import TransportSettings
from edgerouter.worker.assemble_slices import sliced
from edgerouter.worker.upstream_tls import peer_names, tls_context

DEFAULT: Final = "default@internal"


def transport_name(options: Any) -> str:
    """The name of the transport that a service's plain options ask for."""
    name = options.get("serversTransport", "") if isinstance(options, dict) else ""
    return name or DEFAULT


class Transports:
    """``settings`` is the engine's own table, changed in place; ``faults`` says which transports cannot be used."""

    def __init__(self, settings: dict[str, TransportSettings]) -> None:
        self._settings = settings
        self._made: dict[str, tuple[TransportEntry, bool]] = {}
        self.faults: dict[str, str] = {}

    async def update(self, entries: dict[str, TransportEntry], services: dict[str, ServiceEntry]) -> set[str]:
        """Make what is new or changed; the names of transports whose servers need new connections."""
        secure: set[str] = set()
        await sliced(_over_tls(services, secure))
        changed: set[str] = set()
        for name, entry in entries.items():
            known = self._made.get(name)
            if known is None or known[0] is not entry or (name in secure and not known[1]):
                await self._make(name, entry, name in secure)
                changed.add(name)
        for name in [name for name in self._made if name not in entries]:
            del self._made[name]
            self._settings.pop(name, None)
            self.faults.pop(name, None)
            changed.add(name)
        return changed

    async def _make(self, name: str, entry: TransportEntry, secure: bool) -> None:
        self._made[name] = (entry, secure)
        self.faults.pop(name, None)
        context: ssl.SSLContext | None = None
        resolver = Resolver()
        try:
            options = resolver.typed(entry.options, ServersTransport)
            if secure:
                context = await asyncio.get_running_loop().run_in_executor(None, tls_context, options)
            settings = _settings(options, context)
        except (msgspec.ValidationError, ValueError, OSError) as error:
            self.faults[name] = f"serversTransport {name!r}: {resolver.masked(str(error))}"
            return
        self._settings[name] = settings
        if name == DEFAULT:
            self._settings[""] = settings


def _over_tls(services: dict[str, ServiceEntry], found: set[str]) -> Iterator[None]:
    """Collect the transports that reach some server over TLS, one service a step."""
    for service in services.values():
        for server in service.servers:
            if server.url.startswith("https:"):
                found.add(transport_name(service.options))
                break
        yield


def _settings(options: ServersTransport, context: ssl.SSLContext | None) -> TransportSettings:
    timeouts = options.forwarding_timeouts
    version = 0 if options.proxy_protocol is None else options.proxy_protocol.version
    if options.proxy_protocol is not None and version not in (1, 2):
        raise ValueError(f"proxyProtocol.version: expected 1 or 2, got {version}")
    return TransportSettings(
        dial_timeout=float(timeouts.dial_timeout),
        response_header_timeout=float(timeouts.response_header_timeout),
        idle_timeout=float(timeouts.idle_conn_timeout),
        max_idle=options.max_idle_conns_per_host,
        tls=context,
        server_name=options.server_name,
        proxy_protocol=version,
        peer_names=peer_names(options),
    )
