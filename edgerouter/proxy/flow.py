"""One exchange from match to end: steps in, service, server, response, steps out, record. DESIGN section 4.

A flow is driven by callbacks of connections and by the walk over its steps. Only a step that returns an awaitable makes
it a task, for as long as that takes. ``reached`` counts the steps whose ``on_request`` ran and did not answer (their
response phases will run), ``entered`` those whose ``on_request`` was called (their ``on_end`` will run).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from mypy_extensions import i64, mypyc_attr

from edgerouter.contracts.plugins import Middleware, Resend, Route, Service
from edgerouter.errors import Asleep, BadConfig, ClientGone, EdgeError, TotalTimeout
from edgerouter.http.body import Body
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Response
from edgerouter.net.session import Downstream
from edgerouter.proxy.attempts import Attempts, replayable
from edgerouter.proxy.collect import read_all
from edgerouter.proxy.entry_rules import EntryRules
from edgerouter.proxy.failures import as_edge_error, failure_response
from edgerouter.proxy.phases import (
    ON_END,
    ON_REQUEST,
    ON_RESPONSE,
    ON_TRAILERS,
    REQUEST_FILTER,
    RESPONSE_FILTER,
    WANTS_BODY,
    phases_of,
)
from edgerouter.proxy.trailers import Trailers

if TYPE_CHECKING:
    from edgerouter.proxy.engine import Engine


_NO_STEPS: Final[list[Middleware]] = []  # until there is a route; never changed, as no route's steps are


@mypyc_attr(free_list_len=1)
class Flow(Attempts):
    """The engine's side of one exchange."""

    def __init__(
        self, engine: Engine, downstream: Downstream, exchange: Exchange, entry_rules: EntryRules | None
    ) -> None:
        super().__init__(engine, downstream, exchange)
        self.route: Route | None = None
        self._entry_rules = entry_rules
        self._steps: list[Middleware] = _NO_STEPS
        self._reached: i64 = 0
        self._entered: i64 = 0
        self._filtered: i64 = 0  # steps that have put their request filter on
        self._phases: i64 = 0  # those of all steps that were entered
        self._node: Service | None = None
        self._top: Service | None = None  # where the way down the service tree begins
        self._own = 0  # steps that stand before any that a service brings
        self._retired: list[Middleware] | None = None

    # -- in -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Match, and walk."""
        try:
            self._match()
        except Exception as error:
            if self._over or self._responding:
                raise
            self._fail(as_edge_error(error))

    def _match(self) -> None:
        exchange, rules = self.exchange, self._entry_rules
        assert rules is not None
        error = rules.on_entry(exchange.request)
        route = None if error is not None else self._engine.table.match(exchange)
        if self._downstream.tls_options and error is None:
            error = self._engine.misdirected(self._downstream, exchange, route)
        if route is None or error is not None:
            held = self._held_for
            if error is not None or held is None or not self._hold(held):
                self._fail(error or self._engine.no_route(exchange))
            return
        self.route = route
        exchange.route = route
        error = rules.on_match(exchange.request)
        if error is not None:
            self._fail(error)
        elif route.refused:
            self._fail(BadConfig(route.refused))
        elif route.asleep:
            service = route.service
            if service is None or not self._hold(service):
                self._fail(Asleep(route.asleep))
        else:
            self._node = self._top = route.service
            self._steps = route.steps
            self._own = len(route.steps)
            self._walk_in(0)

    def start_at(self, service: Service, steps: list[Middleware]) -> None:
        """A side request: no router; some steps of one, or none."""
        self._node = self._top = service
        self._steps = steps
        self._own = len(steps)
        self._walk_in(0)

    def _walk_in(self, i: i64) -> None:
        steps = self._steps
        exchange = self.exchange
        while i < len(steps):
            step = steps[i]
            phases = step.phases
            if phases == 0:
                phases = phases_of(step)
            if phases & WANTS_BODY and self._want_body(step, i):
                return
            if self._entered <= i:
                self._entered = i + 1
                self._phases |= phases
            if phases & ON_REQUEST:
                try:
                    result = step.on_request(exchange)
                except Exception as error:
                    self._fail_at(i, error)
                    return
                if result is not None:
                    if isinstance(result, Response):
                        self._answer(result, i)
                    else:
                        self._spawn(self._finish_request_step(result, i))
                    return
            if phases & REQUEST_FILTER and not self._add_request_filter(step, i):
                return
            i += 1
            self._reached = i
        self._descend()

    def _add_request_filter(self, step: Middleware, i: i64) -> bool:
        """Put the step's filter on the request body; False when that failed, and was answered."""
        body = self.exchange.request.body
        if body is None or i < self._filtered:
            return True
        self._filtered = i + 1
        try:
            added = step.request_filter(self.exchange)
            if added is not None:
                body.add_filter(added)
        except Exception as error:
            self._fail_at(i, error)
            return False
        return True

    async def _finish_request_step(self, result: Awaitable[Response | None], i: int) -> None:
        try:
            response = await result
        except Exception as error:
            if not self._over:
                self._fail_at(i, error)
            return
        if self._over:
            return
        if response is not None:
            self._answer(response, i)
            return
        step = self._steps[i]
        if step.phases & REQUEST_FILTER and not self._add_request_filter(step, i):
            return
        self._reached = i + 1
        self._walk_in(i + 1)

    def _want_body(self, step: Middleware, i: i64) -> bool:
        """Keep or read the request body as the step asks; True when the walk goes on later."""
        body = self.exchange.request.body
        if body is None:
            return False
        if step.keep_body:
            body.keep(step.keep_body)
        if not step.needs_body or (body.ended and body.fed <= step.needs_body):
            return False
        self._spawn(self._read_body(body, step.needs_body, i))
        return True

    async def _read_body(self, body: Body, limit: int, i: int) -> None:
        try:
            data = await read_all(body, limit)
        except Exception as error:
            if not self._over:
                self._fail_at(i, error)
            return
        if not self._over:
            whole = Body.of(data)
            whole.keep(limit)
            self.exchange.request.body = whole
            self._walk_in(i)

    def _answer(self, response: Response, i: i64) -> None:
        """Step ``i`` answers: it is not asked about its own response."""
        self._reached = i
        self.exchange.response = response
        self._walk_out(i - 1)

    def _fail_at(self, i: i64, error: Exception) -> None:
        self._reached = i
        self._fail(as_edge_error(error))

    # -- the service tree ---------------------------------------------------------------------------------------

    def _descend(self) -> None:
        """Go down to the leaf; a node that brings steps of its own has them walked first."""
        if self.exchange.timeouts is not None:
            self._begin_watch(self.exchange.timeouts)
        while self._leaf is None:
            node = self._node
            if node is None:
                self._fail(BadConfig("the router has no service"))
                return
            if node.lone is not None:
                self._leaf = node
                self._choose(node)
                return
            if node.refused:
                self._fail(BadConfig(node.refused))
                return
            child = node.below(self.exchange)
            if child is node:
                self._leaf = node
            self._node = child
            steps = node.steps
            if steps is not None:
                position = len(self._steps)
                self._steps = self._steps + steps
                self._walk_in(position)
                return
        self._choose(self._leaf)

    # -- out ----------------------------------------------------------------------------------------------------

    def _fail(self, error: EdgeError) -> None:
        """Make the error a response before the walk back, so that every middleware sees it."""
        exchange = self.exchange
        exchange.cause = error.cause
        exchange.detail = error.message
        exchange.response = failure_response(error, exchange.request)
        if self._held_for is not None and error.status == 503:
            exchange.response.headers.set("Retry-After", str(max(1, int(self._held_for.hold))))
        self._walk_out(self._reached - 1)

    def _respond(self, response: Response) -> None:
        self.exchange.response = response
        self._walk_out(self._reached - 1)

    def _walk_out(self, i: i64) -> None:
        exchange = self.exchange
        while i >= 0:
            step = self._steps[i]
            phases = step.phases
            if phases & ON_RESPONSE:
                try:
                    result = step.on_response(exchange)
                except Exception as error:
                    self._replace(as_edge_error(error))
                else:
                    if result is not None:
                        if not isinstance(result, Resend):
                            self._spawn(self._finish_response_step(result, i))
                            return
                        if self._resend(result):
                            return
            if phases & (RESPONSE_FILTER | ON_TRAILERS):
                self._add_response_filter(step, phases)
            i -= 1
        self._deliver()

    async def _finish_response_step(self, result: Awaitable[Resend | None], i: int) -> None:
        try:
            wish = await result
        except Exception as error:
            if self._over:
                return
            self._replace(as_edge_error(error))
            wish = None
        if self._over or (wish is not None and self._resend(wish)):
            return
        phases = self._steps[i].phases
        if phases & (RESPONSE_FILTER | ON_TRAILERS):
            self._add_response_filter(self._steps[i], phases)
        self._walk_out(i - 1)

    def _replace(self, error: EdgeError) -> None:
        exchange = self.exchange
        exchange.cause = error.cause
        exchange.detail = error.message
        exchange.response = failure_response(error, exchange.request)

    def _add_response_filter(self, step: Middleware, phases: i64) -> None:
        response = self.exchange.response
        if response is None or response.body is None or response.status == 101:
            return
        try:
            self._filter_response(step, phases, response, response.body)
        except Exception as error:
            self._replace(as_edge_error(error))

    def _filter_response(self, step: Middleware, phases: i64, response: Response, body: Body) -> None:
        if phases & RESPONSE_FILTER:
            added = step.response_filter(self.exchange)
            if added is not None:
                body.add_filter(added)
                response.headers.remove("Content-Length")
        if phases & ON_TRAILERS:
            editor = Trailers(self.exchange, step, body.trailer_editor)
            body.trailer_editor = editor
            if body.ended and body.trailers is not None:
                step.on_trailers(self.exchange, body.trailers)

    def _resend(self, wish: Resend) -> bool:
        """Grant a step's wish to send again: steps inside of it, balancer included."""
        exchange = self.exchange
        body = exchange.request.body
        if body is not None and not replayable(body):
            return False
        if exchange.cause == TotalTimeout.cause:
            return False
        try:
            position = self._steps.index(wish.after) + 1
        except ValueError:
            return False
        target: Service | None = None
        if wish.service:
            target = self._engine.table.service(wish.service)
            if target is None:
                return False
        self._drop_response()
        if body is not None:
            body.rewind()
        self._retire_steps(max(self._own, position))
        self._node = target or self._top
        self._leaf = None
        self._tried = None
        self._fresh = True
        self._reached = position
        exchange.cause = ""
        exchange.detail = ""
        exchange.retries += 1
        self._walk_in(position)
        return True

    def _retire_steps(self, size: int) -> None:
        """Forget the steps that the chosen service brought; their ``on_end`` is still owed."""
        if self._entered > size:
            retired = self._retired
            if retired is None:
                retired = []
                self._retired = retired
            retired.extend(self._steps[size : self._entered])
            self._entered = size
        self._steps = self._steps[:size]

    def _drop_response(self) -> None:
        """Let go of the response at hand; if its body is still coming, its connection is of no use any more."""
        upstream = self._upstream
        if upstream is not None:
            upstream.cancel(self)
        self._leave_server()
        response = self.exchange.response
        if response is not None and response.body is not None:
            response.body.abandon()
        self.exchange.response = None

    def _deliver(self) -> None:
        response = self.exchange.response
        assert response is not None
        self._responding = True
        if response.body is not None and response.status != 101:
            self._drop_forbidden_body(response, response.body)
        upstream = self._upstream
        if upstream is not None and _root(response.body) is not self._given:
            # A step has put another response in the place of the server's: what still comes of that is not wanted.
            upstream.cancel(self)
            self._leave_server()
            upstream = None
        self._downstream.respond(response)
        if response.status == 101 and upstream is not None and not self._over:
            self._tunnel = self._downstream.tunnel()
            upstream.tunnel(self._tunnel)

    def _drop_forbidden_body(self, response: Response, body: Body) -> None:
        """No body goes to HEAD, nor with 204 and 304 (RFC 9110 section 6.4.1): the client would take it for the next
        response. Its length is still told."""
        if self.exchange.request.method != "HEAD" and response.status not in (204, 304):
            return
        if response.content_length < 0 and body.filters is None and body.length >= 0:
            response.content_length = body.length
        response.body = None
        if _root(body) is not self._given:
            body.abandon()

    # -- what the client's side says ----------------------------------------------------------------------------

    def response_sent(self, body_bytes: int) -> None:
        """All is sent."""
        self._end(body_bytes)

    def side_responded(self) -> None:
        """A side request's response was handed over; it is over once its server is done."""
        if self._upstream is None:
            self._end(0)

    def response_failed(self, error: EdgeError, body_bytes: int) -> None:
        """The response broke off."""
        self.exchange.cause = error.cause
        self.exchange.detail = error.message
        self._end(body_bytes)

    def client_gone(self, body_bytes: int) -> None:
        """The client left, or a tunnel ended."""
        response = self.exchange.response
        if response is None or response.status != 101 or not self._responding:
            self._broke_off(ClientGone("the client closed the connection before the response was complete"))
        self._give_up(body_bytes)

    def cut(self, error: EdgeError, body_bytes: int) -> None:
        """The router breaks the exchange off."""
        self._broke_off(error)
        self._give_up(body_bytes)

    def _broke_off(self, error: EdgeError) -> None:
        exchange = self.exchange
        exchange.cause, exchange.detail = error.cause, error.message
        if not self._responding:
            exchange.response = Response(error.status, Headers())

    def _give_up(self, body_bytes: int) -> None:
        """Nobody can be answered any more."""
        response, upstream = self.exchange.response, self._upstream
        self._end(body_bytes)
        if upstream is not None:
            upstream.cancel(self)
        if response is not None and response.body is not None:
            response.body.abandon()

    def _end(self, body_bytes: int) -> None:
        if self._over:
            return
        self._over = True
        if self._watch is not None:
            self._watch.stop()
        task = self._task
        if task is not None and not task.done() and task is not asyncio.current_task():
            task.cancel()
        self._leave_server()
        exchange = self.exchange
        if self._phases & ON_END:
            self._end_steps(self._steps[: self._entered], exchange)
            if self._retired is not None:
                self._end_steps(self._retired, exchange)
        if self.recorded:
            self._record(body_bytes)

    def _end_steps(self, steps: list[Middleware], exchange: Exchange) -> None:
        for step in steps:
            if step.phases & ON_END:
                try:
                    step.on_end(exchange)
                except Exception as error:
                    self._engine.report(error, exchange)

    def _record(self, body_bytes: int) -> None:
        exchange, route, leaf = self.exchange, self.route, self._leaf
        response, body = exchange.response, exchange.request.body
        self._engine.finished(
            exchange,
            self._downstream.entrypoint_key,
            0 if route is None else route.key,
            0 if leaf is None else leaf.key,
            500 if response is None else response.status,
            0 if body is None else body.fed,
            body_bytes,
            self._engine.now() - exchange.started,
            route is None or route.access_log,
            route is None or route.metrics,
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._task = self._engine.loop.create_task(coroutine)
        if self.exchange.timeouts is not None:
            self._begin_watch(self.exchange.timeouts)


def _root(body: Body | None) -> Body | None:
    """The body that came from the server, under what steps made of it."""
    while body is not None and body.origin is not None:
        body = body.origin
    return body
