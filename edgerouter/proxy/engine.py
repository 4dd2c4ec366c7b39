"""The engine of one worker: entry points, the routing table in use, connections, drain. DESIGN sections 3 and 4."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from mypy_extensions import mypyc_attr

from edgerouter.contracts.plugins import Middleware, Route, Server, Service, Table
from edgerouter.errors import EdgeError, Misdirected, NoRoute, NoServer
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.net.client_connection import ClientConnection
from edgerouter.net.client_responses import ClientTimeouts
from edgerouter.net.clock import Clock
from edgerouter.net.listener import TcpListener
from edgerouter.net.pool import Pool, Pools, TransportSettings
from edgerouter.net.session import Downstream, Handler, Session
from edgerouter.net.tls_front import TlsDoors, TlsFront
from edgerouter.proxy import forwarded
from edgerouter.proxy.accepting import Accepting
from edgerouter.proxy.connection_limits import ConnectionLimits
from edgerouter.proxy.connections import Connections
from edgerouter.proxy.entry_rules import EntryRules
from edgerouter.proxy.failures import failure_response, refusal_response
from edgerouter.proxy.flow import Flow
from edgerouter.proxy.holding import Holding
from edgerouter.proxy.unmatched import Unmatched
from edgerouter.telemetry.recorder import Recorder
from edgerouter.telemetry.records import SharedRecords
from edgerouter.wire import http1

log = logging.getLogger("edgerouter.tls")


class EntryPoint:
    """What the engine needs of an entry point's static configuration, in the form that the hot path wants.

    ``settings`` is ``config.static.EntryPoint``; raises ValueError for bad addresses in trusted ranges.
    """

    def __init__(self, name: str, key: int, settings: Any) -> None:
        self.name = name
        self.key = key
        transport, http = settings.transport, settings.http
        timeouts = transport.responding_timeouts
        self.timeouts = ClientTimeouts(
            float(timeouts.read_timeout), float(timeouts.write_timeout), float(timeouts.idle_timeout)
        )
        self.max_requests = int(transport.keep_alive_max_requests)
        self.max_seconds = float(transport.keep_alive_max_time)
        self.limits = http1.Limits(
            max_head_bytes=int(http.max_header_bytes),
            max_lines=int(http.max_header_count),
            sanitize_path=bool(http.sanitize_path),
        )
        self.max_connections = int(settings.max_connections)
        self.max_connections_per_ip = int(settings.max_connections_per_ip)
        self.connection_limits: ConnectionLimits | None = None
        headers = settings.forwarded_headers
        self.trusts_all = bool(headers.insecure)
        self.trusted = forwarded.parse_networks(tuple(headers.trusted_ips))
        self.rules = EntryRules(http)
        self.appends_peer = not headers.not_append_x_forwarded_for
        self.proxy_protocol = settings.proxy_protocol is not None
        self.proxy_trusts_all = self.proxy_protocol and bool(settings.proxy_protocol.insecure)
        self.proxy_trusted = (
            forwarded.parse_networks(tuple(settings.proxy_protocol.trusted_ips)) if self.proxy_protocol else []
        )

    def count_connections(self, records: SharedRecords) -> None:
        """Begin to count, where there is a limit."""
        if self.max_connections or self.max_connections_per_ip:
            self.connection_limits = ConnectionLimits(
                records, self.name, self.max_connections, self.max_connections_per_ip
            )

    def trusts_proxy(self, address: str) -> bool:
        """May this peer say who its client is (PROXY protocol)?"""
        return self.proxy_trusts_all or forwarded.is_trusted(address, self.proxy_trusted)

    def trusts(self, address: str) -> bool:
        """May this peer supply X-Forwarded-*?"""
        return self.trusts_all or forwarded.is_trusted(address, self.trusted)


@mypyc_attr(free_list_len=1)
class EngineExchange(Exchange):
    """An exchange that can make side requests."""

    def __init__(self, engine: Engine, request: Request) -> None:
        super().__init__(request)
        self._engine = engine

    def _name_of(self, chosen: object) -> str:
        """See ``Exchange``; by the kinds that there are."""
        if isinstance(chosen, Route):
            return chosen.name
        if isinstance(chosen, Service):
            return chosen.name
        return chosen.url if isinstance(chosen, Server) else ""

    def fetch(self, service: object, request: Request) -> Awaitable[Response]:
        """See ``Exchange.fetch``; the response's failures come as responses with their status."""
        return self._engine.fetch(service, request, self.client_address)

    def fetch_inside(self, after: object, request: Request) -> Awaitable[Response] | None:
        """See ``Exchange.fetch_inside``."""
        route = self.route
        if not isinstance(route, Route) or route.service is None or after not in route.steps:
            return None
        steps = route.steps[route.steps.index(after) + 1 :]
        return self._engine.fetch_inside(self, request, route.service, steps)


