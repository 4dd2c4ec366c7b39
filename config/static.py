"""The static configuration: everything that is read once, at start. Shapes and pure questions about them only.

``sources`` fills it from file, environment and flags. The comment behind a field is its line in ``edgerouter --help``,
in the JSON Schema and in the reference page, so it says what the option does and its unit.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgerouter.config.dynamic import Model, ServersTransport
from edgerouter.config.resolvers import CertificateResolver
from edgerouter.config.types import Duration

INTERNAL: str = "traefik"  # name of the entry point that ping, metrics and the insecure API use
INTERNAL_ADDRESS: str = ":8080"

Verbosity = Literal["minimal", "detailed"]
KeepOrDrop = Literal["keep", "drop"]
HeaderMode = Literal["keep", "drop", "redact"]


class LifeCycle(Model, frozen=True):
    """Stopping in order."""

    request_accept_grace_timeout: Duration = Duration(0)  # after SIGTERM, go on accepting for this long
    grace_time_out: Duration = Duration(10)  # then let requests in flight finish for at most this long
    upgrade_grace_time_out: Duration = Duration(86400)  # what old workers have for theirs after a live upgrade


class RespondingTimeouts(Model, frozen=True):
    """Limits on the client's side; 0 means none."""

    read_timeout: Duration = Duration(60)  # longest time for a request's head, and for each wait for more of its body
    write_timeout: Duration = Duration(0)  # longest time to write a response
    idle_timeout: Duration = Duration(180)  # longest idle time between requests, or of a client that reads nothing


class Transport(Model, frozen=True):
    """Life of connections."""

    life_cycle: LifeCycle = LifeCycle()
    responding_timeouts: RespondingTimeouts = RespondingTimeouts()
    keep_alive_max_requests: int = 0  # close a connection after this many requests; 0 is no limit
    keep_alive_max_time: Duration = Duration(0)  # close a connection after this long; 0 is no limit


class ProxyProtocol(Model, frozen=True):
    """PROXY protocol versions 1 and 2 on accepted connections."""

    insecure: bool = False  # believe every peer's PROXY header
    trusted_ips: tuple[str, ...] = msgspec.field(default=(), name="trustedIPs")  # peers (IP or CIDR) that are believed


class ForwardedHeaders(Model, frozen=True):
    """Who may supply X-Forwarded-* headers."""

    insecure: bool = False  # believe every peer's X-Forwarded-* headers
    trusted_ips: tuple[str, ...] = msgspec.field(default=(), name="trustedIPs")  # peers (IP or CIDR) that are believed
    connection: tuple[str, ...] = ()  # headers that survive although the client's Connection header lists them
    not_append_x_forwarded_for: bool = False  # do not add the peer's address to X-Forwarded-For
    add_x_forwarded_scheme_headers: bool = False  # send X-Forwarded-Scheme and X-Scheme too


class RedirectEntryPoint(Model, frozen=True):
    """A catch-all redirection."""

    to: str = ""  # an entry point's name, or :port
    scheme: str = "https"  # scheme of the target
    permanent: bool = True  # 301/308 instead of 302/307
    priority: int = 9223372036854775806  # priority of the router that redirects


class Redirections(Model, frozen=True):
    """What every request of an entry point is redirected to."""

    entry_point: RedirectEntryPoint | None = None


class EntryPointDomain(Model, frozen=True):
    """A certificate's names."""

    main: str = ""  # the certificate's first name
    sans: tuple[str, ...] = ()  # its other names


class EntryPointTLS(Model, frozen=True):
    """TLS for routers that have no tls section of their own; presence turns it on."""

    options: str = ""  # name of the TLS options
    cert_resolver: str = ""  # name of the certificate resolver
    domains: tuple[EntryPointDomain, ...] = ()  # names to get certificates for


class EncodedCharacters(Model, frozen=True):
    """Which percent escapes a raw path may hold; a forbidden one is answered 400."""

    allow_encoded_slash: bool = True  # %2F
    allow_encoded_back_slash: bool = True  # %5C
    allow_encoded_null_character: bool = True  # %00
    allow_encoded_semicolon: bool = True  # %3B
    allow_encoded_percent: bool = True  # %25
    allow_encoded_question_mark: bool = True  # %3F
    allow_encoded_hash: bool = True  # %23


