"""One pass over the field lines of a head or trailer section: checks every byte, notes the few fields that matter here.

What a noted field means is decided by ``http1_request``, ``http1_response`` and ``http1_body``; all other lines are
only checked and stay one slice of the buffer. A head that comes in pieces is resumed at the line that was not complete,
so that a dripping client costs no more than a fast one.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_le, read_i64_le
from mypy_extensions import i64

from edgerouter.errors import EdgeError
from edgerouter.http.headers import Headers
from edgerouter.http.lines import first_flag, name_bit
from edgerouter.wire.http1_base import LOWER, MAX_LENGTH_DIGITS, TOKEN, VALUE, Limits
from edgerouter.wire.http1_known import is_keep_alive, is_usual

ORDINARY: Final = 0
HOST: Final = 1
CONTENT_LENGTH: Final = 2
TRANSFER_ENCODING: Final = 3
CONNECTION: Final = 4
UPGRADE: Final = 5
TE: Final = 6
EXPECT: Final = 7
HOP: Final = 8  # hop-by-hop whatever it says: always cut
MANAGED: Final = 9  # the X-Forwarded family: what a proxy says of its client

_KINDS: Final[dict[bytes, int]] = {
    b"content_length": HOP,  # servers that fold "_" and "-" into one would take these for the framing
    b"transfer_encoding": HOP,
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"te": TE,
    b"expect": EXPECT,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"proxy-authorization": HOP,  # RFC 9110 section 11.7.2: for the first proxy, never for the server
    b"http2-settings": HOP,  # RFC 9113 section 3.1: h2c upgrades are not forwarded
    b"x-real-ip": MANAGED,
    b"x-scheme": MANAGED,
}

_MASK: Final = 31


def _spots() -> bytes:
    """(length of a name, its first letter) -> the kind that the name may have; 0 where it is none of ``_KINDS``."""
    table = bytearray(1024)
    for length in range(_MASK + 1):
        table[(length << 5) | (ord("x") & _MASK)] = MANAGED
    for name, kind in _KINDS.items():
        table[(min(len(name), _MASK) << 5) | (name[0] & _MASK)] = kind
    return bytes(table)


_SPOTS: Final = _spots()
_USUAL: Final = [b"", b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"TE", b"Expect"]
_KEEP_ALIVE: Final = b"keep-alive"

# Naming these in Connection does not take them out: the message's framing, routing and what this router itself adds
# would be at the mercy of the sender (RFC 9110 section 7.6.1 asks senders not to; "hop-by-hop header abuse").
_LASTING: Final = frozenset(
    [b"host", b"content-length", b"close", b"keep-alive", b"upgrade", b"te", b"transfer-encoding"]
)


def is_managed(name: bytes) -> bool:
    """True for a lower-case field name of the X-Forwarded family, in either spelling."""
    name = name.replace(b"_", b"-")
    return name.startswith(b"x-forwarded-") or name == b"x-real-ip" or name == b"x-scheme"


def kind_of(name: bytes) -> int:
    """The kind of a lower-case field name."""
    kind = _KINDS.get(name, ORDINARY)
    if kind == ORDINARY and name[0] == 120 and is_managed(name):
        return MANAGED
    return kind


class FieldScanner:
    """Scans field lines and keeps what it noted until the next ``_restart``.

    Subclasses say what errors look like: ``refusal`` makes the error of a malformed line, ``overflow`` that of a head
    beyond the limits.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._max_lines: i64 = limits.max_lines
        self._all_names = limits.underscores == "keep"
        self._started = False  # the start line was read
        self._fields_at: i64 = 0  # where the field lines begin
        self._raw_at: i64 = 0  # the same, behind a Host line that comes first
        self._at: i64 = 0  # the line to read next
        self._seen: i64 = 0  # bytes searched in vain
        self._lines: i64 = 0
        self._cut_at: i64 = 0  # the first lines that are no part of the message, as offsets from _raw_at
        self._cut_end: i64 = 0
        self._cuts: list[int] | None = None  # further ones
        self._host_at: i64 = -1  # the value of Host: from, to; -1 while there was none
        self._host_end: i64 = -1
        self._host_line: i64 = -1  # the line's offsets in the data
        self._host_stop: i64 = -1
        self._length: i64 = -1
        self._length_line: i64 = -1  # offsets from _raw_at; no end where the line is not as this router would write it
        self._length_end: i64 = 0
        self._coding: bytes | None = None
        self._connection: bytes | None = None
        self._upgrade = b""
        self._te = b""
        self._expect = b""
        self._managed = False
        self._names: i64 = 0  # the set of all names (http.lines)

    def _restart(self) -> None:
        """Forget the last head."""
        self._started = False
        self._at = 0
        self._seen = 0
        self._lines = 0
        self._cut_end = 0
        self._cuts = None
        self._host_at = -1
        self._host_line = -1
        self._length = -1
        self._length_line = -1
        self._length_end = 0
        self._coding = None
        self._connection = None
        self._upgrade = b""
        self._te = b""
        self._expect = b""
        self._managed = False
        self._names = 0

    def refusal(self, why: str, message: str) -> EdgeError:
        """The error for bytes that are no valid head; ``why`` is the last part of its cause."""
        return EdgeError(message, cause=why)

    def overflow(self, message: str) -> EdgeError:
        """The error for a head beyond the limits."""
        return EdgeError(message)

    def _begin_fields(self, at: i64) -> None:
        """The start line was read; field lines begin here."""
        self._started = True
        self._fields_at = at
        self._raw_at = at
        self._at = at

    # -- the scan -----------------------------------------------------------------------------------------------

    def _scan_fields(self, data: bytes) -> bool:
        """Read lines from ``_at`` on; True when the empty line was reached (``_at`` is then behind it)."""
        spots = _SPOTS
        size: i64 = len(data)
        at: i64 = self._at
        lines: i64 = self._lines
        i: i64 = at
        colon: i64 = 0
        length: i64 = 0
        guess: i64 = 0
        names: i64 = self._names
        while True:
            i = _name_end(data, at)
            if i >= size or data[i] != 58 or i == at:
                break
            colon = i
            i = _value_end(data, i + 1)
            if i + 1 >= size or read_i16_le(data, i) != 0x0A0D:  # CRLF
                break
            names |= name_bit(data, at, colon)
            length = colon - at
            if length > 31:
                length = 31
            guess = spots[(length << 5) | (i64(read_i16_le(data, at)) & 31)]
            if guess:
                self._note(data, at, colon, i, guess)
            lines += 1
            at = i + 2
        self._at = at
        self._lines = lines
        self._names = names
        return self._stopped(data, i)

    def _stopped(self, data: bytes, i: i64) -> bool:
        """The scan met no complete line: the end of the head, the end of the data, or a fault."""
        if self._lines > self._max_lines:
            raise self.overflow(f"more than {self.limits.max_lines} header lines")
        size: i64 = len(data)
        if i >= size:
            return False
        if i == self._at and data[i] == 13:
            if i + 1 >= size:
                return False
            if data[i + 1] == 10:
                self._at = i + 2
                return True
        self._fault(data, i)
        return False

    def _fault(self, data: bytes, i: i64) -> None:
        """Raise the error for the byte at ``i``; a CR at the very end may still become CRLF."""
        byte = data[i]
        named = b":" in data[self._at : i]
        if byte == 13:
            if i + 1 >= len(data):
                return
            if named or data[i + 1] != 10:
                raise self.refusal("BARE_CR", "a CR without LF in a header line")
            raise self.refusal("HEADER_NAME", "a header line without a colon")
        if byte == 10:
            raise self.refusal("BARE_LF", "a line ends in LF without CR")
        if named:
            raise self.refusal("HEADER_VALUE", f"byte 0x{byte:02x} in a header value")
        if i == self._at and (byte == 32 or byte == 9):
            raise self.refusal("FOLDED_LINE", "a header line begins with white space (obsolete line folding)")
        if byte == 32 or byte == 9:
            raise self.refusal("SPACE_BEFORE_COLON", "white space in or behind a header name")
        if byte == 58:
            raise self.refusal("HEADER_NAME", "a header line without a name")
        raise self.refusal("HEADER_NAME", f"byte 0x{byte:02x} in a header name")

    def _wait(self, data: bytes) -> None:
        """No more can be read of ``data``; remember how far it was looked at."""
        size: i64 = len(data)
        if size > self.limits.max_head_bytes:
            raise self.overflow(f"head longer than {self.limits.max_head_bytes} bytes")
        self._seen = size

    def _dripping(self, data: bytes) -> bool:
        """True when the line that was not complete is not complete now either (one search, no rescan)."""
        seen = self._seen
        return seen > 0 and seen <= len(data) and data.find(b"\n", seen) < 0

    # -- fields that matter -------------------------------------------------------------------------------------

    def _note(self, data: bytes, at: i64, colon: i64, end: i64, guess: i64) -> None:
        """Look at a line whose name may be one of those that matter here; ``end`` is where its CRLF is."""
        kind: i64 = guess
        if not is_usual(data, at, colon - at):
            name = data[at:colon]
            if guess >= HOP or name != _USUAL[guess]:
                kind = kind_of(name.translate(LOWER))
                if kind == ORDINARY:
                    return
                if kind == MANAGED:
                    self._managed = True
                    return
        start = colon + 1
        while start < end and (data[start] == 32 or data[start] == 9):
            start += 1
        stop = end
        while stop > start and (data[stop - 1] == 32 or data[stop - 1] == 9):
            stop -= 1
        if kind == HOST:
            self._note_host(at, start, stop, end + 2)
            return
        if kind == CONTENT_LENGTH:
            self._note_length(data, start, stop)
            self._length_line = at - self._raw_at
            if start == colon + 2 and stop == end and data[start] != 48:
                self._length_end = end + 2 - self._raw_at
        else:
            self._note_value(kind, data, start, stop)
        self._cut(at, end + 2)

    def _note_host(self, at: i64, start: i64, stop: i64, end: i64) -> None:
        if self._host_at >= 0:
            raise self.refusal("HOST_TWICE", "several Host lines")
        self._host_at = start
        self._host_end = stop
        self._host_line = at
        self._host_stop = end
        if at == self._fields_at:
            self._raw_at = end
        else:
            self._cut(at, end)

    def _note_value(self, kind: i64, data: bytes, start: i64, stop: i64) -> None:
        if kind == CONNECTION and self._connection is None and is_keep_alive(data, start, stop):
            self._connection = _KEEP_ALIVE
            return
        value = data[start:stop]
        if kind == CONNECTION:
            known = self._connection
            self._connection = value if known is None else known + b"," + value
        elif kind == TRANSFER_ENCODING:
            if self._coding is not None:
                raise self.refusal("TRANSFER_ENCODING", "several Transfer-Encoding lines")
            self._coding = value
        elif kind == UPGRADE:
            self._upgrade = self._upgrade + b"," + value if self._upgrade else value
        elif kind == TE:
            self._te = self._te + b"," + value if self._te else value
        elif kind == EXPECT:
            self._expect = self._expect + b"," + value if self._expect else value

    def _note_length(self, data: bytes, start: i64, stop: i64) -> None:
        if self._length >= 0:
            raise self.refusal("LENGTH_TWICE", "several Content-Length lines")
        if stop == start or stop - start > MAX_LENGTH_DIGITS:
            raise self.refusal("LENGTH", "Content-Length is empty or beyond all bounds")
        length: i64 = 0
        digit: i64 = 0
        i = start
        while i < stop:
            digit = data[i]
            if digit < 48 or digit > 57:
                raise self.refusal("LENGTH", "Content-Length is not a plain decimal number")
            length = length * 10 + digit - 48
            i += 1
        self._length = length

    def _cut(self, at: i64, end: i64) -> None:
        base = self._raw_at
        cuts = self._cuts
        if cuts is not None:
            cuts.append(at - base)
            cuts.append(end - base)
        elif self._cut_end == 0:
            self._cut_at = at - base
            self._cut_end = end - base
        elif self._cut_end == at - base:
            self._cut_end = end - base
        else:
            self._cuts = [at - base, end - base]

    # -- the result ---------------------------------------------------------------------------------------------

    def _headers(self, data: bytes) -> Headers:
        """The end-to-end fields of the head that was just read."""
        headers = Headers(data[self._raw_at : self._at - 2])
        headers.names = self._names
        headers.cut_at = self._cut_at
        headers.cut_end = self._cut_end
        if self._cuts is not None:
            headers.cuts = self._cuts
        connection = self._connection
        if connection is not None and connection is not _KEEP_ALIVE and not _plain_connection(connection):
            self._cut_named(headers, connection)
        if not self._all_names and b"_" in headers.raw:
            self._cut_underscores(headers)
        if self._length_line >= 0:
            headers.shown_length = self._length_line
            if self._length_end > 0:
                headers.length_end = self._length_end
                headers.told_length = self._length
        if self._host_line > self._fields_at:
            headers.shown_host = self._host_line - self._raw_at
        return headers

    def _cut_named(self, headers: Headers, connection: bytes) -> None:
        """Take out the fields that Connection names."""
        names: set[bytes] = set()
        for token in connection.split(b","):
            name = token.strip(b" \t").translate(LOWER)
            if name and name not in _LASTING and not is_managed(name):
                names.add(name)
        if names:
            _cut_lines(headers, names)

    def _cut_underscores(self, headers: Headers) -> None:
        """Take out fields whose name has ``_``, or refuse them."""
        names: set[bytes] = set()
        for line in headers.raw.split(b"\r\n"):
            name = line.partition(b":")[0]
            if b"_" in name:
                names.add(name.translate(LOWER))
        if names and self.limits.underscores == "reject":
            raise self.refusal("UNDERSCORE", "a header name holds an underscore")
        if names:
            _cut_lines(headers, names)

    def _keeps_alive(self, version: int) -> bool:
        connection = self._connection
        if connection is None:
            return version >= 11
        if connection is _KEEP_ALIVE:
            return True
        tokens = [token.strip(b" \t") for token in connection.translate(LOWER).split(b",")]
        if b"close" in tokens:
            return False
        return version >= 11 or b"keep-alive" in tokens

    def _names_upgrade(self) -> bool:
        connection = self._connection
        if connection is None:
            return False
        return b"upgrade" in [token.strip(b" \t") for token in connection.translate(LOWER).split(b",")]


