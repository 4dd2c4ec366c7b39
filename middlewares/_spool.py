"""A body read whole before it goes on: in memory up to a bound, beyond that in a temporary file. Nothing else.

The file has no name, so it is gone with the process. It is written and read in threads, a piece at a time, and its body
waits meanwhile: a slow disk slows the sender, never the loop.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from typing import IO, Any, Final

from edgerouter.errors import EdgeError
from edgerouter.http.body import HIGH_WATER, Body, BodySink, BodySource
from edgerouter.http.headers import Headers

_PIECE: Final = 65536


class File:
    """A temporary file for threads; closing waits for what is under way, so that no late write meets another file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._closed = False

    def write(self, data: bytes) -> None:
        """Append. Raises OSError when the disk is full."""
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]

    def read(self, place: int) -> bytes:
        """A piece from there."""
        with self._lock:
            if self._file is None or self._closed:
                return b""
            self._file.seek(place)
            return self._file.read(_PIECE)

    def close(self) -> None:
        """Give the space back."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()


class Spool(BodySink):
    """Reads ``body``: ``await read()`` once, then ``close`` once nobody needs what it gave."""

    def __init__(self, body: Body, memory: int) -> None:
        self._body = body
        self._memory = memory
        self._size = 0
        self._limit = 0
        self._chunks: list[bytes] = []
        self._held = 0
        self._file: File | None = None
        self._trailers: Headers | None = None
        self._ended = False
        self._error: EdgeError | None = None
        self._news = asyncio.Event()

    async def read(self, limit: int, too_large: EdgeError) -> Body:
        """The body again, now with a known length. ``limit`` 0: none. Raises ``too_large``, the error that broke the
        body, or OSError where the disk is full."""
        if limit and self._body.length > limit:
            self._body.abandon()
            raise too_large
        self._limit = limit
        self._body.attach(self)
        try:
            await self._take_all(too_large)
        except BaseException:
            self._body.abandon()
            self.close()
            raise
        return self._made()

    async def _take_all(self, too_large: EdgeError) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._error is not None:
                raise self._error
            if self._limit and self._size > self._limit:
                raise too_large
            if self._chunks and (self._file is not None or self._held > self._memory):
                await self._write()
            elif self._ended:
                return

    async def _write(self) -> None:
        if self._file is None:
            self._file = File()
        data = b"".join(self._chunks)
        self._chunks, self._held = [], 0
        await asyncio.to_thread(self._file.write, data)
        self._news.set()
        self._body.resume()

    def _made(self) -> Body:
        if self._file is None:
            made = Body.of(b"".join(self._chunks))
            made.keep(max(1, self._size))
            made.trailers = self._trailers
        else:
            made = Replay(self._file, self._size, self._trailers).body
        if self._trailers is not None:
            made.length = -1  # trailers need chunks
        self._chunks = []
        return made

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            asyncio.get_running_loop().run_in_executor(None, self._file.close)

    def write_body(self, data: bytes) -> None:
        """See ``BodySink``."""
        self._size += len(data)
        self._held += len(data)
        self._chunks.append(data)
        if self._held > max(self._memory, HIGH_WATER) or (self._file is not None and self._held > HIGH_WATER):
            self._body.pause()
        if self._held > self._memory or self._file is not None or (self._limit and self._size > self._limit):
            self._news.set()

    def end_body(self, trailers: Headers | None) -> None:
        """See ``BodySink``."""
        self._ended = True
        self._trailers = trailers
        self._news.set()

    def fail_body(self, error: EdgeError) -> None:
        """See ``BodySink``."""
        self._error = error
        self._news.set()


class Replay(BodySource):
    """Gives what is in a file, piece by piece, as often as it is asked to begin again."""

    def __init__(self, file: File, size: int, trailers: Headers | None) -> None:
        self.body = Body(size, self)
        self.body.rewindable = True
        self.body.pause()  # until somebody takes it
        self._file = file
        self._size = size
        self._trailers = trailers
        self._place = 0
        self._round = 0  # what a read of an earlier round brings is not wanted
        self._reading = False
        self._stopped = True

    def pause_body(self) -> None:
        """See ``BodySource``."""
        self._stopped = True

    def resume_body(self) -> None:
        """See ``BodySource``."""
        self._stopped = False
        self._read()

    def rewind_body(self) -> None:
        """See ``BodySource``."""
        self._round += 1
        self._reading = False
        self._stopped = True
        self._place = 0

    def cancel_body(self) -> None:
        """See ``BodySource``."""
        self._round += 1
        self._stopped = True

    def _read(self) -> None:
        if self._reading or self._stopped:
            return
        self._reading = True
        current = self._round
        done = asyncio.get_running_loop().run_in_executor(None, self._file.read, self._place)
        done.add_done_callback(lambda future: self._got(future, current))

    def _got(self, future: asyncio.Future[Any], current: int) -> None:
        if current != self._round or future.cancelled():
            return
        self._reading = False
        error = future.exception()
        data: bytes = b"" if error is not None else future.result()
        if not data:
            self.body.fail(EdgeError(f"a buffered body cannot be read again: {error}"))
            return
        self._place += len(data)
        self.body.feed(data)
        if self._place >= self._size:
            self.body.finish(self._trailers)
        else:
            self._read()
