"""Toy middlewares that pin the contract of phases: each does one thing, and writes down every call.

Also four plugins in small, to show that the contract carries them: retry, errors, mirroring, buffering.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from edgerouter.contracts.plugins import Middleware, Resend
from edgerouter.errors import BodyTooLarge
from edgerouter.http.body import Body, BodyFilter, BodySink
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.proxy.collect import read_all


class Toy(Middleware):
    """Writes ``name.in``, ``name.out:STATUS`` and ``name.end`` into ``log``."""

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__()
        self.name = name
        self.log = log

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        self.log.append(f"{self.name}.in")
        return None

    def on_response(self, exchange: Exchange) -> Resend | Awaitable[Resend | None] | None:
        status = "none" if exchange.response is None else exchange.response.status
        self.log.append(f"{self.name}.out:{status}")
        return None

    def on_end(self, exchange: Exchange) -> None:
        self.log.append(f"{self.name}.end")


class Answers(Toy):
    """Answers by itself; ``later``: after a turn of the loop."""

    def __init__(self, name: str, log: list[str], status: int = 299, later: bool = False) -> None:
        super().__init__(name, log)
        self.status = status
        self.later = later

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        super().on_request(exchange)
        return self._wait() if self.later else self._make()

    def _make(self) -> Response:
        return Response.text(self.status, f"from {self.name}")

    async def _wait(self) -> Response | None:
        await asyncio.sleep(0)
        return self._make()


class Awaits(Toy):
    """Lets some turns of the loop pass in both directions."""

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        return self._request(exchange)

    def on_response(self, exchange: Exchange) -> Resend | Awaitable[Resend | None] | None:
        return self._response(exchange)

    async def _request(self, exchange: Exchange) -> None:
        self.log.append(f"{self.name}.waits")
        await asyncio.sleep(0.001)
        Toy.on_request(self, exchange)

    async def _response(self, exchange: Exchange) -> None:
        self.log.append(f"{self.name}.waits")
        await asyncio.sleep(0.001)
        Toy.on_response(self, exchange)


class Fails(Toy):
    """Raises ``error`` in the phase ``where``: request, response or end; ``later``: after a turn of the loop."""

    def __init__(self, name: str, log: list[str], where: str, error: Exception, later: bool = False) -> None:
        super().__init__(name, log)
        self.where = where
        self.error = error
        self.later = later

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        super().on_request(exchange)
        return self._raise() if self.where == "request" else None

    def on_response(self, exchange: Exchange) -> Resend | Awaitable[Resend | None] | None:
        super().on_response(exchange)
        return self._raise() if self.where == "response" else None

    def on_end(self, exchange: Exchange) -> None:
        super().on_end(exchange)
        if self.where == "end":
            raise self.error

    def _raise(self) -> Awaitable[None]:
        if not self.later:
            raise self.error
        return self._raise_later()

    async def _raise_later(self) -> None:
        await asyncio.sleep(0)
        raise self.error


class Edits(Toy):
    """Adds its name to a header on both sides; ``status`` replaces the response's."""

    def __init__(self, name: str, log: list[str], status: int = 0) -> None:
        super().__init__(name, log)
        self.status = status

    def on_request(self, exchange: Exchange) -> None:
        super().on_request(exchange)
        exchange.request.headers.add("X-Edit", self.name)

    def on_response(self, exchange: Exchange) -> None:
        super().on_response(exchange)
        assert exchange.response is not None
        exchange.response.headers.add("X-Edit", self.name)
        exchange.response.status = self.status or exchange.response.status


class Needs(Toy):
    """Looks at the whole request body before it goes on."""

    def __init__(self, name: str, log: list[str], limit: int) -> None:
        super().__init__(name, log)
        self.needs_body = limit

    def on_request(self, exchange: Exchange) -> None:
        body = exchange.request.body
        data = b"" if body is None else body.take()
        if body is not None:
            exchange.request.body = Body.of(data)
        self.log.append(f"{self.name}.in:{data.decode()}")


class Resends(Toy):
    """Asks ``times`` for another try, to ``service`` if named; ``keep``: bytes of the request body to keep."""

    def __init__(self, name: str, log: list[str], times: int = 1, service: str = "", keep: int = 0) -> None:
        super().__init__(name, log)
        self.times = times
        self.service = service
        self.keep_body = keep

    def on_response(self, exchange: Exchange) -> Resend | None:
        super().on_response(exchange)
        if self.times == 0:
            return None
        self.times -= 1
        return Resend(self, self.service)


