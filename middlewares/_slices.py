"""Bodies in memory that are given piece by piece, and bodies that are copied while they pass. No clock, no disk.

A stored body is shared by all who read it: nobody copies it whole into a socket's buffer.
"""

from __future__ import annotations

import asyncio
from typing import Final

from edgerouter.errors import EdgeError
from edgerouter.http.body import Body, BodySink, BodySource
from edgerouter.http.headers import Headers

SLICE: Final = 65536
_AT_ONCE: Final = 4  # slices a loop turn to one reader


class Pieces:
    """Collects a body as it comes: small pieces become larger ones, and none is ever copied with all the others."""

    def __init__(self) -> None:
        self.size = 0
        self._whole: list[bytes] = []
        self._small: list[bytes] = []
        self._waiting = 0

    def add(self, data: bytes) -> None:
        """The next bytes."""
        self.size += len(data)
        self._waiting += len(data)
        self._small.append(data)
        if self._waiting >= SLICE:
            self._join()

    def all(self) -> list[bytes]:
        """What came, in order."""
        if self._small:
            self._join()
        return self._whole

    def _join(self) -> None:
        self._whole.append(b"".join(self._small) if len(self._small) > 1 else self._small[0])
        self._small = []
        self._waiting = 0


class Slices(BodySource):
    """Gives ``pieces`` to one reader, at its pace."""

    def __init__(self, pieces: list[bytes], size: int) -> None:
        self.body = Body(size, self)
        self._pieces = pieces
        self._place = 0
        self._planned = False
        self._stopped = True
        self.body.pause()  # until somebody takes it

    def pause_body(self) -> None:
        """See ``BodySource``."""
        self._stopped = True

    def resume_body(self) -> None:
        """See ``BodySource``."""
        self._stopped = False
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._give)

    def cancel_body(self) -> None:
        """See ``BodySource``."""
        self._stopped = True

    def _give(self) -> None:
        self._planned = False
        for _ in range(_AT_ONCE):
            if self._stopped:
                return
            self.body.feed(self._pieces[self._place])
            self._place += 1
            if self._place == len(self._pieces):
                self._stopped = True
                self.body.finish(None)
                return
        self.resume_body()


def body_of(pieces: list[bytes], size: int) -> Body | None:
    """A body for stored data: whole where it is one piece."""
    if not size:
        return None
    return Body.of(pieces[0]) if len(pieces) == 1 else Slices(pieces, size).body


class Listener:
    """Who gets the copy."""

    def heard(self, data: bytes) -> None:
        """A piece passed."""

    def ended(self, trailers: Headers | None) -> None:
        """All has passed."""

    def broken(self) -> None:
        """There will be no more: the source failed, or the reader left."""


class Tee(BodySink):
    """Passes ``inner`` on as it is, length and all, and tells ``listener``."""

    def __init__(self, inner: Body, listener: Listener) -> None:
        self.outer = Body(inner.length, self)
        self.outer.origin = inner
        self._inner = inner
        self._listener = listener

    def start(self) -> Body:
        """Begin; the body to go on with."""
        self._inner.attach(self)
        return self.outer

    def write_body(self, data: bytes) -> None:
        """See ``BodySink``."""
        self._listener.heard(data)
        self.outer.feed(data)

    def end_body(self, trailers: Headers | None) -> None:
        """See ``BodySink``."""
        self._listener.ended(trailers)
        self.outer.finish(trailers)

    def fail_body(self, error: EdgeError) -> None:
        """See ``BodySink``."""
        self._listener.broken()
        self.outer.fail(error)

    def pause_body(self) -> None:
        """See ``BodySource``."""
        self._inner.pause()

    def resume_body(self) -> None:
        """See ``BodySource``."""
        self._inner.resume()

    def cancel_body(self) -> None:
        """See ``BodySource``."""
        self._listener.broken()
        self._inner.abandon()
