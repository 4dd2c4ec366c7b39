"""The dynamic configuration: Traefik's v3 schema as typed, frozen data. Shapes only; ``decode`` fills them."""

from __future__ import annotations

from typing import Any

import msgspec

from edgerouter.config.types import Duration


class Model(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Base of every object of the configuration: camelCase outside, unknown keys refused."""


class Domain(Model, frozen=True):
    """A certificate's names."""

    main: str = ""
    sans: tuple[str, ...] = ()


class RouterTLS(Model, frozen=True):
    """Presence turns TLS on for a router."""

    options: str = ""
    cert_resolver: str = ""
    domains: tuple[Domain, ...] = ()


class Observability(Model, frozen=True):
    """What is recorded of a router's requests; None takes the entry point's setting."""

    access_logs: bool | None = None
    metrics: bool | None = None
    tracing: bool | None = None
    trace_verbosity: str = ""


class Router(Model, frozen=True):
    """Rule, middlewares and service. ``priority`` 0 means the rule's length in bytes."""

    entry_points: tuple[str, ...] = ()
    middlewares: tuple[str, ...] = ()
    service: str = ""
    rule: str = ""
    parent_refs: tuple[str, ...] = ()
    rule_syntax: str = ""
    priority: int = 0
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

    dial_timeout: Duration = Duration(30)
    response_header_timeout: Duration = Duration(0)
    idle_conn_timeout: Duration = Duration(90)


class ServersTransport(Model, frozen=True):
    """How servers are reached."""

    server_name: str = ""
    insecure_skip_verify: bool = False
    root_cas: tuple[str, ...] = msgspec.field(default=(), name="rootCAs")
    max_idle_conns_per_host: int = 200
    forwarding_timeouts: ForwardingTimeouts = ForwardingTimeouts()


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
