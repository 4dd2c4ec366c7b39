"""The dynamic configuration: Traefik's v3 schema as typed, frozen data. Shapes only; ``decode`` fills them."""

from __future__ import annotations

from typing import Any

import msgspec

from edgerouter.config.types import Duration


class Model(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Base of every object of the configuration: camelCase outside, unknown keys refused."""


class Domain(Model, frozen=True):
    """A certificate's names."""

    main: str = ""  # the certificate's first name
    sans: tuple[str, ...] = ()  # its other names


class RouterTLS(Model, frozen=True):
    """Presence turns TLS on for a router."""

    options: str = ""  # name of the TLS options
    cert_resolver: str = ""  # name of the certificate resolver
    domains: tuple[Domain, ...] = ()  # names to get certificates for


class Observability(Model, frozen=True):
    """What is recorded of a router's requests; None takes the entry point's setting."""

    access_logs: bool | None = None  # write access log lines
    metrics: bool | None = None  # count in metrics
    tracing: bool | None = None  # make spans
    trace_verbosity: str = ""  # minimal or detailed


class Router(Model, frozen=True):
    """Rule, middlewares and service. ``priority`` 0 means the rule's length in bytes."""

    entry_points: tuple[str, ...] = ()  # where it listens; the default entry points when empty
    middlewares: tuple[str, ...] = ()  # steps, outermost first; !name@default leaves out a default of the entry point
    service: str = ""  # where requests go
    rule: str = ""  # which requests it takes
    parent_refs: tuple[str, ...] = ()  # routers above it
    rule_syntax: str = ""  # v3 or v2
    priority: int = 0  # the highest is tried first; 0 is the rule's length in bytes
    tls: RouterTLS | None = None
    observability: Observability | None = None


class Middleware(msgspec.Struct, frozen=True):
    """``kind`` is the registered name (``stripPrefix``), ``options`` an instance of that plugin's options class.

    ``refused``: it could not be decoded, and says why; its routers must answer 500, never be served without it.
    """

    kind: str
    options: Any
    refused: str = ""


class Service(msgspec.Struct, frozen=True):
    """``kind`` is loadBalancer, weighted ...; ``options`` an instance of its options class; ``refused`` as above."""

    kind: str
    options: Any
    middlewares: tuple[str, ...] = ()
    refused: str = ""


class ForwardingTimeouts(Model, frozen=True):
    """Seconds; 0 means none."""

    dial_timeout: Duration = Duration(30)  # until a connection stands
    response_header_timeout: Duration = Duration(0)  # from the request's end to the response's head; 0 is no limit
    idle_conn_timeout: Duration = Duration(90)  # how long an idle connection is kept
    read_idle_timeout: Duration = Duration(0)  # accepted for compatibility: HTTP/2 is not spoken to servers
    ping_timeout: Duration = Duration(15)  # accepted for compatibility: HTTP/2 is not spoken to servers


class ProxyProtocol(Model, frozen=True):
    """Each request has a connection of its own then, since the header is the connection's."""

    version: int = 2  # 1 (text) or 2 (binary)


class ServersTransport(Model, frozen=True):
    """How servers are reached."""

    server_name: str = ""  # name that the server's certificate must bear, and SNI
    insecure_skip_verify: bool = False  # believe any certificate
    root_cas: tuple[str, ...] = msgspec.field(default=(), name="rootCAs")  # files, or PEM texts, of CAs to believe
    max_idle_conns_per_host: int = 200  # idle connections that are kept for each server
    forwarding_timeouts: ForwardingTimeouts = ForwardingTimeouts()
    disable_http2: bool = msgspec.field(default=False, name="disableHTTP2")  # accepted: HTTP/1.1 is spoken to servers
    proxy_protocol: ProxyProtocol | None = None  # tell servers the client's address by a PROXY header


class HttpConfiguration(Model, frozen=True):
    """Names are as the provider gave them, without ``@provider``."""

    routers: dict[str, Router] = {}
    services: dict[str, Service] = {}
    middlewares: dict[str, Middleware] = {}
    servers_transports: dict[str, ServersTransport] = {}


class DynamicConfiguration(Model, frozen=True):
    """A provider's whole configuration. ``tcp``, ``udp`` and ``tls`` are kept as plain data until they are served."""

    http: HttpConfiguration = HttpConfiguration()
    tcp: dict[str, Any] = {}
    udp: dict[str, Any] = {}
    tls: dict[str, Any] = {}
