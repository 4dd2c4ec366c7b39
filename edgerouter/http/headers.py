"""Header fields: a block of raw lines kept as it came, plus edits. Nothing here knows how a message is framed.

Most headers of most requests are never looked at by the router, so they are not split up: the lines stay one slice of
the head's buffer and are copied to the other side in runs. An edit cuts a line out or appends one; only who asks for
all of them, or for what a codec shows apart, has an index built.
"""

from __future__ import annotations

from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr

from edgerouter.http.lines import (
    ALL,
    CODEC_FIELDS,
    FOLD,
    FieldName,
    field_line,
    field_name,
    find_line,
    line_end,
    names_in,
    value_span,
)

__all__ = ["ALL", "CODEC_FIELDS", "Field", "Headers"]


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


class Field:
    """A field made once, for many messages. Raises ValueError for CR, LF, NUL or a name that is none."""

    def __init__(self, name: str, value: str) -> None:
        self.name = field_name(name)
        self.line = field_line(self.name, name, value)


@mypyc_attr(acyclic=True, free_list_len=1)
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
    codec: set the attributes of the message instead. ``names`` is the set of names that may be there.
    """

    def __init__(self, raw: bytes = b"", cuts: list[int] | None = None) -> None:
        self.raw = raw
        self.names: i64 = ALL if len(raw) > 0 else 0  # compiled, the length of bytes is a load, their truth a call
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
        if cuts is not None and cuts:
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
        field = field_name(name)
        if self.names & field.bit == 0:
            return default
        if self._index is None and not field.apart:
            return self._first(field.folded, default)
        lines = self._indexed().get(field.folded)
        if lines is not None:
            for line in lines:
                if not line.cut:
                    return line.value()
        return default

    def get_all(self, name: str) -> list[str]:
        """Return every value of the field, in order."""
        field = field_name(name)
        if self.names & field.bit == 0:
            return []
        if self._index is None and not field.apart:
            return self._each(field.folded)
        lines = self._indexed().get(field.folded)
        return [] if lines is None else [line.value() for line in lines if not line.cut]

    def _first(self, name: bytes, default: str | None) -> str | None:
        raw = self.raw
        at: i64 = find_line(raw, name, 0)
        while at >= 0:
            if not self._is_cut(at):
                return _value(raw, at, len(name))
            at = find_line(raw, name, line_end(raw, at))
        appended = self._appended
        if appended is not None:
            for block in appended:
                at = find_line(block, name, 0)
                if at >= 0:
                    return _value(block, at, len(name))
        return default

    def _each(self, name: bytes) -> list[str]:
        raw = self.raw
        values: list[str] = []
        at: i64 = find_line(raw, name, 0)
        while at >= 0:
            if not self._is_cut(at):
                values.append(_value(raw, at, len(name)))
            at = find_line(raw, name, line_end(raw, at))
        appended = self._appended
        if appended is not None:
            for block in appended:
                at = find_line(block, name, 0)
                while at >= 0:
                    values.append(_value(block, at, len(name)))
                    at = find_line(block, name, line_end(block, at))
        return values

    def _is_cut(self, at: i64) -> bool:
        """Is the line of ``raw`` that begins there no part of the message?"""
        if self.cut_at <= at and at < self.cut_end:
            return True
        cuts = self.cuts
        if cuts is not None:
            for i in range(0, len(cuts), 2):
                if cuts[i] <= at and at < cuts[i + 1]:
                    return True
        return False

    def __contains__(self, name: str) -> bool:
        return self.names & field_name(name).bit != 0 and self.get(name) is not None

    def items(self) -> list[tuple[str, str]]:
        """Return (name, value) pairs in order."""
        self._indexed()
        lines = self._lines
        assert lines is not None
        return [(line.name(), line.value()) for line in lines if not (line.cut or line.shown)]

    # -- editing ------------------------------------------------------------------------------------------------

    def set(self, name: str, value: str) -> None:
        """Replace every value of the field by this one; raises ValueError for CR, LF, NUL or an empty name."""
        field = field_name(name)
        self._replace(field, field_line(field, name, value))

    def put(self, field: Field) -> None:
        """The same with a field that was made before."""
        self._replace(field.name, field.line)

    def add(self, name: str, value: str) -> None:
        """Append one more value; raises ValueError for CR, LF, NUL or an empty name."""
        field = field_name(name)
        self._append_line(field, field_line(field, name, value))

    def append(self, field: Field) -> None:
        """The same with a field that was made before."""
        self._append_line(field.name, field.line)

    def remove(self, name: str) -> bool:
        """Drop every value of the field; True if there was one."""
        return self._drop(field_name(name))

    def _replace(self, field: FieldName, line: bytes) -> None:
        if self.names & field.bit != 0:
            self._drop(field)
        self._append_line(field, line)

    def _append_line(self, field: FieldName, line: bytes) -> None:
        if field.codec:
            self.guarded = True
        self._append(line, field.bit)

    def _drop(self, field: FieldName) -> bool:
        if self.names & field.bit == 0:
            return False
        if self._index is None and not field.apart:
            return self._cut_lines(field.folded)
        lines = self._indexed().pop(field.folded, None)
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

    def _cut_lines(self, name: bytes) -> bool:
        """Take the lines with this name out, where there is no index."""
        raw = self.raw
        found = False
        end: i64 = 0
        at: i64 = find_line(raw, name, 0)
        while at >= 0:
            end = line_end(raw, at)
            if not self._is_cut(at):
                self._cut(at, end)
                found = True
            at = find_line(raw, name, end)
        appended = self._appended
        if appended is not None:
            for i in range(len(appended)):
                block = appended[i]
                at = find_line(block, name, 0)
                while at >= 0:
                    found = True
                    block = block[:at] + block[line_end(block, at) :]
                    at = find_line(block, name, at)
                appended[i] = block
        return found

    def _cut(self, start: i64, end: i64) -> None:
        """Cut one more line of ``raw``; the cuts stay in order."""
        if self.cut_end == 0:
            self.cut_at, self.cut_end = start, end
            return
        cuts = self.cuts
        if cuts is None:
            cuts = []
            self.cuts = cuts
        if start < self.cut_at:
            cuts.insert(0, self.cut_at)
            cuts.insert(1, self.cut_end)
            self.cut_at, self.cut_end = start, end
            return
        place = 0
        while place < len(cuts) and cuts[place] < start:
            place += 2
        cuts.insert(place, start)
        cuts.insert(place + 1, end)

    def add_block(self, block: bytes, names: i64 = ALL) -> None:
        """Append ready-made, valid lines (for the engine, which keeps such blocks per connection); ``names`` is the set
        of their names, where it is known."""
        self._append(block, names_in(block) if names == ALL else names)

    def add_blocks(self, first: bytes, second: bytes, names: i64 = ALL) -> None:
        """The same with two of them."""
        if self._appended is None and self._index is None and names != ALL:
            self._appended = [first, second, b""]  # with room for one more: lists grow dearly
            self.names |= names
        else:
            self.add_block(first)
            self.add_block(second)

    def copy(self) -> Headers:
        """Return an independent copy."""
        out = BytesWriter()
        self.write_to(out)
        headers = Headers(out.getvalue())
        headers.guarded = self.guarded
        headers.names = self.names
        return headers

    # -- writing ------------------------------------------------------------------------------------------------

    def write_to(self, out: BytesWriter, length: i64 = -1) -> bool:
        """Write the lines, unchanged runs in one. True: the Content-Length line is among them, where it came, since it
        says ``length`` and is the first that is cut."""
        if self._edited:
            self._write_lines(out)
            return False
        raw = self.raw
        told = length >= 0 and self.told_length == length and self.shown_length == self.cut_at
        told = told and 0 < self.length_end <= self.cut_end
        if self.cut_end == 0:
            out.write(raw)
        else:
            self._write_uncut(raw, out, self.length_end if told else self.cut_at)
        appended = self._appended
        if appended is not None:
            for block in appended:
                out.write(block)
        return told

    def _write_uncut(self, raw: bytes, out: BytesWriter, cut_at: i64) -> None:
        size: i64 = len(raw)
        position = self.cut_end
        cuts = self.cuts
        if cut_at == position and cuts is None:
            out.write(raw)
            return
        if cut_at > 0:
            out.write(raw[:cut_at])
        if cuts is not None:
            for i in range(0, len(cuts), 2):
                if cuts[i] > position:
                    out.write(raw[position : cuts[i]])
                position = cuts[i + 1]
        if position < size:
            out.write(raw[position:])

    def length_line(self, length: i64) -> bytes | None:
        """The Content-Length line as it came, where it came and says ``length``."""
        if self.told_length != length or self.length_end == 0:
            return None
        return self.raw[self.shown_length : self.length_end]

    def _write_lines(self, out: BytesWriter) -> None:
        lines = self._lines
        assert lines is not None
        for line in lines:
            if not (line.cut or line.shown):
                out.write(line.block[line.start : line.end])

    # -- the index ----------------------------------------------------------------------------------------------

    def _append(self, block: bytes, names: i64) -> None:
        self.names |= names
        appended = self._appended
        if appended is None:
            self._appended = [block]
        elif len(appended[-1]) == 0:
            appended[-1] = block
        else:
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


def _value(block: bytes, at: i64, length: i64) -> str:
    """The value of the line that begins there, with a name of that length, decoded as latin-1."""
    start, end = value_span(block, at + length + 1, line_end(block, at))
    return block[start:end].decode("latin-1")


def _split_line(block: bytes, start: i64, end: i64) -> tuple[Line, bytes]:
    """Find name and value of one line."""
    colon: i64 = block.index(b":", start)
    value_start, value_end = value_span(block, colon + 1, end)
    return Line(block, start, value_start, value_end, end), block[start:colon].translate(FOLD)
