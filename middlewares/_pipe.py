"""A body made of another one in passing, in small steps: a loop turn gives a millisecond at most to all pipes together.

What lives here: when the work is done, and back-pressure both ways. What is done to the bytes is a ``Work``'s:
compress, copy, translate. A pipe holds at most ``HIGH_WATER`` bytes and what its source had in hand when it was paused.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from mypy_extensions import mypyc_attr

from edgerouter.errors import EdgeError, MiddlewareFailed
from edgerouter.http.body import HIGH_WATER, Body, BodySink
from edgerouter.http.headers import Headers

STEP: Final = 16384  # bytes that one step takes: under half a millisecond of the slowest work
_TURN: Final = 0.001  # seconds of one loop turn for all pipes
AT_ONCE: Final = 0.0
NEVER: Final = -1.0


@mypyc_attr(allow_interpreted_subclasses=True)
class Work:
    """What a pipe does to the bytes. Each call is one step: it must stay under a millisecond. ``eats_trailers``: they
    are in the bytes that ``end`` gives, and nowhere else."""

    eats_trailers: bool = False

    def feed(self, data: bytes) -> bytes:
        """Take at most ``STEP`` bytes; return what can be passed on."""
        return data

    def flush(self) -> bytes:
        """No more is there for now: return all that the receiver needs to read what was fed."""
        return b""

    def end(self, trailers: Headers | None) -> bytes:
        """The body is complete: return what is left. ``trailers`` may be edited."""
        return b""


class Turns:
    """Gives pipes with work to do their steps, one after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Pipe] = deque()
        self._planned = False

    def add(self, pipe: Pipe) -> None:
        """This pipe has work; its turn comes."""
        self._waiting.append(pipe)
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        until = time.perf_counter() + _TURN
        waiting = self._waiting
        while waiting:
            pipe = waiting.popleft()
            if pipe.step():
                waiting.append(pipe)
            if time.perf_counter() >= until:
                break
        self._planned = bool(waiting)
        if waiting:
            self._loop.call_soon(self._run)


_turns: list[Turns] = []  # the running loop's; a worker has one loop


def turns() -> Turns:
    """The running loop's."""
    loop = asyncio.get_running_loop()
    if not _turns or _turns[0]._loop is not loop:
        _turns[:] = [Turns(loop)]
    return _turns[0]


class Pipe(BodySink):
    """Takes ``inner``, gives ``outer``. ``flush``: seconds that bytes may wait in the work when no more come."""

    def __init__(self, inner: Body, work: Work, flush: float = AT_ONCE) -> None:
        self.outer = Body(-1, self)
        self.outer.origin = inner
        self._inner = inner
        self._work = work
        self._flush = flush
        self._turns = turns()
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._trailers: Headers | None = None
        self._ended = False
        self._over = False
        self._stopped = False  # the receiver is slow
        self._waiting = False  # stands in the line for a turn
        self._unflushed = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> Body:
        """Begin; the body that comes out."""
        self._inner.attach(self)
        return self.outer

    # -- from inside --------------------------------------------------------------------------------------------

    def write_body(self, data: bytes) -> None:
        """See ``BodySink``."""
        if self._over:
            return
        self._queue.append(data)
        self._queued += len(data)
        if self._queued > HIGH_WATER:
            self._inner.pause()
        self._line_up()

    def end_body(self, trailers: Headers | None) -> None:
        """See ``BodySink``."""
        self._ended = True
        self._trailers = trailers
        self._line_up()

    def fail_body(self, error: EdgeError) -> None:
        """See ``BodySink``."""
        self._close()
        self.outer.fail(error)

    # -- from outside -------------------------------------------------------------------------------------------

    def pause_body(self) -> None:
        """See ``BodySource``."""
        self._stopped = True

    def resume_body(self) -> None:
        """See ``BodySource``."""
        self._stopped = False
        self._line_up()

    def cancel_body(self) -> None:
        """See ``BodySource``."""
        if not self._over:
            self._close()
            self._inner.abandon()

    # -- the work -----------------------------------------------------------------------------------------------

    def _line_up(self) -> None:
        if not (self._waiting or self._stopped or self._over) and (self._queue or self._ended):
            self._waiting = True
            self._turns.add(self)

    def step(self) -> bool:
        """Do one step; True when there is more to do now."""
        self._waiting = False
        if self._over or self._stopped:
            return False
        try:
            self._step()
        except Exception as error:  # a fault in the work: the receiver must not take what it got for the whole
            self.cancel_body()
            self.outer.fail(MiddlewareFailed(f"{type(error).__name__}: {error}"))
            return False
        self._waiting = not (self._over or self._stopped) and bool(self._queue or self._ended)
        return self._waiting

    def _step(self) -> None:
        if self._queue:
            self._pass(self._work.feed(self._next()))
            self._unflushed = True
            if not self._queue and not self._ended:
                self._idle()
        elif self._ended:
            self._finish()

    def _next(self) -> bytes:
        """At most ``STEP`` bytes from the head of the queue."""
        data = self._queue.popleft()
        if len(data) > STEP:
            self._queue.appendleft(data[STEP:])
            data = data[:STEP]
        self._queued -= len(data)
        if self._queued <= HIGH_WATER:
            self._inner.resume()
        return data

    def _pass(self, data: bytes) -> None:
        if data:
            self.outer.feed(data)

    def _idle(self) -> None:
        """All that came is done: let the receiver have it, now or soon."""
        if self._flush == AT_ONCE:
            self._flush_now()
        elif self._flush > 0.0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._flush, self._flush_late)

    def _flush_now(self) -> None:
        self._unflushed = False
        self._pass(self._work.flush())

    def _flush_late(self) -> None:
        self._timer = None
        if self._unflushed and not (self._over or self._queue or self._ended):
            self._flush_now()

    def _finish(self) -> None:
        data = self._work.end(self._trailers)
        self._close()
        self._pass(data)
        self.outer.finish(None if self._work.eats_trailers else self._trailers)

    def _close(self) -> None:
        self._over = True
        self._queue.clear()
        self._queued = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def first_bytes(body: Body, seconds: float) -> Body:
    """Wait until some byte of ``body`` is there, or its end, or until the time is over; the body to go on with.

    What came is in ``peek`` of it, or it has ended.
    """
    if peek(body) or body.ended or body.error is not None:
        return body
    gate = _Gate(body)
    outer = gate.start()
    try:
        async with asyncio.timeout(seconds):
            await gate.opened.wait()
    except TimeoutError:
        pass
    except asyncio.CancelledError:
        outer.abandon()
        raise
    return outer


def peek(body: Body) -> bytes:
    """What of the body is there and not yet taken, left where it is."""
    data = body.take()
    if data:
        body.hold(data)
    return data


class _Gate(BodySink):
    """Passes a body on as it is, and says when it has begun."""

    def __init__(self, inner: Body) -> None:
        self.outer = Body(inner.length, self)
        self.outer.origin = inner
        self._inner = inner
        self.opened = asyncio.Event()

    def start(self) -> Body:
        self._inner.attach(self)
        return self.outer

    def write_body(self, data: bytes) -> None:
        self.outer.feed(data)
        self.opened.set()

    def end_body(self, trailers: Headers | None) -> None:
        self.outer.finish(trailers)
        self.opened.set()

    def fail_body(self, error: EdgeError) -> None:
        self.outer.fail(error)
        self.opened.set()

    def pause_body(self) -> None:
        self._inner.pause()

    def resume_body(self) -> None:
        self._inner.resume()

    def cancel_body(self) -> None:
        self._inner.abandon()
