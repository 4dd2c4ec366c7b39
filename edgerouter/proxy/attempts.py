"""An exchange's way to a server: pick one, get a connection, send; when that fails, try again where it is safe.

DESIGN section 4, "Retry and truth", and docs/decisions/0004. What is asked before (steps, service tree) and done with
the response is ``flow``'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from edgerouter.contracts.plugins import Server, Service
from edgerouter.errors import ALWAYS, REUSED_ONLY, UPSTREAM, EdgeError, NoServer
from edgerouter.http.body import Body
from edgerouter.http.exchange import Exchange, Origin, Timeouts
from edgerouter.http.message import Response
from edgerouter.net.pool import Pool
from edgerouter.net.session import Downstream, Session, Upstream
from edgerouter.proxy import forwarded
from edgerouter.proxy.failures import as_edge_error
from edgerouter.proxy.holding import LOOK_AGAIN
from edgerouter.proxy.watch import Watch

if TYPE_CHECKING:
    from edgerouter.proxy.engine import Engine

_IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))  # RFC 9110 section 9.2.2
_MAX_TRIES: Final = 4  # servers that one walk to the balancer may try


class Attempts(Session):
    """The part of a flow that deals with servers. ``_fail``, ``_respond`` and ``_end`` are the flow's."""

    def __init__(self, engine: Engine, downstream: Downstream, exchange: Exchange) -> None:
        self.exchange = exchange
        self.recorded = True
        self._engine = engine
        self._downstream = downstream
        self._leaf: Service | None = None
        self._server: Server | None = None
        self._upstream: Upstream | None = None
        self._tried: list[Server] | None = None
        self._given: Body | None = None  # the body that the server's response came with
        self._other: Server | None = None  # a second try's server, already picked
        self._fresh = False
        self._appended_peer = False
        self._responding = False
        self._over = False
        self._held_for: Service | None = None  # the service whose hold the request has used
        self._held_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._watch: Watch | None = None
        self._tunnel: Body | None = None

    def _fail(self, error: EdgeError) -> None:
        """Make the error the response and walk back."""

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it as the exchange's task."""

    def start(self) -> None:
        """Match, and walk."""

    def _respond(self, response: Response) -> None:
        """Take the response and walk back."""

    def _end(self, body_bytes: int) -> None:
        """The exchange is over."""

    # -- waiting for a server -----------------------------------------------------------------------------------

    def _hold(self, service: Service) -> bool:
        """Wait for a server and try again: granted while the service's ``hold`` lasts, fewer than 100 wait, and the
        request's body is all there or untouched."""
        if self._held_for is None:
            if service.hold <= 0.0 or not self.recorded:
                return False
            self._held_for = service
            self._held_until = time.monotonic() + service.hold
        body = self.exchange.request.body
        if body is not None and not replayable(body):
            return False
        if time.monotonic() >= self._held_until or not self._engine.holding.enter(service.name):
            return False
        self._spawn(self._wait_for_server(service.name))
        return True

    async def _wait_for_server(self, name: str) -> None:
        holding = self._engine.holding
        try:
            await holding.wait(max(0.0, min(LOOK_AGAIN, self._held_until - time.monotonic())))
        finally:
            holding.leave(name)
        if self._over:
            return
        leaf = self._leaf
        if leaf is None:
            self.start()
            return
        body = self.exchange.request.body
        if body is not None:
            body.rewind()
        self._tried = None
        self._fresh = True
        self._choose(self._leaf_of_now(leaf))

    # -- to a server --------------------------------------------------------------------------------------------

    def _choose(self, leaf: Service) -> None:
        try:
            self._choose_server(leaf)
        except Exception as error:
            if self._over or self._responding:
                raise
            self._leave_server()
            self._fail(as_edge_error(error))

    def _choose_server(self, leaf: Service) -> None:
        exchange = self.exchange
        server = leaf.lone
        if server is None or not server.up or server.retired or self._other is not None:
            server = self._ask(leaf)
            if server is None:
                return
        self._server = server
        server.in_flight += 1
        exchange.goes_to(leaf, server)
        if not self._appended_peer:
            self._appended_peer = True
            forwarded.on_forward(self._downstream, exchange)
        pool = server.pool
        if pool is None:
            pool = self._engine.make_pool(server)
        assert isinstance(pool, Pool)
        timeouts = exchange.timeouts
        limit = 0.0 if timeouts is None else timeouts.connect
        method = exchange.request.method
        upstream = pool.acquire(self, method != "GET" and method not in _IDEMPOTENT, self._fresh, limit)
        if upstream is not None:
            self._send(upstream)

    def _ask(self, leaf: Service) -> Server | None:
        """Ask the service for a server; None when there is an answer, a failure or a wait instead."""
        answer = leaf.answer(self.exchange)
        if answer is not None:
            self.exchange.service = leaf.name
            self._respond(answer)
            return None
        server = self._pick(leaf)
        if server is None and not self._hold(leaf):
            self._fail(NoServer("no server of the service is up"))
        return server

    def _pick(self, leaf: Service) -> Server | None:
        """Let the balancer pick, unless a second try has found its server already."""
        server = self._other
        if server is not None:
            self._other = None
            return server
        server = leaf.choose(self.exchange)
        if server is not None and server.retired:
            # The configuration changed since the request came, and this server's address may be nobody's by now.
            server = self._leaf_of_now(leaf).choose(self.exchange)
        return server

    def _leaf_of_now(self, leaf: Service) -> Service:
        """The service as the configuration has it now; as it was, where it is gone or broken."""
        current = self._engine.table.service(leaf.name)
        if current is not None and not current.refused:
            leaf = current
            self._leaf = leaf
        return leaf

    def _send(self, upstream: Upstream) -> None:
        self._upstream = upstream
        request, leaf, server = self.exchange.request, self._leaf, self._server
        assert leaf is not None and server is not None
        authority, path = request.authority, request.path
        if leaf.lone is None and not leaf.pass_host_header:
            request.authority = _authority(server)
        if server.preserve_path and server.base_path:
            request.path = server.base_path.rstrip("/") + path
        timeouts = self.exchange.timeouts
        if timeouts is not None and timeouts.first_byte > 0.0:
            known = upstream.header_timeout
            upstream.header_timeout = min(known, timeouts.first_byte) if known > 0.0 else timeouts.first_byte
        if self._engine.notes_origin:
            self.exchange.origin = Origin(time.monotonic())
        failure: EdgeError | None = None
        try:
            upstream.send(self, request)
        except Exception as error:
            failure = as_edge_error(error)
        request.authority = authority
        request.path = path
        if failure is not None:
            upstream.cancel(self)
            self._leave_server()
            self._fail(failure)

    # -- what the upstream says ---------------------------------------------------------------------------------

    def client(self) -> tuple[str, int]:
        """See ``Session.client``."""
        return self.exchange.client_address, self.exchange.client_port

    def upstream_ready(self, upstream: Upstream) -> None:
        """The connection is there."""
        if self._over or self._server is None:
            upstream.give_back()
        else:
            self._send(upstream)

    def upstream_failed(self, error: EdgeError, upstream: Upstream | None) -> None:
        """No response will come."""
        leaf, server = self._leaf, self._server
        if leaf is not None and server is not None and error.side == UPSTREAM:
            leaf.failed(server, error)
        self._leave_server()
        if self._over or self._responding:
            return
        if self._may_try_again(error, upstream):
            self.exchange.retries += 1
            body = self.exchange.request.body
            if body is not None:
                body.rewind()
            leaf = self._leaf
            assert leaf is not None
            self._choose(leaf)
        elif error.retry != ALWAYS or leaf is None or not self._hold(leaf):
            self._fail(error)

    def _may_try_again(self, error: EdgeError, upstream: Upstream | None) -> bool:
        request = self.exchange.request
        body = request.body
        if body is not None and not replayable(body):
            return False
        tried = self._tried
        if tried is not None and len(tried) >= _MAX_TRIES:
            return False
        if error.retry == ALWAYS:
            return self._has_other_server()
        if error.retry == REUSED_ONLY and upstream is not None and not upstream.answered:
            self._fresh = True
            return request.method in _IDEMPOTENT and (upstream.reused or self._may_change_server())
        return False

    def _may_change_server(self) -> bool:
        """A new connection that ended without a word was in the queue of a server that went away: another one is asked,
        but only once, since it may also be the request that ends them."""
        return self._tried is not None and len(self._tried) == 1 and self._has_other_server()

    def _has_other_server(self) -> bool:
        """True when the balancer knows a server that this exchange has not tried; it is then the next one."""
        leaf, tried = self._leaf, self._tried
        if leaf is None or tried is None:
            return False
        leaf = self._leaf_of_now(leaf)
        for _ in range(16):
            server = leaf.choose(self.exchange)
            if server is None:
                return False
            if server not in tried:
                self._other = server
                return True
        return False

    def _leave_server(self) -> None:
        server = self._server
        self._upstream = None
        if server is not None:
            self._server = None
            server.in_flight -= 1
            if self._tried is None:
                self._tried = [server]
            elif server not in self._tried:
                self._tried.append(server)

    def upstream_informed(self, response: Response) -> None:
        """Interim responses pass by all steps."""
        if not self._over and not self._responding:
            self._downstream.inform(response)

    def upstream_done(self) -> None:
        """The server is free again."""
        server = self._server
        self._upstream = None
        if self._engine.notes_origin and self.exchange.origin is not None:
            self.exchange.origin.ended = time.monotonic()
        if server is not None:
            self._server = None
            server.in_flight -= 1
        if self._responding and not self.recorded:
            self._end(0)

    def upstream_responded(self, response: Response, upstream: Upstream) -> None:
        """The response's head is there."""
        if self._over:
            upstream.cancel(self)
            return
        self._given = response.body
        if self._engine.notes_origin:
            self._note_origin(response)
        self._respond(response)

    def _note_origin(self, response: Response) -> None:
        origin = self.exchange.origin
        if origin is not None:
            origin.status = response.status
            origin.body = response.body
            if self._engine.notes_origin_headers:
                origin.headers = response.headers.items()

    # -- time limits of the router's own ---------------------------------------------------------------------------

    def _begin_watch(self, timeouts: Timeouts) -> None:
        if self._watch is None:
            self._watch = Watch(self._engine.clock, self, timeouts, self.exchange.started)

    def is_tunnel(self) -> bool:
        """True after a 101."""
        return self._tunnel is not None

    def passed(self) -> int:
        """Bytes of bodies that have come from both sides."""
        given, body, tunnel = self._given, self.exchange.request.body, self._tunnel
        count = 0 if given is None else given.fed
        if body is not None:
            count += body.fed
        return count if tunnel is None else count + tunnel.fed

    def timed_out(self, error: EdgeError) -> None:
        """A limit of the whole exchange has passed: answer that, or break off what has begun."""
        if self._over:
            return
        if self._responding:
            self._downstream.cut(error)
            return
        task, upstream = self._task, self._upstream
        if task is not None and not task.done():
            task.cancel()
        if upstream is not None:
            upstream.cancel(self)
        self._leave_server()
        self._fail(error)


def replayable(body: Body) -> bool:
    return body.replayable() and (body.filters is None or body.fed == 0)


def _authority(server: Server) -> str:
    default = 443 if server.scheme == "https" else 80
    host = f"[{server.host}]" if ":" in server.host else server.host
    return host if server.port in (default, 0) else f"{host}:{server.port}"