class SideDownstream(Downstream):
    """Where the response of a side request goes: to whoever awaits it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[Response] = loop.create_future()
        self.flow: Flow | None = None
        self.future.add_done_callback(self._waited)

    def _waited(self, future: asyncio.Future[Response]) -> None:
        """Whoever asked waits no more: neither does the server need to."""
        if future.cancelled() and self.flow is not None:
            self.flow.client_gone(0)

    def respond(self, response: Response) -> None:
        """Hand it over."""
        if not self.future.done():
            self.future.set_result(response)
        elif response.body is not None:
            response.body.abandon()
        if self.flow is not None:
            self.flow.side_responded()


class Engine(Handler):
    """``table`` is replaced by one assignment; an exchange goes on with the objects that it has."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        recorder: Recorder,
        clock: Clock,
        transports: dict[str, TransportSettings] | None = None,
        records: SharedRecords | None = None,
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.table: Table = Table()
        self.in_flight = 0
        self.doors = TlsDoors()
        self.unmatched: Unmatched | None = None
        self.transports: dict[str, TransportSettings] = transports or {"": TransportSettings()}
        self.now: Callable[[], float] = time.monotonic  # an attribute: found without a look-up by name
        self._recorder = recorder
        self.notes_origin = recorder.notes_origin
        self.notes_origin_headers = recorder.notes_origin_headers
        self._records = records or SharedRecords()
        self.holding = Holding(loop, self._records)
        self._connection_limits: dict[str, ConnectionLimits] = {}
        self.pools = Pools(loop, clock, http1.Limits())
        self._entries: dict[str, EntryPoint] = {}
        self._listeners: dict[str, list[TcpListener]] = {}
        self.connections = Connections()

    # -- listening ----------------------------------------------------------------------------------------------

    async def listen(self, name: str, key: int, settings: Any, sock: socket.socket) -> TcpListener:
        """Serve an entry point on a listening socket (its own, or a dead neighbour's)."""
        entry = self._entries.get(name)
        if entry is None:
            entry = EntryPoint(name, key, settings)
            self._entries[name] = entry
            if settings.max_connections or settings.max_connections_per_ip:
                self._connection_limits[name] = ConnectionLimits(
                    self._records, name, settings.max_connections, settings.max_connections_per_ip
                )
        listener = TcpListener(self.loop, sock, Accepting(self, entry))
        self._listeners.setdefault(name, []).append(listener)
        await listener.start()
        return listener

    def stop_accepting(self) -> None:
        """Take no new connections."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.stop()

    async def resume_accepting(self) -> None:
        """Take new connections again."""
        for listeners in self._listeners.values():
            for listener in listeners:
                await listener.start()

    def open_connections(self) -> int:
        """Client connections that are open now."""
        return self.connections.count()

    def renew(self, tls_options: set[str]) -> None:
        """Close connections that were made with these TLS options, after their current response."""
        if tls_options:
            for connection in self.connections.all():
                if connection.tls_options in tls_options:
                    connection.finish_soon(0.0)

    # -- the handler of connections -----------------------------------------------------------------------------

    def connected(self, downstream: Downstream) -> None:
        """See ``Handler``."""
        self._recorder.opened(downstream.entrypoint_key)
        if isinstance(downstream, ClientConnection):
            entry = downstream.entry
            if isinstance(entry, EntryPoint):
                downstream.trusted = entry.trusts(downstream.client_address)
            limits = self._connection_limits.get(downstream.entrypoint)
            if limits is not None and not self._may_enter(limits, downstream):
                return
            self.connections.add(downstream)

    def disconnected(self, downstream: Downstream) -> None:
        """See ``Handler``."""
        self._recorder.closed(downstream.entrypoint_key)
        if isinstance(downstream, ClientConnection) and self.connections.discard(downstream):
            limits = self._connection_limits.get(downstream.entrypoint)
            if limits is not None:
                limits.leave(downstream.client_address)

    def _may_enter(self, limits: ConnectionLimits, connection: ClientConnection) -> bool:
        """Count a connection; one too many is closed at once, which costs the least."""
        cause = limits.enter(connection.client_address)
        if cause:
            self.refused(connection.entrypoint_key, cause)
            connection.abort()
        return not cause

    def take_hello(self, downstream: Downstream, transport: asyncio.Transport, data: bytes) -> bool:
        """See ``Handler``."""
        front = Accepting(self, self._entries[downstream.entrypoint]).front()
        front.client_address, front.client_port = downstream.client_address, downstream.client_port
        raw: Any = transport
        raw.set_protocol(front)
        front.connection_made(transport)
        front.data_received(data)
        return True

    def turned_away(self, front: TlsFront, entrypoint_key: int, cause: str, why: str) -> None:
        """A TLS connection failed before it had a request: counted, and told to who looks closely."""
        self._recorder.refused(entrypoint_key, cause)
        if log.isEnabledFor(logging.DEBUG):
            name = front.server_name or "no name"
            log.debug("%s: %s from %s (%s): %s", front.entrypoint, cause, front.client_address, name, why)

    def misdirected(self, downstream: Downstream, exchange: Exchange, route: Route | None) -> EdgeError | None:
        """The request must not be served on a connection with these TLS options (RFC 9110 section 15.5.20): its host
        has others, or its route asks for others."""
        has = downstream.tls_options
        wanted = self.doors.options_of(downstream.entrypoint, exchange.request.host)
        if wanted == has and route is not None and route.tls_options:
            wanted = route.tls_options
        if wanted == has:
            return None
        return Misdirected(f"the TLS options of its host are {wanted!r}, the connection was made with {has!r}")

    def no_route(self, exchange: Exchange) -> NoRoute:
        """No router takes the request; where its client is trusted, its page says how to ask why."""
        error = NoRoute("no router matches")
        if self.unmatched is not None:
            error.reference = self.unmatched.keep(exchange)
        return error

    def open(self, downstream: Downstream, request: Request) -> Session:
        """See ``Handler``."""
        exchange = EngineExchange(self, request)
        exchange.started = self.now()
        exchange.entrypoint = downstream.entrypoint
        exchange.client_address = downstream.client_address
        exchange.client_port = downstream.client_port
        exchange.tls_version = downstream.tls_version
        exchange.tls_cipher = downstream.tls_cipher
        exchange.client_certificate = downstream.client_certificate
        forwarded.on_entry(downstream, request)
        self.in_flight += 1
        self._recorder.begun()
        entry = downstream.entry
        assert isinstance(entry, EntryPoint)
        exchange.forwarded_for = entry.appends_peer
        return Flow(self, downstream, exchange, entry.rules)

    def refuse(self, downstream: Downstream, error: EdgeError, head: bytes) -> Response:
        """See ``Handler``."""
        exchange = Exchange(Request("", b"", "", Headers()))  # nothing of it is known for certain
        exchange.started = self.now()
        exchange.entrypoint = downstream.entrypoint
        exchange.client_address = downstream.client_address
        exchange.client_port = downstream.client_port
        exchange.cause = error.cause
        exchange.detail = error.message
        response = refusal_response(error, head)
        exchange.response = response
        self._recorder.begun()
        self.in_flight += 1
        size = response.content_length
        self.finished(exchange, downstream.entrypoint_key, 0, 0, error.status, 0, size, 0.0, True, True)
        return response

    def refused(self, entrypoint_key: int, cause: str) -> None:
        """A connection was closed before its first request."""
        self._recorder.refused(entrypoint_key, cause)

    # -- what flows need ----------------------------------------------------------------------------------------

    def finished(
        self,
        exchange: Exchange,
        entrypoint_key: int,
        router_key: int,
        service_key: int,
        status: int,
        bytes_in: int,
        bytes_out: int,
        duration: float,
        log: bool,
        metrics: bool,
    ) -> None:
        """An exchange is over: exactly one record."""
        self.in_flight -= 1
        self._recorder.ended()
        self._recorder.record(
            exchange, entrypoint_key, router_key, service_key, status, bytes_in, bytes_out, duration, log, metrics
        )

    def make_pool(self, server: Server) -> Pool:
        """Give a server its pool of connections, on its first request."""
        settings = server.settings
        if not isinstance(settings, TransportSettings):
            settings = self.transports.get(server.transport) or self.transports[""]
        return self.pools.join(server, settings)

    def fetch(self, service: object, request: Request, client_address: str = "") -> Awaitable[Response]:
        """Send a side request to a service, or to the one of that qualified name; nothing of it is recorded."""
        downstream = SideDownstream(self.loop)
        downstream.client_address = client_address
        node: Service | None = service if isinstance(service, Service) else self.table.service(str(service))
        if node is None:
            downstream.respond(failure_response(NoServer(f"there is no service {service}"), request))
            return downstream.future
        return self._start_side(downstream, EngineExchange(self, request), node, [])

    def fetch_inside(
        self, asker: Exchange, request: Request, node: Service, steps: list[Middleware]
    ) -> Awaitable[Response]:
        """Send a side request through some steps of a route."""
        downstream = SideDownstream(self.loop)
        downstream.client_address = asker.client_address
        exchange = EngineExchange(self, request)
        exchange.entrypoint, exchange.router = asker.entrypoint, asker.router
        exchange.client_address, exchange.client_port = asker.client_address, asker.client_port
        exchange.tls_version, exchange.tls_cipher = asker.tls_version, asker.tls_cipher
        exchange.forwarded_for = asker.forwarded_for
        return self._start_side(downstream, exchange, node, steps)

    def _start_side(
        self, downstream: SideDownstream, exchange: EngineExchange, node: Service, steps: list[Middleware]
    ) -> Awaitable[Response]:
        exchange.started = self.now()
        flow = Flow(self, downstream, exchange, None)
        flow.recorded = False
        downstream.flow = flow
        flow.start_at(node, steps)
        return downstream.future

    def report(self, error: Exception, exchange: Exchange) -> None:
        """A fault in a plugin that cannot become a response any more."""
        print(f"edgerouter: router {exchange.router}: {error!r}", file=sys.stderr)
        traceback.print_exception(error)
