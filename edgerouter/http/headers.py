"""Header fields: a block of raw lines kept as it came, plus edits. Nothing here knows how a message is framed.

Most headers of most requests are never looked at by the router, so they are not split up: the lines stay one slice of
the head's buffer and are copied to the other side in runs. The first ``get`` builds an index; an edit marks a line as
cut or appends a line.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

_FOLD: Final = bytes(range(65)) + bytes(range(97, 123)) + bytes(range(91, 256))  # ASCII lower case, byte for byte

CODEC_FIELDS: Final = frozenset(
    [
        "connection",
        "content-length",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ]
)  # framing and routing of one connection: written by codecs from the attributes of messages, never from a field


def _lower(name: str) -> bytes:
    return name.encode("latin-1").translate(_FOLD)


class Line:
    """One header line of a block: where it starts and ends, and where its value does."""

    def __init__(self, block: bytes, start: int, value_start: int, value_end: int, end: int) -> None:
        self.block = block
        self.start = start
        self.value_start = value_start
        self.value_end = value_end
        self.end = end
        self.cut = False
        self.shown = False  # read only: the codec writes this field

    def value(self) -> str:
        """Return the field value, decoded as latin-1, which loses no byte."""
        return self.block[self.value_start : self.value_end].decode("latin-1")

    def name(self) -> str:
        """Return the field name in the spelling of the sender."""
        colon = self.block.index(b":", self.start)
        return self.block[self.start : colon].decode("latin-1")


@mypyc_attr(allow_interpreted_subclasses=True)
class Headers:
    """The end-to-end fields of one message, in order, names case-insensitive (RFC 9110 section 5).

    ``raw`` must be whole lines ``Name: value CRLF`` that a codec has checked. ``cuts`` are flattened
    ``start, end`` offsets of lines in ``raw`` that are not part of the message (hop-by-hop fields), ascending.
    Values given to ``set`` and ``add`` must hold no CR, LF or NUL: ``ValueError`` otherwise.

    ``shown_host`` and ``shown_length`` are offsets of a cut Host and Content-Length line in ``raw`` that ``get`` and
    ``get_all`` show all the same (-1: none); ``items`` and ``write_to`` do not. What is set or added under a name of
    ``CODEC_FIELDS`` is never written by a codec: set the attributes of the message instead.
    """

    def __init__(self, raw: bytes = b"", cuts: list[int] | None = None) -> None:
        self._raw = raw
        self._cuts: list[int] | None = cuts
        self._appended: list[bytes] | None = None
        self._index: dict[bytes, list[Line]] | None = None
        self._lines: list[Line] | None = None
        self._edited = False
        self.shown_host = -1
        self.shown_length = -1
        self.guarded = False  # a field of CODEC_FIELDS was set or added

    @staticmethod
    def of(items: list[tuple[str, str]]) -> Headers:
        """Build from (name, value) pairs."""
        headers = Headers()
        for name, value in items:
            headers.add(name, value)
        return headers

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of the field, or ``default``."""
        lines = self._indexed().get(_lower(name))
        if lines is not None:
            for line in lines:
                if not line.cut:
                    return line.value()
        return default

    def get_all(self, name: str) -> list[str]:
        """Return every value of the field, in order."""
        lines = self._indexed().get(_lower(name))
        return [] if lines is None else [line.value() for line in lines if not line.cut]

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def items(self) -> list[tuple[str, str]]:
        """Return (name, value) pairs in order."""
        self._indexed()
        lines = self._lines
        assert lines is not None
        return [(line.name(), line.value()) for line in lines if not (line.cut or line.shown)]

    # -- editing ------------------------------------------------------------------------------------------------

    def set(self, name: str, value: str) -> None:
        """Replace every value of the field by this one; raises ValueError for CR, LF, NUL or an empty name."""
        line = _encode_line(name, value)
        self.remove(name)
        self._guard(name)
        self._append(line)

    def add(self, name: str, value: str) -> None:
        """Append one more value; raises ValueError for CR, LF, NUL or an empty name."""
        line = _encode_line(name, value)
        self._guard(name)
        self._append(line)

    def remove(self, name: str) -> bool:
        """Drop every value of the field; True if there was one."""
        lines = self._indexed().pop(_lower(name), None)
        if lines is None:
            return False
        found = False
        for line in lines:
            if not line.cut:
                line.cut = True
                found = True
        if found:
            self._edited = True
        return found

    def add_block(self, block: bytes) -> None:
        """Append ready-made, valid lines (for the engine, which keeps such blocks per connection)."""
        self._append(block)

    def copy(self) -> Headers:
        """Return an independent copy."""
        out: list[bytes] = []
        self.write_to(out)
        headers = Headers(b"".join(out))
        headers.guarded = self.guarded
        return headers

    # -- writing ------------------------------------------------------------------------------------------------

    def write_to(self, out: list[bytes]) -> None:
        """Append the lines to ``out``, unchanged runs as single slices."""
        if self._edited:
            self._write_lines(out)
            return
        raw = self._raw
        cuts = self._cuts
        if cuts is None:
            out.append(raw)
        else:
            position = 0
            i = 0
            while i < len(cuts):
                if cuts[i] > position:
                    out.append(raw[position : cuts[i]])
                position = cuts[i + 1]
                i += 2
            if position < len(raw):
                out.append(raw[position:])
        if self._appended is not None:
            out.extend(self._appended)

    def _write_lines(self, out: list[bytes]) -> None:
        lines = self._lines
        assert lines is not None
        for line in lines:
            if not (line.cut or line.shown):
                out.append(line.block[line.start : line.end])

    # -- the index ----------------------------------------------------------------------------------------------

    def _guard(self, name: str) -> None:
        if name.lower() in CODEC_FIELDS:
            self.guarded = True

    def _append(self, block: bytes) -> None:
        appended = self._appended
        if appended is None:
            appended = []
            self._appended = appended
        appended.append(block)
        if self._index is not None:
            self._index_block(block)

    def _indexed(self) -> dict[bytes, list[Line]]:
        index = self._index
        if index is not None:
            return index
        index = {}
        self._index = index
        self._lines = []
        self._index_block(self._raw)
        if self._appended is not None:
            for block in self._appended:
                self._index_block(block)
        return index

    def _index_block(self, block: bytes) -> None:
        index, lines = self._index, self._lines
        assert index is not None and lines is not None
        skip: set[int] = set()
        shown = [-1, -1]
        if self._cuts is not None and block is self._raw:
            skip = set(self._cuts[::2])
            shown = [self.shown_host, self.shown_length]
        start = 0
        size = len(block)
        while start < size:
            end = block.index(b"\n", start) + 1
            if start not in skip or start in shown:
                line, name = _split_line(block, start, end)
                line.shown = start in shown
                lines.append(line)
                known = index.get(name)
                if known is None:
                    index[name] = [line]
                else:
                    known.append(line)
            start = end


def _split_line(block: bytes, start: int, end: int) -> tuple[Line, bytes]:
    """Find the value of one line, without the white space around it."""
    colon = block.index(b":", start)
    value_start = colon + 1
    value_end = end - 2
    while value_start < value_end and block[value_start] in (32, 9):
        value_start += 1
    while value_end > value_start and block[value_end - 1] in (32, 9):
        value_end -= 1
    return Line(block, start, value_start, value_end, end), block[start:colon].translate(_FOLD)


def _encode_line(name: str, value: str) -> bytes:
    line = f"{name}: {value}\r\n"
    if not name or "\n" in value or "\r" in value or "\0" in value or not _is_token(name):
        raise ValueError(f"not a header field: {name!r}: {value!r}")
    return line.encode("latin-1", "replace")


_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def _is_token(name: str) -> bool:
    return all(c in _TOKEN for c in name)