class EntryPointHttp(Model, frozen=True):
    """HTTP on this entry point."""

    redirections: Redirections = Redirections()
    middlewares: tuple[str, ...] = ()  # put in front of every router's middlewares (name@provider)
    default_middlewares: tuple[str, ...] = ()  # the same, behind those; a router leaves one out by "!name@default"
    tls: EntryPointTLS | None = None
    encoded_characters: EncodedCharacters | None = None
    encode_query_semicolons: bool = False  # turn ; in a query into %3B instead of &
    sanitize_path: bool = True  # collapse //, . and .. before routing
    max_header_bytes: int = 1048576  # bytes of a request's head; 431 beyond
    max_header_count: int = 200  # header lines of a request's head; 431 beyond
    underscore_headers_strategy: Literal["keep", "delete", "reject"] = "keep"  # headers whose name has _


class Http2(Model, frozen=True):
    """HTTP/2 settings."""

    max_concurrent_streams: int = 250  # streams of one connection
    max_decoder_header_table_size: int = 4096  # bytes of the HPACK table for requests
    max_encoder_header_table_size: int = 4096  # bytes of the HPACK table for responses


class Http3(Model, frozen=True):
    """HTTP/3; presence asks for it."""

    advertised_port: int = 0  # port in Alt-Svc; 0 is the entry point's


class Udp(Model, frozen=True):
    """UDP sessions."""

    timeout: Duration = Duration(3)  # an idle session's life


class EntryPointObservability(Model, frozen=True):
    """What is recorded of requests whose router does not say."""

    access_logs: bool = True  # write access log lines
    metrics: bool = True  # count in metrics
    tracing: bool = True  # make spans
    trace_verbosity: Verbosity = "minimal"  # how many spans


class EntryPoint(Model, frozen=True):
    """A listening address."""

    address: str = ""  # [host]:port[/tcp or /udp]
    as_default: bool = False  # routers that name no entry point attach here only
    allow_acme_by_pass: bool = msgspec.field(default=False, name="allowACMEByPass")  # routers may answer challenges
    reuse_port: bool = False  # accepted; every entry point is bound with SO_REUSEPORT anyway
    transport: Transport = Transport()
    proxy_protocol: ProxyProtocol | None = None
    forwarded_headers: ForwardedHeaders = ForwardedHeaders()
    http: EntryPointHttp = EntryPointHttp()
    http2: Http2 = Http2()
    http3: Http3 | None = None
    udp: Udp = Udp()
    observability: EntryPointObservability = EntryPointObservability()
    max_connections: int = 0  # open connections at most, over all workers, one more is closed at once; 0 is no limit
    # the same for one client address (IPv6: its /64 network; the real one where the PROXY protocol tells it)
    max_connections_per_ip: int = msgspec.field(default=0, name="maxConnectionsPerIP")


class Providers(Model, frozen=True):
    """Where dynamic configuration comes from.

    ``sections`` holds what stands beside the options below, by the provider's name: an instance of its registered
    options class (plain data where no table of kinds was handed in).
    """

    providers_throttle_duration: Duration = Duration(0.2)  # after a first change, at most one in this time
    precedence: tuple[str, ...] = ()  # order of providers among routers of equal priority
    label_prefixes: tuple[str, ...] = ("edgerouter", "traefik")  # label prefixes that count; the first one wins
    sections: dict[str, Any] = {}


class Api(Model, frozen=True):
    """The API and the dashboard; presence turns them on (through a router, or insecure)."""

    base_path: str = "/"  # path in front of /api and /dashboard
    insecure: bool = False  # serve them on the entry point traefik (:8080) without a router
    dashboard: bool = True  # serve the dashboard too
    debug: bool = False  # serve /debug too
    disable_dashboard_ad: bool = False  # accepted; there is no advertisement
    dashboard_name: str = ""  # a name shown in the dashboard


class Ping(Model, frozen=True):
    """The answer to health checks at /ping; on unless turned off (ping: false)."""

    entry_point: str = INTERNAL  # entry point that serves it
    manual_routing: bool = False  # make no router; ping@internal can be used as a service
    terminating_status_code: int = 503  # status while stopping


