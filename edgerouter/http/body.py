"""A message body in motion: chunks pushed by a source, taken by a sink, held back when the sink is slow.

A body never grows beyond what its source had in hand when it was paused. Nothing here knows how bodies are framed:
the codec that feeds it has taken the framing off, the sink puts its own on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from edgerouter.errors import EdgeError
    from edgerouter.http.headers import Headers

HIGH_WATER: Final = 65536  # bytes held without a sink before the source is paused


@mypyc_attr(allow_interpreted_subclasses=True)
class BodySource:
    """Where a body comes from; it can be asked to pause."""

    def pause_body(self) -> None:
        """Stop feeding until ``resume_body``; what was already read may still come."""

    def resume_body(self) -> None:
        """Go on feeding."""

    def cancel_body(self) -> None:
        """Nobody wants what still comes: let go of what it takes to make it."""

    def rewind_body(self) -> None:
        """Be ready to feed from the first byte again, once resumed; asked only where ``Body.rewindable`` says so."""


@mypyc_attr(allow_interpreted_subclasses=True)
class BodySink(BodySource):
    """Where a body goes; it pauses the body by ``body.pause()`` and goes on by ``body.resume()``.

    A sink is a source as well, since both ends of a connection are: one gives requests and takes responses.
    """

    def write_body(self, data: bytes) -> None:
        """Take one chunk (never empty)."""

    def end_body(self, trailers: Headers | None) -> None:
        """The body is complete; called once."""

    def fail_body(self, error: EdgeError) -> None:
        """The source broke; no ``end_body`` will follow."""


@mypyc_attr(allow_interpreted_subclasses=True)
class BodyFilter:
    """Changes a body on its way, e.g. compresses it; synchronous, small pieces."""

    def feed(self, data: bytes) -> bytes:
        """Take a chunk, return what can be passed on now (may be empty)."""
        return data

    def end(self) -> bytes:
        """The body is complete: return what is left."""
        return b""


@mypyc_attr(allow_interpreted_subclasses=True)
class TrailerEditor:
    """Sees a body's trailers before its sink does."""

    def edit(self, trailers: Headers) -> None:
        """Change them in place."""


