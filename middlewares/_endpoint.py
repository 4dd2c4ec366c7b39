"""A server of a middleware's own, by its URL: where it is, how it is reached over TLS, and what goes wrong on the way.

The connections are the engine's, pooled as all others. Contexts for TLS are made in a thread, once for each set of
options in a worker.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Final
from urllib.parse import urlsplit

from edgerouter.causes import CONFIGURATION, declare
from edgerouter.config.dynamic import Model
from edgerouter.config.types import Secret
from edgerouter.contracts.plugins import Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Request, Response
from edgerouter.net.pool import TransportSettings
from edgerouter.proxy.failures import answer

_PATIENCE: Final = 30.0  # seconds
_CAUSE: Final = declare(
    "AUTH_SERVER_FAILED",
    500,
    CONFIGURATION,
    "The server that forwardAuth, jwt or oidc asks cannot be reached, is too slow, or answers what cannot be used.",
    "CauseDetail names the server and the reason; nobody passes until it is well.",
)


class TLS(Model, frozen=True):
    """TLS to the server."""

    # authority that the server's certificate is from, a file or its text; the system's when absent
    ca: str = ""
    # certificate that is shown to the server, a file or its text
    cert: str = ""
    # its key, a file or its text
    key: Secret = Secret("")
    # believe any certificate
    insecure_skip_verify: bool = False


class EndpointFailed(Exception):
    """No response: not reachable, too slow, not trusted. The text says which."""


def failed(exchange: Exchange, who: str, error: Exception) -> Response:
    """The answer when the server could not be asked."""
    return answer(exchange, 500, _CAUSE, f"{who}: {error}")


_settings: dict[TLS, TransportSettings] = {}


class Endpoint(Service):
    """``option`` names what the URL came from. Raises ValueError for what is no URL of http or https."""

    def __init__(self, option: str, url: str, tls: TLS | None = None) -> None:
        super().__init__(option)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{option}: {url!r} is no address; write http://host:port/path")
        self.pass_host_header = False
        self.url = url
        self.path = parts.path or "/"
        self.query = parts.query
        self._tls = tls or TLS()
        default = 443 if parts.scheme == "https" else 80
        self._server = Server(url, parts.scheme, parts.hostname, port or default)
        self._checked = parts.scheme == "http"

    def choose(self, exchange: Exchange) -> Server | None:
        """The one there is. Who sends the request writes X-Forwarded-For itself."""
        exchange.forwarded_for = False
        exchange.service = self.name
        return self._server

    def available(self) -> bool:
        """See ``Service.available``."""
        return True

    async def send(self, exchange: Exchange, request: Request) -> Response:
        """Send it, and return the response's head; raises EndpointFailed."""
        try:
            async with asyncio.timeout(_PATIENCE):
                if not self._checked:
                    await self._prepare()
                response = await exchange.fetch(self, request)
        except TimeoutError:
            raise EndpointFailed(f"no answer within {_PATIENCE:g} s") from None
        if response.cause:
            if response.body is not None:
                response.body.abandon()
            raise EndpointFailed(f"{response.cause} from {self._server.host}:{self._server.port}")
        return response

    async def _prepare(self) -> None:
        settings = _settings.get(self._tls)
        if settings is None:
            loop = asyncio.get_running_loop()
            try:
                context = await loop.run_in_executor(None, _context, self._tls)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                raise EndpointFailed(f"its TLS options cannot be used: {error}") from error
            settings = _settings.setdefault(self._tls, TransportSettings(tls=context))
        self._server.settings = settings
        self._checked = True


def _context(options: TLS) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if options.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not options.ca:
        context.load_default_certs()
    elif "-----BEGIN" in options.ca:
        context.load_verify_locations(cadata=options.ca)
    else:
        context.load_verify_locations(cafile=options.ca)
    if options.cert:
        _identify(context, options)
    return context


def _identify(context: ssl.SSLContext, options: TLS) -> None:
    key = options.key.reveal()
    if "-----BEGIN" not in options.cert and "-----BEGIN" not in key:
        context.load_cert_chain(options.cert, key or None)
        return
    # OpenSSL reads them from a file only: one that has no name
    fd = os.memfd_create("edgerouter-certificate", os.MFD_CLOEXEC)
    try:
        os.write(fd, f"{_text(key)}\n{_text(options.cert)}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _text(value: str) -> str:
    if "-----BEGIN" in value or not value:
        return value
    with open(value, encoding="ascii", errors="replace") as source:
        return source.read()
