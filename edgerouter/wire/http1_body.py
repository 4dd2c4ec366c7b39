"""Takes the framing off bodies: bytes -> payload. RFC 9112 sections 6 and 7."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from edgerouter.errors import BadRequest, BadResponse, ClientGone, EdgeError, UpstreamReset
from edgerouter.http.body import Body
from edgerouter.http.headers import Headers
from edgerouter.wire.http1_base import CHUNKED, LENGTH, LOWER, NONE, TOKEN, UNTIL_CLOSE, Limits
from edgerouter.wire.http1_fields import ORDINARY, FieldScanner, kind_of

_SIZE: Final = 0  # digits of a chunk's size
_EXTENSION: Final = 1
_SIZE_LF: Final = 2
_DATA: Final = 3
_DATA_CR: Final = 4
_DATA_LF: Final = 5
_TRAILERS: Final = 6

MAX_DIGITS: Final = 16
_LARGEST: Final = 0x07FF_FFFF_FFFF_FFFF  # one more digit still fits a signed 64-bit number

_NO_DIGIT: Final = 255
_DIGITS: Final = bytes(int(chr(c), 16) if c in b"0123456789abcdefABCDEF" else _NO_DIGIT for c in range(256))

# RFC 9110 section 6.5.1: what frames, routes, authenticates or says how to read the content must not come behind it.
_FORBIDDEN: Final = frozenset(
    [
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"max-forwards",
        b"proxy-authenticate",
        b"set-cookie",
        b"trailer",
        b"www-authenticate",
    ]
)


# Chunk extensions (RFC 9112 section 7.1.1) as a table: state and class of a byte -> next state. White space, which the
# RFC calls bad and asks to accept, is refused: smuggling lives on what parsers make of it.
_EXT_CLASSES: Final = bytes(
    0 if TOKEN[c] else {61: 1, 59: 2, 34: 3, 92: 4, 13: 6}.get(c, 5 if c == 9 or 32 <= c < 127 else 7)
    for c in range(256)
)
_EXT_END: Final = 7
_EXT_BAD: Final = 8
_EXT_NEXT: Final = bytes(
    [
        # token = ; " \\ other CR bad
        *(1, 8, 8, 8, 8, 8, 8, 8),  # 0: a name must begin
        *(1, 2, 0, 8, 8, 8, 7, 8),  # 1: in a name
        *(3, 8, 8, 4, 8, 8, 8, 8),  # 2: a value must begin
        *(3, 8, 0, 8, 8, 8, 7, 8),  # 3: in a value
        *(4, 4, 4, 6, 5, 4, 8, 8),  # 4: in quotes
        *(4, 4, 4, 4, 4, 4, 8, 8),  # 5: behind a backslash
        *(8, 8, 0, 8, 8, 8, 7, 8),  # 6: behind quotes
    ]
)


def _error(response: bool, why: str, message: str) -> EdgeError:
    if response:
        return BadResponse(message, cause=f"BAD_RESPONSE_{why}")
    return BadRequest(message, cause=f"BAD_REQUEST_{why}")


class TrailerScanner(FieldScanner):
    """Reads a trailer section: the lines and the empty line behind the last chunk."""

    def __init__(self, limits: Limits, response: bool) -> None:
        super().__init__(limits)
        self._response = response
        self._held = b""

    def refusal(self, why: str, message: str) -> EdgeError:
        """A malformed trailer section."""
        return _error(self._response, "TRAILER", message)

    def overflow(self, message: str) -> EdgeError:
        """A trailer section beyond the limits."""
        return _error(self._response, "TRAILER", f"trailer section: {message}")

    def feed(self, data: bytes, start: int) -> int:
        """Take what belongs to the section; index of the first byte behind it, or -1 when more is needed."""
        before = len(self._held)
        held = self._held + data[start:] if before else data[start:]
        room = self.limits.max_trailer_bytes
        if len(held) > room:
            held = held[: room + 1]
        self._held = held
        if self._dripping(held) or not self._scan_fields(held):
            if len(held) > room:
                raise self.overflow(f"longer than {room} bytes")
            self._seen = len(held)
            return -1
        if self._at > room:
            raise self.overflow(f"longer than {room} bytes")
        return start + self._at - before

    def trailers(self) -> Headers | None:
        """The fields that may stand in a trailer section, None when there is none.

        Raises for Content-Length and Transfer-Encoding: who sends those here means to frame something with them.
        """
        if self._coding is not None or self._length >= 0:
            raise self.refusal("TRAILER", "a trailer section frames a message")
        raw = self._held[: self._at - 2]
        cuts: list[int] = []
        start = 0
        while start < len(raw):
            end = raw.index(b"\n", start) + 1
            name = raw[start : raw.index(b":", start)].translate(LOWER)
            if kind_of(name) != ORDINARY or name in _FORBIDDEN:
                cuts.append(start)
                cuts.append(end)
            start = end
        headers = Headers(raw, cuts)
        return headers if headers.items() else None


class BodyReader:
    """Takes the framing off one body, as parsers said it is; ``response`` says whose fault an error is.

    Payload that arrives in one piece is passed on in one piece, whatever chunks it was cut into.
    """

    def __init__(self, framing: int, length: int, response: bool, limits: Limits) -> None:
        self.done = framing == NONE
        self._framing = framing
        self._left: i64 = length if framing == LENGTH else 0  # payload bytes to come: of the body, or of the chunk
        self._response = response
        self._limits = limits
        self._state: i64 = _SIZE
        self._digits: i64 = 0
        self._extension: i64 = 0  # state within the extensions of a chunk
        self._credit: i64 = limits.max_extension_bytes
        self._scanner: TrailerScanner | None = None
        self._trailers: Headers | None = None

    def feed(self, data: bytes, start: int, body: Body) -> int:
        """Feed ``body`` from ``data[start:]`` and finish it at its end; index of the first byte that is not its.

        Raises BadRequest, or BadResponse where it is a response's body.
        """
        if self.done:
            return start
        framing = self._framing
        if framing == CHUNKED:
            return self._feed_chunked(data, start, body)
        size: i64 = len(data)
        if framing == UNTIL_CLOSE:
            if start < size:
                body.feed(data[start:] if start else data)
            return size
        end: i64 = start + self._left
        if end > size:
            end = size
        taken: i64 = end - start
        self._left -= taken
        self.done = self._left == 0
        if taken:
            body.feed(data if taken == size else data[start:end])
        if self.done:
            body.finish(None)
        return end

    def eof(self, body: Body) -> None:
        """The connection ended: finish the body where that is its end; else UpstreamReset or ClientGone."""
        if self.done:
            return
        if self._framing == UNTIL_CLOSE:
            self.done = True
            body.finish(None)
        elif self._response:
            raise UpstreamReset("the connection ended in the middle of the response's body")
        else:
            raise ClientGone("the connection ended in the middle of the request's body")

    # -- chunked ------------------------------------------------------------------------------------------------

    def _feed_chunked(self, data: bytes, start: int, body: Body) -> int:
        pieces: list[bytes] = []
        try:
            at = self._read_chunks(data, start, pieces)
        finally:
            if pieces:
                body.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self.done:
            body.finish(self._trailers)
        return at

    def _read_chunks(self, data: bytes, start: i64, pieces: list[bytes]) -> i64:
        """Walk over chunks; payload goes to ``pieces``."""
        size: i64 = len(data)
        at: i64 = start
        end: i64 = 0
        while at < size:
            if self._state == _DATA:
                end = size
                if self._left < size - at:  # not at + left: that may pass 63 bits
                    end = at + self._left
                pieces.append(data[at:end])
                self._credit += end - at
                self._left -= end - at
                at = end
                if self._left == 0:
                    self._state = _DATA_CR
            elif self._state == _TRAILERS:
                return self._read_trailers(data, at)
            elif self._state == _SIZE:
                at = self._read_size(data, at)
            elif self._state == _EXTENSION:
                at = self._read_extension(data, at)
            else:
                at = self._read_line_end(data, at)
        return at

    def _read_size(self, data: bytes, at: i64) -> i64:
        """Read the hexadecimal digits of a chunk's size."""
        table = _DIGITS
        size: i64 = len(data)
        left: i64 = self._left
        digits: i64 = self._digits
        digit: i64 = 0
        while at < size:
            digit = table[data[at]]
            if digit == _NO_DIGIT:
                break
            if left > _LARGEST or digits >= MAX_DIGITS:
                raise self._bad("CHUNK_SIZE", "a chunk size beyond all bounds")
            left = left * 16 + digit
            digits += 1
            at += 1
        self._left = left
        self._digits = digits
        if at < size:
            if not digits:
                raise self._bad("CHUNK_SIZE", "a chunk size is not hexadecimal")
            self._end_of_size(data[at])
            at += 1
        return at

    def _end_of_size(self, byte: int) -> None:
        if byte == 13:
            self._state = _SIZE_LF
        elif byte == 59:
            self._state = _EXTENSION
            self._extension = 0
        elif byte == 10:
            raise self._bad("CHUNK_BARE_LF", "a chunk's line ends in LF without CR")
        else:
            raise self._bad("CHUNK_SIZE", f"byte 0x{byte:02x} in a chunk size")

    def _read_extension(self, data: bytes, at: i64) -> i64:
        """Skip chunk extensions; nobody may make more of them than of payload (CVE-2023-39326)."""
        classes = _EXT_CLASSES
        table = _EXT_NEXT
        size: i64 = len(data)
        start = at
        state = self._extension
        while at < size and state < _EXT_END:
            state = table[(state << 3) | classes[data[at]]]
            at += 1
        self._extension = state
        self._credit -= at - start
        if self._credit < 0:
            raise self._bad("CHUNK_EXTENSION", "more chunk extensions than payload")
        if state == _EXT_BAD:
            if data[at - 1] == 10:
                raise self._bad("CHUNK_BARE_LF", "a chunk's line ends in LF without CR")
            raise self._bad("CHUNK_EXTENSION", f"byte 0x{data[at - 1]:02x} in a chunk extension")
        if state == _EXT_END:
            self._state = _SIZE_LF
        return at

    def _read_line_end(self, data: bytes, at: i64) -> i64:
        """Read the LF behind a size, or CR and LF behind a chunk's payload."""
        byte = data[at]
        state = self._state
        if byte != (13 if state == _DATA_CR else 10):
            if state == _SIZE_LF:
                raise self._bad("CHUNK_SIZE", "a CR without LF behind a chunk size")
            raise self._bad("CHUNK_END", "a chunk is longer than its size says")
        if state == _DATA_CR:
            self._state = _DATA_LF
        elif state == _DATA_LF:
            self._state = _SIZE
            self._digits = 0
        else:
            self._state = _DATA if self._left else _TRAILERS
        return at + 1

    def _read_trailers(self, data: bytes, at: i64) -> i64:
        size: i64 = len(data)
        scanner = self._scanner
        if scanner is None:
            if at + 1 < size and data[at] == 13 and data[at + 1] == 10:
                self.done = True
                return at + 2
            scanner = TrailerScanner(self._limits, self._response)
            self._scanner = scanner
        end = scanner.feed(data, at)
        if end < 0:
            return size
        self._trailers = scanner.trailers()
        self.done = True
        return end

    def _bad(self, why: str, message: str) -> EdgeError:
        return _error(self._response, why, message)