@mypyc_attr(free_list_len=1)
class Body:
    """``length`` is the declared length in bytes, -1 where unknown. ``trailers`` are set when the body has ended.

    ``origin`` is the body that this one is made of in passing (compressed, say), None where it is nobody's. A source
    that can give everything again sets ``rewindable``.
    """

    def __init__(self, length: int = -1, source: BodySource | None = None) -> None:
        self.length = length
        self.source = source
        self.origin: Body | None = None
        self.rewindable = False
        self.sink: BodySink | None = None
        self.filters: list[BodyFilter] | None = None
        self.trailers: Headers | None = None
        self.trailer_editor: TrailerEditor | None = None
        self.error: EdgeError | None = None
        self.ended = False
        self.fed = 0  # bytes that came from the source
        self._held: bytes | None = None  # the first piece that no sink has taken; a small body is one piece
        self._further: list[bytes] | None = None
        self._held_size = 0
        self._paused = False
        self._kept: list[bytes] | None = None
        self._kept_size = 0
        self._keep_limit = 0

    @staticmethod
    def of(data: bytes) -> Body:
        """A complete body."""
        body = Body(len(data))
        if data:
            body.feed(data)
        body.finish(None)
        return body

    # -- the source's side --------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """The source gives one chunk."""
        self.fed += len(data)
        if self._keep_limit:
            self._keep(data)
        if self.filters is not None:
            for f in self.filters:
                data = f.feed(data)
            if not data:
                return
        self._pass(data)

    def add_filter(self, added: BodyFilter) -> None:
        """Let ``added`` change what is held and what still comes; the length is then known only at the end."""
        data = self.take()
        if data:
            data = added.feed(data)
        if self.ended:
            data += added.end()
            self.length = len(data) if self.trailers is None else -1  # trailers need chunks
        else:
            self.length = -1
            if self.filters is None:
                self.filters = []
            self.filters.append(added)
        if data:
            self.hold(data)

    def finish(self, trailers: Headers | None) -> None:
        """The source has given all."""
        if self.error is not None:
            return  # a filter or a bound broke it off meanwhile
        if self.filters is not None:
            self._flush_filters()
        if trailers is not None and self.trailer_editor is not None:
            self.trailer_editor.edit(trailers)
        self.trailers = trailers
        self.ended = True
        sink = self.sink
        if sink is not None:
            sink.end_body(trailers)

    def fail(self, error: EdgeError) -> None:
        """The source broke before the end."""
        if self.ended or self.error is not None:
            return
        self.error = error
        sink = self.sink
        if sink is not None:
            sink.fail_body(error)

    def _flush_filters(self) -> None:
        filters = self.filters
        assert filters is not None
        for i in range(len(filters)):
            data = filters[i].end()
            for later in filters[i + 1 :]:
                if data:
                    data = later.feed(data)
            if data:
                self._pass(data)

    def _pass(self, data: bytes) -> None:
        sink = self.sink
        if sink is not None:
            sink.write_body(data)
            return
        if self._held is None:
            self._held = data
        elif self._further is None:
            self._further = [data]
        else:
            self._further.append(data)
        self._held_size += len(data)
        if self._held_size > HIGH_WATER:
            self.pause()

    # -- the sink's side ----------------------------------------------------------------------------------------

    def attach(self, sink: BodySink) -> None:
        """Send what is held, and from now on everything, to ``sink``."""
        self.sink = sink
        if not self.ended and self.error is None:
            self.resume()  # before anything is written: a sink that is full then pauses, and that must stand
        data = self.take()
        if data:
            sink.write_body(data)
        if self.ended:
            sink.end_body(self.trailers)
        elif self.error is not None:
            sink.fail_body(self.error)

    def take(self) -> bytes:
        """Take what is held, as one piece."""
        held = self._held
        if held is None:
            return b""
        further = self._further
        self._held = None
        self._further = None
        self._held_size = 0
        return held if further is None else b"".join([held, *further])

    def hold(self, data: bytes) -> None:
        """Put back what ``take`` gave."""
        self._held = data
        self._further = None
        self._held_size = len(data)

    def pause(self) -> None:
        """Ask the source to stop for now."""
        if not self._paused and not self.ended:
            self._paused = True
            if self.source is not None:
                self.source.pause_body()

    def resume(self) -> None:
        """Ask the source to go on."""
        if self._paused:
            self._paused = False
            if self.source is not None and not self.ended:
                self.source.resume_body()

    def abandon(self) -> None:
        """Nobody will take what still comes."""
        self.sink = None
        if not self.ended and self.error is None and self.source is not None:
            self.source.cancel_body()

    # -- sending it again ---------------------------------------------------------------------------------------

    def keep(self, limit: int) -> None:
        """Remember up to ``limit`` bytes from the start, so that ``rewind`` can give them again."""
        if self.fed - self._held_size == 0:
            self._keep_limit = max(limit, self._keep_limit)
            if self._held is not None and self._kept is None:
                self._kept = []
                self._keep(self._held)
                for data in self._further or ():
                    self._keep(data)

    def kept(self) -> bytes | None:
        """Return the whole body where it is complete and all of it is remembered, else None."""
        if not self.ended or self.error is not None:
            return None
        if self.fed == 0:
            return b""
        return b"".join(self._kept) if self._kept is not None and self._keep_limit > 0 else None

    def replayable(self) -> bool:
        """True while nothing was given away, or all of it is still kept."""
        if self.error is not None:
            return False
        return self.rewindable or (self._kept is not None and self._keep_limit > 0) or self.fed == self._held_size

    def rewind(self) -> None:
        """Hold again everything that was given away; only while ``replayable()``."""
        self.sink = None
        if self.rewindable:
            self._rewind_source()
        elif self._kept and self.fed != self._held_size:
            self._held = self._kept[0]
            self._further = self._kept[1:] or None
            self._held_size = self._kept_size

    def _rewind_source(self) -> None:
        self._held = None
        self._further = None
        self._held_size = 0
        self.fed = 0
        self.ended = False
        self._paused = True
        if self.source is not None:
            self.source.rewind_body()

    def _keep(self, data: bytes) -> None:
        kept = self._kept
        if kept is None:
            if self.fed != len(data):
                return
            kept = []
            self._kept = kept
        self._kept_size += len(data)
        if self._kept_size > self._keep_limit:
            self._kept = None
            self._keep_limit = 0
        else:
            kept.append(data)
