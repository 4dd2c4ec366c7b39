"""What a plugin of the data plane looks like: middleware, service node, balancer, predicate; and what it is handed.

Concrete native classes, not ``typing.Protocol``: attribute access on the hot path stays a load from a struct.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mypy_extensions import i64, mypyc_attr

from edgerouter.errors import EdgeError
from edgerouter.http.body import BodyFilter
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response

if TYPE_CHECKING:
    from edgerouter.http.headers import Headers


class Resend:
    """A response step's wish: send the request again through the steps inside of ``after`` (the balancer included).

    Granted only while no byte of response went to the client and the request's body can be given again; otherwise the
    response at hand stays. ``service`` names another service to send it to.
    """

    def __init__(self, after: Middleware, service: str = "") -> None:
        self.after = after
        self.service = service


@mypyc_attr(allow_interpreted_subclasses=True)
class Middleware:
    """One step of a route. Override what is needed; what is not overridden is never called.

    An instance serves one router for as long as its configuration is unchanged. ``needs_body`` > 0: the engine reads
    the whole request body, at most that many bytes (413 beyond), before ``on_request``. ``keep_body`` > 0: up to that
    many bytes of the body are kept so that the request can be sent again. Both are looked at once, after ``__init__``.
    ``phases`` is the engine's: which methods are overridden, as bits, 0 until looked at.
    """

    needs_body: int = 0
    keep_body: int = 0
    phases: i64 = 0

    def __init__(self) -> None:
        pass

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """None: go on. A Response: answer now. An awaitable of either: the exchange waits for it."""
        return None

    def on_response(self, exchange: Exchange) -> Resend | Awaitable[Resend | None] | None:
        """Edit or replace ``exchange.response``; runs for each step whose ``on_request`` ran and did not answer."""
        return None

    def on_end(self, exchange: Exchange) -> None:
        """The exchange is over, however it ended; runs exactly once for each step whose ``on_request`` was called."""

    def request_filter(self, exchange: Exchange) -> BodyFilter | None:
        """A filter for the request body, asked for after ``on_request``; not asked when there is no body."""
        return None

    def response_filter(self, exchange: Exchange) -> BodyFilter | None:
        """A filter for the response body, asked for after ``on_response``; not asked for 101, HEAD, 204, 304."""
        return None

    def on_trailers(self, exchange: Exchange, trailers: Headers) -> None:
        """Edit the response's trailers."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Predicate:
    """A compiled rule, or a part of one."""

    def test(self, exchange: Exchange) -> bool:
        """True when the exchange matches; no allocation, no I/O."""
        return False


class Server:
    """One address that requests are sent to, and what is known of it. Lives as long as some service names it.

    ``url`` is ``http://host:port``, ``https://...`` or ``unix:/path``. ``pool`` is the engine's connection pool, shared
    with all servers of the same address and transport. ``retired``: no service names it any more.
    """

    def __init__(self, url: str, scheme: str, host: str, port: int, weight: int = 1) -> None:
        # First what every request looks at: with ten thousand routers, each cache line of one is a miss.
        self.pool: object = None
        self.in_flight = 0
        self.up = True
        self.retired = False
        self.preserve_path = False
        self.fenced = False
        self.url = url
        self.weight = weight
        self.scheme = scheme
        self.host = host
        self.port = port
        self.base_path = ""
        self.transport = ""  # qualified name of its serversTransport; "" is the static configuration's
        self.settings: object = None  # net.pool.TransportSettings of its own, before those of its transport


