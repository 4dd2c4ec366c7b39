"""mirroring: answers by one service, and sends copies of requests to others, whose answers are thrown away.

A copy is sent once the answer is out, so a mirror that is slow, ill or gone changes nothing for the client. ``percent``
is counted, not drawn: of each hundred requests of a worker, exactly so many. A body is remembered in passing, in a ring
of 64 MB and 1,000 copies a worker; a copy for which there is no room, or whose body is larger than ``maxBodySize`` (one
without a length: 4 MB), is dropped. ``edgerouter_service_mirrors_total`` counts what was sent, dropped and failed
(answered with 500 or above, broken off, or not over within 60 s). Upgrades (WebSocket) and requests whose client left
are not copied.

    http:
      services:
        shop:
          mirroring:
            service: shop-v1
            maxBodySize: 1048576
            mirrors:
              - name: shop-v2
                percent: 10
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from edgerouter.contracts.plugins import Middleware, PluginContext, Server, Service
from edgerouter.errors import EdgeError
from edgerouter.http.body import Body, BodySink
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.registry import service
from edgerouter.services._children import Branch
from edgerouter.services._mirroring_options import Mirror, Options
from edgerouter.services._options import qualified
from edgerouter.services._ring import UNKNOWN, Ring
from edgerouter.services._rotation import worker_phase

__all__ = ["Mirroring", "Options"]

SECONDS: Final = 60.0  # that a mirror may take for its answer
SENT: Final = 0
DROPPED: Final = 1
FAILED: Final = 2
COUNTS: Final = 3
_RING: Final = Ring()


def record_of(shared: Any, name: str) -> Any:
    """The counters of one mirroring service: SENT, DROPPED and FAILED in each worker's part."""
    return shared.record(f"mirrors/{name}", 0, COUNTS)


class Target:
    """One mirror and whose turn it is."""

    def __init__(self, mirror: Mirror, owner: str, phase: float) -> None:
        if not 0 <= mirror.percent <= 100:
            raise ValueError(f"mirrors: {mirror.name!r}: percent: expected 0 to 100, got {mirror.percent}")
        self.name = qualified(mirror.name, owner)
        self._percent = mirror.percent
        self._due = int(phase * 100)

    def due(self) -> bool:
        """Count a request; True when it is copied."""
        self._due += self._percent
        if self._due < 100:
            return False
        self._due -= 100
        return True


class Copy:
    """What is remembered of a request until it is over."""

    def __init__(self, request: Request, names: list[str], reserved: int) -> None:
        self.request = request
        self.names = names
        self.reserved = reserved


@service("mirroring", Options)
class Mirroring(Branch):
    """A branch of the service tree with one child; its step does the copying."""

    def __init__(self, options: Options, context: PluginContext, servers: list[Server]) -> None:
        super().__init__(context, [(qualified(options.service, context.name), 1)])
        self._copying = Copying(options, context)
        self.steps = [self._copying]

    def inherit(self, previous: Service) -> None:
        """See ``Service.inherit``: copies on their way go on by themselves."""

    def below(self, exchange: Exchange) -> Service:
        """See ``Service.below``."""
        child = self._find(self.children[0][0])
        return self if child is None else child


class Copying(Middleware):
    """Remembers the requests whose turn it is, and sends the copies when they are over."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._name = context.name
        phase = worker_phase(context.shared)
        self._targets = [Target(mirror, context.name, phase) for mirror in options.mirrors]
        self._bodies = options.mirror_body
        self._most = options.max_body_size
        self._counts = record_of(context.shared, context.name)
        self._tasks: set[asyncio.Task[None]] = set()

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        if exchange.choice(self._name) is not None or exchange.request.upgrade:
            return None  # the same request again, or one that becomes a tunnel
        names = [target.name for target in self._targets if target.due()]
        if names:
            self._remember(exchange, names)
        return None

    def on_end(self, exchange: Exchange) -> None:
        """See ``Middleware.on_end``: only now, so that the answer was first. A step that sends again ends this one
        more than once; what counts is the first time."""
        copy = exchange.choice(self._name)
        if not isinstance(copy, Copy) or not copy.names:
            return
        names, copy.names = copy.names, []
        data = self._body_of(exchange)
        if data is None or exchange.cause == "CLIENT_GONE":
            self._counts.add(DROPPED, len(names))
            _RING.give(copy.reserved)
            return
        task = asyncio.get_running_loop().create_task(self._send_all(exchange, copy, names, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _remember(self, exchange: Exchange, names: list[str]) -> None:
        request, body = exchange.request, exchange.request.body
        size = 0
        if body is not None and self._bodies:
            most = _RING.size if self._most < 0 else self._most
            size = body.length if body.length >= 0 else min(most, UNKNOWN)
            if size > most:
                self._counts.add(DROPPED, len(names))
                return
        if not _RING.take(size):
            self._counts.add(DROPPED, len(names))
            return
        if body is not None and self._bodies:
            body.keep(size)
        exchange.chose(self._name, Copy(_copied(request), names, size))

    def _body_of(self, exchange: Exchange) -> bytes | None:
        """The whole body, b"" for none; None when it was not all kept."""
        body = exchange.request.body
        if body is None or not self._bodies:
            return b""
        return body.kept()

    async def _send_all(self, exchange: Exchange, copy: Copy, names: list[str], data: bytes) -> None:
        try:
            await asyncio.gather(*(self._send(exchange, copy.request, name, data) for name in names))
        finally:
            _RING.give(copy.reserved)

    async def _send(self, exchange: Exchange, head: Request, name: str, data: bytes) -> None:
        request = _copied(head)
        if data:
            request.body = Body.of(data)
        try:
            async with asyncio.timeout(SECONDS):
                answered = await _answered(exchange.fetch(name, request))
        except TimeoutError:
            answered = False
        self._counts.add(SENT, 1)
        if not answered:
            self._counts.add(FAILED, 1)


async def _answered(asked: Awaitable[Response]) -> bool:
    """Take the answer to its end and throw it away; False when it is bad or broke off."""
    response = await asked
    body, good = response.body, response.status < 500
    if body is None:
        return good
    sink = _Nowhere()
    body.attach(sink)
    try:
        return await sink.over and good
    finally:
        body.abandon()


class _Nowhere(BodySink):
    """Takes a body and keeps nothing."""

    def __init__(self) -> None:
        self.over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def end_body(self, trailers: Headers | None) -> None:
        if not self.over.done():
            self.over.set_result(True)

    def fail_body(self, error: EdgeError) -> None:
        if not self.over.done():
            self.over.set_result(False)


def _copied(request: Request) -> Request:
    """The head, as it is now."""
    copy = Request(request.method, request.target, request.authority, request.headers.copy(), request.version)
    copy.path, copy.query, copy.has_query = request.path, request.query, request.has_query
    copy.host, copy.scheme, copy.te_trailers = request.host, request.scheme, request.te_trailers
    return copy