class Shout(BodyFilter):
    """Upper case, and a mark at the end."""

    def __init__(self, mark: bytes) -> None:
        self.mark = mark

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def end(self) -> bytes:
        return self.mark


class Filters(Toy):
    """Puts a filter on both bodies, and adds a trailer."""

    def request_filter(self, exchange: Exchange) -> BodyFilter | None:
        self.log.append(f"{self.name}.filters-request")
        return Shout(f"<{self.name}>".encode())

    def response_filter(self, exchange: Exchange) -> BodyFilter | None:
        self.log.append(f"{self.name}.filters-response")
        return Shout(f"<{self.name}>".encode())

    def on_trailers(self, exchange: Exchange, trailers: Headers) -> None:
        trailers.add("X-Trailer", self.name)


# -- four plugins in small ---------------------------------------------------------------------------------------


class Retry(Middleware):
    """Tries again when a server answers one of ``statuses``, at most ``attempts`` in all."""

    def __init__(self, attempts: int, statuses: set[int], keep: int = 65536) -> None:
        super().__init__()
        self.attempts = attempts
        self.statuses = statuses
        self.keep_body = keep

    def on_response(self, exchange: Exchange) -> Resend | None:
        response = exchange.response
        if response is None or response.status not in self.statuses or exchange.retries + 1 >= self.attempts:
            return None
        return Resend(self)


class Errors(Middleware):
    """Puts the page of another service in place of bad answers; the status stays."""

    def __init__(self, service: str, least: int = 500) -> None:
        super().__init__()
        self.service = service
        self.least = least

    def on_response(self, exchange: Exchange) -> Awaitable[None] | None:
        response = exchange.response
        return None if response is None or response.status < self.least else self._replace(exchange, response.status)

    async def _replace(self, exchange: Exchange, status: int) -> None:
        request = Request("GET", b"/", exchange.request.authority, Headers())
        request.path = f"/{status}.html"
        page = await exchange.fetch(self.service, request)
        page.status = status
        exchange.response = page


class Discard(BodySink):
    """Takes a body and forgets it."""

    def write_body(self, data: bytes) -> None:
        pass

    def end_body(self, trailers: Headers | None) -> None:
        pass


class Tee(BodyFilter):
    """Copies what passes to another body, until that one holds more than ``most`` bytes: then the copy breaks off."""

    def __init__(self, copy: Body, most: int) -> None:
        self.copy = copy
        self.left = most

    def feed(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left >= 0:
            self.copy.feed(data)
        else:
            self.copy.fail(BodyTooLarge("the mirror is too slow"))
        return data

    def end(self) -> bytes:
        if self.copy.error is None:
            self.copy.finish(None)
        return b""


class Mirroring(Middleware):
    """Sends a copy of each request to another service, while it passes; the answer is dropped."""

    def __init__(self, service: str, most: int = 65536) -> None:
        super().__init__()
        self.service = service
        self.most = most
        self.tasks: set[asyncio.Task[None]] = set()

    def on_request(self, exchange: Exchange) -> None:
        if exchange.request.body is None:
            self._send(exchange, None)

    def request_filter(self, exchange: Exchange) -> BodyFilter | None:
        copy = Body()
        self._send(exchange, copy)
        return Tee(copy, self.most)

    def _send(self, exchange: Exchange, body: Body | None) -> None:
        given = exchange.request
        request = Request(given.method, given.target, given.authority, given.headers.copy())
        request.path = given.path
        request.body = body
        task = asyncio.get_running_loop().create_task(self._drop(exchange.fetch(self.service, request)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _drop(self, answer: Awaitable[Response]) -> None:
        body = (await answer).body
        if body is not None:
            body.attach(Discard())


class Buffering(Middleware):
    """Reads whole requests and whole responses before they go on; too large a response is an error."""

    def __init__(self, request_bytes: int, response_bytes: int) -> None:
        super().__init__()
        self.needs_body = request_bytes
        self.response_bytes = response_bytes

    def on_response(self, exchange: Exchange) -> Awaitable[None]:
        return self._read(exchange)

    async def _read(self, exchange: Exchange) -> None:
        response = exchange.response
        assert response is not None
        try:
            data = await read_all(response.body, self.response_bytes)
        except BodyTooLarge:
            exchange.response = Response.text(500, "Internal Server Error")
            return
        response.body = Body.of(data) if data else None
        response.content_length = len(data)