def _name_end(data: bytes, i: i64) -> i64:
    """The first byte from ``i`` on that may not stand in a name; the data's size when there is none.

    Words of eight bytes are looked at in one: ``flags`` has the high bit of each byte that is neither a letter nor
    ``-``, as nearly all bytes of names are. A sum of seven-bit numbers never reaches into the next byte.
    """
    size: i64 = len(data)
    words: i64 = size - 8
    word: i64 = 0
    low: i64 = 0
    lower: i64 = 0
    flags: i64 = 0
    ones: i64 = 0x01010101
    ones |= ones << 32
    high: i64 = ones << 7
    sevens: i64 = ones * 127
    while i <= words:
        word = read_i64_le(data, i)
        low = word & sevens
        lower = low | ones << 5
        flags = ~(lower + ones * 31) | (lower + ones * 5)  # below "a", or behind "z"
        flags = (flags & ((low ^ ones * 45) + sevens) | word) & high
        if flags == 0:
            i += 8
            continue
        i += first_flag(flags)
        if data[i] == 58 or not TOKEN[data[i]]:
            return i
        i += 1
    while i < size and TOKEN[data[i]]:
        i += 1
    return i


def _value_end(data: bytes, i: i64) -> i64:
    """The first byte from ``i`` on that may not stand in a value; the data's size when there is none.

    Words of eight bytes again: ``flags`` has the high bit of each byte that is a control byte (below 32, or 127).
    Borrows can only set bits above the first such byte, and only the first is asked for.
    """
    size: i64 = len(data)
    words: i64 = size - 8
    word: i64 = 0
    flags: i64 = 0
    ones: i64 = 0x01010101
    ones |= ones << 32
    high: i64 = ones << 7
    spaces: i64 = ones << 5
    deletes: i64 = ones * 127
    while i <= words:
        word = read_i64_le(data, i)
        flags = ((word - spaces) | ((word ^ deletes) - ones)) & ~word & high
        if flags == 0:
            i += 8
            continue
        i += first_flag(flags)
        if data[i] != 9:
            return i
        i += 1
    while i < size and VALUE[data[i]]:
        i += 1
    return i


def _plain_connection(value: bytes) -> bool:
    return value == b"keep-alive" or value == b"close" or value == b"Upgrade" or value == b"Keep-Alive"


def _cut_lines(headers: Headers, names: set[bytes]) -> None:
    """Cut the lines with these lower-case names as well."""
    raw = headers.raw
    spans: dict[int, int] = {}
    cuts = headers.cuts
    if headers.cut_end > 0:
        spans[headers.cut_at] = headers.cut_end
    if cuts is not None:
        spans.update({cuts[i]: cuts[i + 1] for i in range(0, len(cuts), 2)})
    start = 0
    while start < len(raw):
        end = raw.index(b"\n", start) + 1
        if raw[start : raw.index(b":", start)].translate(LOWER) in names:
            spans[start] = max(end, spans.get(start, 0))
        start = end
    merged: list[int] = []
    for start in sorted(spans):
        if not merged or start >= merged[-1]:
            merged.append(start)
            merged.append(spans[start])
    headers.cut_at, headers.cut_end = merged[0], merged[1]
    headers.cuts = merged[2:] or None