class Prometheus(Model, frozen=True):
    """The page /metrics; on unless turned off (metrics.prometheus: false)."""

    buckets: tuple[float, ...] = (0.1, 0.3, 1.2, 5.0)  # upper bounds of the duration histograms, in seconds
    add_entry_points_labels: bool = True  # series by entry point
    add_routers_labels: bool = False  # series by router
    add_services_labels: bool = True  # series by service
    entry_point: str = INTERNAL  # entry point that serves it
    manual_routing: bool = False  # make no router; prometheus@internal can be used as a service
    header_labels: dict[str, str] = {}  # label to request header, on the entry points' request counter


class Metrics(Model, frozen=True):
    """Metrics. ``sections`` holds the other backends by name, as in ``Providers``."""

    prometheus: Prometheus | None = Prometheus()
    add_internals: bool = False  # count internal services (ping, API, dashboard, metrics) too
    sections: dict[str, Any] = {}


class Log(Model, frozen=True):
    """The router's own log, on standard error."""

    level: Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "PANIC"] = "INFO"  # least severity written
    format: Literal["common", "json"] = "common"  # one line of text, or one JSON object a line
    no_color: bool = False  # no colours on a terminal
    file_path: str = ""  # write to this file instead
    max_size: int = 0  # megabytes of a file before it is rotated; 0 is 100
    max_age: int = 0  # days that rotated files are kept; 0 is for ever
    max_backups: int = 0  # number of rotated files that are kept; 0 is all
    compress: bool = False  # compress rotated files


PRIVATE_NETWORKS: tuple[str, ...] = (
    *("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"),
    "fe80::/10",
)


class Explain(Model, frozen=True):
    """Ids on 404 pages, which ``edgerouter explain ID`` takes."""

    # clients (IP or CIDR) whose 404 pages carry one: this machine and private networks; [] for none. A request that
    # came through another proxy (it has X-Forwarded-* headers) gets none
    trusted_ips: tuple[str, ...] = msgspec.field(default=PRIVATE_NETWORKS, name="trustedIPs")


class AccessLogFilters(Model, frozen=True):
    """Lines to keep; a line that any filter names is kept, and without filters all are."""

    status_codes: tuple[str, ...] = ()  # codes and ranges: 200, 300-302
    retry_attempts: bool = False  # requests that were sent again
    min_duration: Duration = Duration(0)  # requests that took at least this long


class AccessLogHeaders(Model, frozen=True):
    """Headers in the access log."""

    default_mode: HeaderMode = "drop"  # for headers without a name below
    names: dict[str, HeaderMode] = {}  # header to keep, drop or redact


class AccessLogQuery(Model, frozen=True):
    """Query parameters in the access log."""

    default_mode: HeaderMode = "keep"  # for all parameters


class AccessLogFields(Model, frozen=True):
    """Fields of an access log line."""

    default_mode: KeepOrDrop = "keep"  # for fields without a name below
    names: dict[str, KeepOrDrop] = {}  # field to keep or drop
    headers: AccessLogHeaders = AccessLogHeaders()
    query_parameters: AccessLogQuery = AccessLogQuery()


class AccessLog(Model, frozen=True):
    """The access log; presence turns it on."""

    file_path: str = ""  # file to write to; standard output when empty
    format: Literal["common", "genericCLF", "json"] = "common"  # form of a line
    buffering_size: int = 0  # lines kept in memory before they are written
    add_internals: bool = False  # log internal services too
    dual_output: bool = False  # accepted; there is one output
    filters: AccessLogFilters = AccessLogFilters()
    fields: AccessLogFields = AccessLogFields()


class Global(Model, frozen=True):
    """The rest of Traefik's global section; nothing is ever sent or looked up."""

    check_new_version: bool = False  # accepted; never looked up
    send_anonymous_usage: bool = False  # accepted; never sent
    not_append_x_forwarded_for: bool = False  # on no entry point add the peer's address to X-Forwarded-For


class HostResolver(Model, frozen=True):
    """CNAME flattening for Host rules."""

    cname_flattening: bool = False  # try the host that CNAME records lead to
    resolv_conf: str = "/etc/resolv.conf"  # file that names the resolvers
    resolv_depth: int = 5  # CNAME records followed at most


