"""The dynamic configuration: Traefik's v3 schema as typed, frozen data. Shapes only; ``decode`` fills them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgerouter.config.late import Late
from edgerouter.config.types import Duration, Secret


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
    ``late``: references that stand where ``options`` have a default, since they are no text (see ``config.late``).
    """

    kind: str
    options: Any
    refused: str = ""
    late: Late = ()


class Service(msgspec.Struct, frozen=True):
    """``kind`` is loadBalancer, weighted ...; ``options`` an instance of its options class; the others as above."""

    kind: str
    options: Any
    middlewares: tuple[str, ...] = ()
    refused: str = ""
    late: Late = ()


class ServiceMiddlewares(msgspec.Struct, frozen=True):
    """What a service of any kind may have beside its kind."""

    middlewares: tuple[str, ...] = ()


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


class CertificatePair(Model, frozen=True):
    """A certificate with its key. Both may hold a PEM text instead of a file's name, so both are secrets."""

    cert_file: Secret = Secret("")  # file, or PEM text, of the certificate and the chain to its authority
    key_file: Secret = Secret("")  # file, or PEM text, of its private key


class PeerSAN(Model, frozen=True):
    """One name that a server's certificate must bear."""

    type: Literal["DNSName", "URI", "IPAddress", "EmailAddress"] = "DNSName"  # kind of the name
    value: str = ""  # the name


class ServersTransport(Model, frozen=True):
    """How servers are reached."""

    server_name: str = ""  # name that the server's certificate must bear, and SNI
    insecure_skip_verify: bool = False  # believe any certificate
    root_cas: tuple[str, ...] = msgspec.field(default=(), name="rootCAs")  # files, or PEM texts, of CAs to believe
    certificates: tuple[CertificatePair, ...] = ()  # what the router shows to servers that ask for a certificate
    cipher_suites: tuple[str, ...] = ()  # TLS 1.2 cipher suites that are offered, by their Go names
    min_version: str = ""  # lowest TLS version: VersionTLS12 (the default) ... VersionTLS13
    max_version: str = ""  # highest TLS version
    peer_cert_uri: str = msgspec.field(default="", name="peerCertURI")  # URI that the server's certificate must bear
    peer_cert_sans: tuple[PeerSAN, ...] = msgspec.field(default=(), name="peerCertSANs")  # one of these names instead
    max_idle_conns_per_host: int = 200  # idle connections that are kept for each server
    forwarding_timeouts: ForwardingTimeouts = ForwardingTimeouts()
    disable_http2: bool = msgspec.field(default=False, name="disableHTTP2")  # accepted: HTTP/1.1 is spoken to servers
    proxy_protocol: ProxyProtocol | None = None  # tell servers the client's address by a PROXY header


class Certificate(CertificatePair, frozen=True):
    """A certificate that is chosen by the name that clients ask for."""

    stores: tuple[str, ...] = ()  # accepted; every certificate is in the store default


class GeneratedCert(Model, frozen=True):
    """A default certificate that a resolver gets."""

    resolver: str = ""  # name of the certificate resolver
    domain: Domain = Domain()  # names of the certificate


class TLSStore(Model, frozen=True):
    """A store of certificates; only ``default`` is used."""

    default_certificate: CertificatePair | None = None  # served where no certificate bears the asked name
    default_generated_cert: GeneratedCert | None = None  # the same, from a certificate resolver


ClientAuthType = Literal[
    "", "NoClientCert", "RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
]  # fmt: skip
TLSVersion = Literal["", "VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"]


class ClientAuth(Model, frozen=True):
    """Certificates of clients."""

    ca_files: tuple[str, ...] = ()  # files, or PEM texts, of the authorities that clients' certificates must come from
    client_auth_type: ClientAuthType = (
        ""  # what is asked of clients; RequireAndVerifyClientCert where caFiles are given
    )


class TLSOptions(Model, frozen=True):
    """How TLS is spoken with clients."""

    min_version: TLSVersion = ""  # lowest version; VersionTLS12 when empty
    max_version: TLSVersion = ""  # highest version; the newest that there is when empty
    cipher_suites: tuple[str, ...] = ()  # suites of TLS 1.2 and below, by their Go names; safe ones when empty
    curve_preferences: tuple[str, ...] = ()  # curves for the key exchange: X25519, CurveP256 ...
    client_auth: ClientAuth = ClientAuth()
    sni_strict: bool = False  # refuse clients that ask for a name that no certificate bears
    alpn_protocols: tuple[str, ...] = ("h2", "http/1.1", "acme-tls/1")  # protocols that are offered
    disable_session_tickets: bool = False  # every connection is a full handshake
    prefer_server_cipher_suites: bool = False  # accepted; the order is the server's


class TlsConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """The section ``tls``. ``refused`` maps options that could not be decoded to the sentence that says why: routers
    that name them must not be served with others. ``late`` are references in ``options`` that are no text."""

    certificates: tuple[Certificate, ...] = ()
    stores: dict[str, TLSStore] = {}
    options: dict[str, TLSOptions] = {}
    refused: dict[str, str] = {}
    late: dict[str, Late] = {}


class HttpConfiguration(Model, frozen=True):
    """Names are as the provider gave them, without ``@provider``. ``late_transports`` are references in
    ``servers_transports`` that are no text."""

    routers: dict[str, Router] = {}
    services: dict[str, Service] = {}
    middlewares: dict[str, Middleware] = {}
    servers_transports: dict[str, ServersTransport] = {}
    late_transports: dict[str, Late] = {}


class DynamicConfiguration(Model, frozen=True):
    """A provider's whole configuration. ``tcp`` and ``udp`` are kept as plain data until they are served."""

    http: HttpConfiguration = HttpConfiguration()
    tcp: dict[str, Any] = {}
    udp: dict[str, Any] = {}
    tls: TlsConfiguration = TlsConfiguration()