@mypyc_attr(allow_interpreted_subclasses=True)
class Balancer:
    """Picks one of the servers that are up.

    ``timed`` True: it is told how long servers take (``responded``) and which fail (``failed``). ``fixed`` True: it
    gives the same exchange the same server each time, so that one which failed must be left out of the list. Set in
    ``__init__``. ``plain`` True: of one server it always picks that one, and learns nothing by being asked.
    """

    timed: bool = False
    fixed: bool = False
    plain: bool = False

    def pick(self, servers: list[Server], exchange: Exchange) -> Server | None:
        """``servers`` is never changed in place; None when nothing can be picked. Synchronous."""
        return None

    def start(self, phase: float) -> None:
        """Where in its cycle (0 <= phase < 1) to begin; each worker begins elsewhere. Called before the first pick."""

    def responded(self, server: Server, seconds: float) -> None:
        """The head of a response came, that long after the server was picked."""

    def failed(self, server: Server) -> None:
        """The server gave no response."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Service:
    """A node of the service tree. ``steps`` are middlewares of its own, run after the router's once it is chosen.

    ``pass_host_header`` False sends the server's own host and port as Host. ``key`` numbers it in the metrics (the
    assembler sets it from the Plan). ``refused`` as for routes. ``lone`` is the server that every exchange gets, where
    that is certain: there is no other, and no step, no balancer and no refusal. ``refresh`` finds it out.
    """

    lone: Server | None = None
    key: int = 0
    steps: list[Middleware] | None = None
    pass_host_header: bool = True
    refused: str = ""
    hold: float = 0.0  # seconds that a request waits for a server while there is none

    def __init__(self, name: str) -> None:
        self.name = name

    def choose(self, exchange: Exchange) -> Server | None:
        """Pick a server and set ``exchange.service`` to the leaf's name; None when none is available (503). Not asked
        while there is a ``lone`` one."""
        return None

    def below(self, exchange: Exchange) -> Service:
        """The next node on the way to a server: a child, or itself when there is none to be picked or had."""
        return self

    def available(self) -> bool:
        """True while some server below can be chosen."""
        return False

    def failed(self, server: Server, error: EdgeError) -> None:
        """A server that it chose gave no response head; another may be chosen next."""

    def refresh(self) -> None:
        """Look at the servers' health again; whoever changes ``Server.up`` or ``Server.fenced``, or this service's
        ``steps`` or ``refused``, calls this after."""

    def inherit(self, previous: Service) -> None:
        """Take over the running state of the object that this one replaces, so that fractions do not start again."""

    def answer(self, exchange: Exchange) -> Response | None:
        """Answer without a server (``ping@internal``, ``noop@internal``); None for every service that has servers."""
        return None


class Route:
    """What a matched request meets: identity, steps outside in, the service tree. ``key`` numbers it in the metrics."""

    def __init__(self, name: str, rule: str, priority: int, service: Service | None, steps: list[Middleware]) -> None:
        self.service = service  # first what every request looks at, as in Server
        self.steps = steps
        self.series: object = None  # the recorder's: where the newest request was counted
        self.key = 0
        self.refused = ""  # BAD_CONFIG: the sentence that says why; every request is answered 500
        self.asleep = ""  # ASLEEP: the sentence that says why; every request is answered 503
        self.access_log = True
        self.metrics = True
        self.name = name
        self.rule = rule
        self.priority = priority
        self.tls_options = ""  # TLS options that it must be reached with; "" is those of its host
        self.predicate: Predicate | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class Table:
    """The routing table of one worker; replaced whole by one assignment."""

    def match(self, exchange: Exchange) -> Route | None:
        """The route of the highest priority whose entry point, TLS and rule fit, or None."""
        return None

    def service(self, name: str) -> Service | None:
        """A service by its qualified name, for side requests and fallbacks."""
        return None


@mypyc_attr(allow_interpreted_subclasses=True)
class Record:
    """A few numbers shared by all workers of the machine (see ``telemetry.records``)."""

    def add(self, index: int, amount: int) -> None:
        """Add to a counter of this worker's own part; no lock."""

    def total(self, index: int) -> int:
        """Sum of a counter over all workers' parts."""
        return 0


class PluginContext:
    """What a middleware or service is handed besides its options.

    ``name`` is its qualified name, ``router`` the router that the instance belongs to ("" for services),
    ``service`` that router's service. ``find_service`` resolves a qualified name when it is called (it may appear
    later). ``shared`` is the store of records across workers. ``now`` is the loop's clock in seconds.
    """

    def __init__(
        self,
        name: str,
        router: str,
        service: str,
        find_service: Callable[[str], Service | None],
        shared: Any,
        now: Callable[[], float],
        slot: int,
    ) -> None:
        self.name = name
        self.router = router
        self.service = service
        self.find_service = find_service
        self.shared = shared
        self.now = now
        self.slot = slot