class Core(Model, frozen=True):
    """Defaults of the rule language."""

    default_rule_syntax: Literal["v3", "v2"] = "v3"  # for routers without ruleSyntax


class Experimental(Model, frozen=True):
    """Switches that may go away."""

    loop: Literal["uvloop", "asyncio"] = "uvloop"  # event loop of all processes
    patience: float = 1.0  # factor on the time after which a silent worker is replaced; more for valgrind and the like


class StaticConfiguration(Model, frozen=True):
    """The whole. Sections typed as plain data are accepted and named in a warning: they are not there yet."""

    entry_points: dict[str, EntryPoint] = {}
    providers: Providers = Providers()
    api: Api | None = None
    ping: Ping | None = Ping()
    metrics: Metrics = Metrics()
    log: Log = Log()
    access_log: AccessLog | None = None
    explain: Explain = Explain()
    servers_transport: ServersTransport = ServersTransport()
    global_: Global = msgspec.field(default=Global(), name="global")
    workers: int = 0  # worker processes; 0 is the CPUs that affinity and cgroup quota allow, at most 8
    user: str = ""  # become this user (name or number) once the ports are open; needs root
    group: str = ""  # become this group (name or number) too; the user's own when empty
    host_resolver: HostResolver | None = None
    core: Core = Core()
    experimental: Experimental = Experimental()
    certificates_resolvers: dict[str, CertificateResolver] = {}  # who issues certificates, by name
    tracing: dict[str, Any] = {}  # not there yet
    tcp_servers_transport: dict[str, Any] = {}  # not there yet
    spiffe: dict[str, Any] = {}  # not there yet
    ocsp: dict[str, Any] = {}  # not there yet


class Address(msgspec.Struct, frozen=True):
    """A listening address: ``host`` without brackets, "" for all interfaces; ``protocol`` is tcp or udp."""

    host: str
    port: int
    protocol: str = "tcp"


def parse_address(text: str) -> Address:
    """``[host]:port[/tcp|/udp]``, an IPv6 host in brackets (Traefik entryPoints.address).

    Raises ValueError that says what is expected.
    """
    place, slash, protocol = text.strip().partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in ("tcp", "udp"):
        raise ValueError(f"expected /tcp or /udp after the port, got /{protocol} in {text!r}")
    host, colon, port = place.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise ValueError(f"expected [host]:port such as :80, 127.0.0.1:80 or [::1]:80, got {text!r}")
    if int(port) > 65535:
        raise ValueError(f"expected a port from 0 to 65535, got {port} in {text!r}")
    return Address(_host(host, text), int(port), protocol)


def _host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]") and ":" in host:
        return host[1:-1]
    if any(letter in "[]: " for letter in host):
        raise ValueError(f"expected an IPv6 host in brackets such as [::1]:80, got {text!r}")
    return host


def uses_internal(static: StaticConfiguration) -> tuple[str, ...]:
    """Which of api, ping and metrics need the entry point ``traefik``."""
    used = []
    if static.api is not None and static.api.insecure:
        used.append("api")
    if static.ping is not None and static.ping.entry_point == INTERNAL and not static.ping.manual_routing:
        used.append("ping")
    prometheus = static.metrics.prometheus
    if prometheus is not None and prometheus.entry_point == INTERNAL and not prometheus.manual_routing:
        used.append("metrics")
    return tuple(used)


def effective_entry_points(static: StaticConfiguration) -> dict[str, EntryPoint]:
    """The configured entry points, ``http`` on :80 when there are none, and ``traefik`` on :8080 when it is used."""
    points = dict(static.entry_points)
    if not points:
        points["http"] = EntryPoint(address=":80")
    if INTERNAL not in points and uses_internal(static):
        points[INTERNAL] = EntryPoint(address=INTERNAL_ADDRESS)
    return points


def default_entry_points(static: StaticConfiguration) -> tuple[str, ...]:
    """Entry points of a router that names none: those with asDefault, else all TCP ones but ``traefik``."""
    points = effective_entry_points(static)
    chosen = [name for name, point in points.items() if point.as_default]
    if chosen:
        return tuple(chosen)
    return tuple(
        name for name, point in points.items() if name != INTERNAL and parse_address(point.address).protocol == "tcp"
    )
