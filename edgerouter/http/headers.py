"""Header fields: a block of raw lines kept as it came, plus edits. Nothing here knows how a message is framed.

Most headers of most requests are never looked at by the router, so they are not split up: the lines stay one slice of
the head's buffer and are copied to the other side in runs. The first ``get`` of a field that is there builds an index;
an edit marks a line as cut or appends a line.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

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

    ``raw`` must be whole lines ``Name: value CRLF`` that a codec has checked. ``cut_at`` and ``cut_end`` are offsets of
    the first lines in ``raw`` that are not part of the message (hop-by-hop fields), ``cuts`` flattened ``start, end``
    offsets of further ones; all ascending, each a whole number of lines. Once fields were edited, ``raw`` is not all.
    Values given to ``set`` and ``add`` must hold no CR, LF or NUL: ``ValueError`` otherwise.

    ``shown_host`` and ``shown_length`` are offsets of a Host and a Content-Length line that ``get`` and ``get_all``
    show all the same (-1: none); ``items`` and ``write_to`` do not. Content-Length stands in a cut, Host too, or at
    that offset of ``host_block``. ``length_end`` is the end of that Content-Length line where it is just as this
    router would write ``told_length``. What is set or added under a name of ``CODEC_FIELDS`` is never written by a
    codec: set the attributes of the message instead.
    """

    def __init__(self, raw: bytes = b"", cuts: list[int] | None = None) -> None:
        self.raw = raw
        self.cut_at: i64 = 0
        self.cut_end: i64 = 0  # 0: nothing is cut
        self.cuts: list[int] | None = None
        self.shown_host: i64 = -1
        self.host_block: bytes | None = None
        self.shown_length: i64 = -1
        self.length_end: i64 = 0
        self.told_length: i64 = -1
        self.guarded = False  # a field of CODEC_FIELDS was set or added
        self._appended: list[bytes] | None = None
        self._index: dict[bytes, list[Line]] | None = None
        self._lines: list[Line] | None = None
        self._edited = False
        if cuts:
            self.cut_at, self.cut_end = cuts[0], cuts[1]
            self.cuts = cuts[2:] or None

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
        folded = _lower(name)
        if self._index is None and not self._may_hold(folded):
            return default
        lines = self._indexed().get(folded)
        if lines is not None:
            for line in lines:
                if not line.cut:
                    return line.value()
        return default

    def get_all(self, name: str) -> list[str]:
        """Return every value of the field, in order."""
        folded = _lower(name)
        if self._index is None and not self._may_hold(folded):
            return []
        lines = self._indexed().get(folded)
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
        folded = _lower(name)
        if self._index is None and not self._may_hold(folded):
            return False
        lines = self._indexed().pop(folded, None)
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

    def add_blocks(self, first: bytes, second: bytes) -> None:
        """The same with two of them."""
        if self._appended is None and self._index is None:
            self._appended = [first, second]
        else:
            self._append(first)
            self._append(second)

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
        raw = self.raw
        if self.cut_end == 0:
            out.append(raw)
        else:
            self._write_uncut(raw, out)
        appended = self._appended
        if appended is not None:
            for block in appended:
                out.append(block)

    def _write_uncut(self, raw: bytes, out: list[bytes]) -> None:
        size: i64 = len(raw)
        position = self.cut_end
        if self.cut_at > 0:
            out.append(raw[: self.cut_at])
        cuts = self.cuts
        if cuts is not None:
            for i in range(0, len(cuts), 2):
                if cuts[i] > position:
                    out.append(raw[position : cuts[i]])
                position = cuts[i + 1]
        if position < size:
            out.append(raw[position:])

    def length_line(self, length: i64) -> bytes | None:
        """The Content-Length line as it came, where it came and says ``length``."""
        if self.told_length != length or self.length_end == 0:
            return None
        return self.raw[self.shown_length : self.length_end]

    def _write_lines(self, out: list[bytes]) -> None:
        lines = self._lines
        assert lines is not None
        for line in lines:
            if not (line.cut or line.shown):
                out.append(line.block[line.start : line.end])

    # -- the index ----------------------------------------------------------------------------------------------

    def _may_hold(self, name: bytes) -> bool:
        """False when no line bears the name: known without an index, which costs ten times as much."""
        if self.host_block is not None and name == b"host":
            return True
        if _bears(self.raw, name):
            return True
        appended = self._appended
        if appended is not None:
            for block in appended:
                if _bears(block, name):
                    return True
        return False

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
        if self.host_block is not None:
            self._index_line(self.host_block, self.shown_host, True)
        self._index_raw()
        if self._appended is not None:
            for block in self._appended:
                self._index_block(block)
        return index

    def _index_raw(self) -> None:
        """Index what is not cut of ``raw``, and what is shown all the same."""
        raw = self.raw
        spans = [] if self.cut_end == 0 else [int(self.cut_at), int(self.cut_end)]
        if self.cuts is not None:
            spans += self.cuts
        host = -1 if self.host_block is not None else self.shown_host
        start = 0
        size = len(raw)
        while start < size:
            cut = len(spans) > 0 and spans[0] <= start
            if not cut or start == host or start == self.shown_length:
                start = self._index_line(raw, start, cut)
            else:
                start = raw.index(b"\n", start) + 1
            if cut and start >= spans[1]:
                del spans[:2]

    def _index_block(self, block: bytes) -> None:
        start = 0
        size = len(block)
        while start < size:
            start = self._index_line(block, start, False)

    def _index_line(self, block: bytes, start: int, shown: bool) -> int:
        """Index the line at ``start``; returns where the next begins."""
        index, lines = self._index, self._lines
        assert index is not None and lines is not None
        end = block.index(b"\n", start) + 1
        line, name = _split_line(block, start, end)
        line.shown = shown
        lines.append(line)
        known = index.get(name)
        if known is None:
            index[name] = [line]
        else:
            known.append(line)
        return end


def _bears(block: bytes, name: bytes) -> bool:
    """Does a line of the block, cut or not, begin with the name and a colon? ``name`` is in lower case."""
    length = len(name)
    last = len(block) - length
    start = 0
    while start < last:
        if block[start + length] == 58 and block[start : start + length].translate(_FOLD) == name:
            return True
        start = block.find(b"\n", start) + 1
        if start == 0:
            return False
    return False


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


_TOKEN: Final = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _is_token(name: str) -> bool:
    return name.strip(_TOKEN) == ""
