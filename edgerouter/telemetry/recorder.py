"""What the engine calls at an exchange's end: one access log line and one update of the counters, each at most once.

Compiled; the only door from the data path into telemetry. Nothing here decides whether a request is recorded: the
route says so (``log``, ``metrics``).
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

from edgerouter.contracts.plugins import Route
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import HTTP_2
from edgerouter.telemetry.access_log import AccessLog
from edgerouter.telemetry.memory import TRAFFIC, Block, CounterMemory
from edgerouter.telemetry.series import GRPC, GRPC_WEB, HTTP, METHOD_IDS, SSE, WEBSOCKET, tls_number

_GET: Final = 1  # series.METHODS


@mypyc_attr(allow_interpreted_subclasses=True)
class Recorder:
    """Either part may be None: then it costs nothing. Keys are those of the Plan, 0 where there is none."""

    def __init__(self, memory: CounterMemory | None, access_log: AccessLog | None) -> None:
        self._memory = memory
        self._access_log = access_log
        # what flows shall note of servers' answers for the log; nothing where no log shows it
        self.notes_origin = access_log is not None and access_log.shows_origin
        self.notes_origin_headers = access_log is not None and access_log.shows_origin_headers

    def opened(self, entrypoint_key: int) -> None:
        """A client's connection was accepted."""
        if self._memory is not None:
            self._memory.connections(entrypoint_key, 1)

    def closed(self, entrypoint_key: int) -> None:
        """A client's connection ended."""
        if self._memory is not None:
            self._memory.connections(entrypoint_key, -1)

    def refused(self, entrypoint_key: int, cause: str) -> None:
        """A connection was closed before it could send a request: counted with its cause, never a log line, since
        whoever floods must not fill the disk."""
        if self._memory is not None:
            self._memory.fail(entrypoint_key, cause)

    def begun(self) -> None:
        """An exchange began."""
        if self._memory is not None:
            self._memory.in_flight(1)

    def ended(self) -> None:
        """An exchange ended, however."""
        if self._memory is not None:
            self._memory.in_flight(-1)

    def record(
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
        """Count and log one exchange at its end. Sizes are body bytes, ``duration`` is in seconds.

        ``status`` is what the client was sent, 499 when it left before (CLIENT_GONE).
        """
        if metrics and self._memory is not None:
            self._count(
                self._memory, exchange, entrypoint_key, router_key, service_key, status, bytes_in, bytes_out, duration
            )
        access_log = self._access_log
        if log and access_log is not None:
            access_log.write(exchange, status, bytes_in, bytes_out, duration)

    def _count(
        self,
        memory: CounterMemory,
        exchange: Exchange,
        entrypoint_key: i64,
        router_key: i64,
        service_key: i64,
        status: i64,
        bytes_in: i64,
        bytes_out: i64,
        duration: float,
    ) -> None:
        protocol = protocol_of(exchange, status)
        code: i64 = _grpc_status(exchange, status) if protocol == GRPC else status
        method = exchange.request.method
        number: i64 = _GET if method == "GET" else METHOD_IDS.get(method, 0)
        what: i64 = TRAFFIC | protocol << 4 | number << 8 | (code & 1023) << 24
        if exchange.tls_version:
            what |= tls_number(exchange.tls_version, exchange.tls_cipher) << 12
        matched = exchange.route
        route = matched if isinstance(matched, Route) else None
        block = None if route is None else route.series
        if not isinstance(block, Block) or not block.is_of(what, entrypoint_key, router_key, service_key):
            block = memory.series(what, entrypoint_key, router_key, service_key)
            if route is not None:
                route.series = block
        if block is not None:
            memory.count(block, bytes_in, bytes_out, duration, exchange.retries)
        if exchange.cause:
            memory.fail(entrypoint_key, exchange.cause)

    def stalled(self, seconds: float) -> None:
        """The loop came late by so much."""
        if self._memory is not None:
            self._memory.stalled(seconds)

    def tick(self) -> None:
        """Called by the worker's coarse clock, several times a second: log lines leave now, gauges are shown."""
        if self._memory is not None:
            self._memory.show_in_flight()
        access_log = self._access_log
        if access_log is not None:
            access_log.tick()
            if self._memory is not None:
                self._memory.lines_lost(access_log.lost_lines())


def protocol_of(exchange: Exchange, status: i64) -> i64:
    """The protocol's number for the metrics. Fields are looked at only where the framing allows the protocol."""
    request = exchange.request
    if request.upgrade:
        return WEBSOCKET if status == 101 and request.upgrade.lower() == "websocket" else HTTP
    response = exchange.response
    if response is not None and response.content_length < 0 and response.body is not None:
        if (response.headers.get("Content-Type") or "").lower().startswith("text/event-stream"):
            return SSE
    if request.version >= HTTP_2 and request.method == "POST":
        kind = request.headers.get("Content-Type") or ""
        if kind.startswith("application/grpc"):
            return GRPC_WEB if kind.startswith("application/grpc-web") else GRPC
    return HTTP


def _grpc_status(exchange: Exchange, status: i64) -> i64:
    """The code of a gRPC answer that has no body; trailers pass by after the response's head, so 0 (OK) otherwise."""
    response = exchange.response
    if response is None or status != 200:
        return status
    text = response.headers.get("Grpc-Status") or "0"
    return int(text) if text.isdigit() and len(text) < 3 else 2
