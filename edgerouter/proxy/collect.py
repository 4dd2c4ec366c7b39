"""Reading a body whole, for those who asked for it: middlewares that need the request body, side requests."""

from __future__ import annotations

import asyncio

from edgerouter.errors import BodyTooLarge, EdgeError
from edgerouter.http.body import Body, BodySink
from edgerouter.http.headers import Headers


class _Collector(BodySink):
    def __init__(self, body: Body, limit: int) -> None:
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._body = body
        self._limit = limit
        self._size = 0
        self._chunks: list[bytes] = []

    def write_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            self._chunks.clear()
            self._body.pause()
            if not self.future.done():
                self.future.set_exception(BodyTooLarge(f"the body is larger than {self._limit} bytes"))
            return
        self._chunks.append(data)

    def end_body(self, trailers: Headers | None) -> None:
        if not self.future.done():
            self.future.set_result(b"".join(self._chunks))

    def fail_body(self, error: EdgeError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


async def read_all(body: Body | None, limit: int) -> bytes:
    """Return the whole body; raises BodyTooLarge beyond ``limit`` bytes, or the error that broke it."""
    if body is None:
        return b""
    if body.length > limit:
        raise BodyTooLarge(f"the body is larger than {limit} bytes")
    collector = _Collector(body, limit)
    body.attach(collector)
    return await collector.future
