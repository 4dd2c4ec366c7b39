"""Request heads: bytes -> ``Request`` (RFC 9112 sections 2, 3, 6). Ambiguity is refused, each with its own cause."""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_le, read_i32_le, read_i64_le
from mypy_extensions import i64, mypyc_attr

from edgerouter.errors import BadRequest, EdgeError, HeadTooLarge, NotImplementedMethod, UnsupportedVersion
from edgerouter.http.body import Body
from edgerouter.http.headers import Headers
from edgerouter.http.lines import first_flag
from edgerouter.http.message import Request
from edgerouter.wire.http1_base import CHUNKED, LENGTH, LOWER, NONE, TOKEN, Limits
from edgerouter.wire.http1_fields import FieldScanner
from edgerouter.wire.http1_hosts import authority_at
from edgerouter.wire.http1_target import PLAIN, QUESTION, SLASH, SPECIAL, TARGET, normalize_path, split_absolute

MAX_EMPTY_LINES: Final = 8  # RFC 9112 section 2.2 asks for at least one

_METHODS: Final[dict[bytes, str]] = {
    name.encode(): name
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "REPORT")
}
_CODINGS: Final = frozenset([b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress", b"chunked"])


@mypyc_attr(free_list_len=1)
class ParsedRequest(Request):
    """A request that remembers how its head began, so that the encoder can send those bytes again.

    ``line`` is request line and Host line as they came, empty where they cannot be sent so; it holds while the path is
    the one that was parsed (what a step has put on another may have taken off), and method, query and authority are the
    very objects.
    """

    def __init__(self, method: str, target: bytes, headers: Headers, version: int) -> None:
        super().__init__(method, target, "", headers, version)
        self.line = b""
        self._query_at: i64 = 0  # where the query stands in ``line``, until somebody reads it; 0: it is in ``_query``
        self._query_end: i64 = 0
        self._target_at: i64 = 0  # the same of the target
        self._target_end: i64 = 0
        self.line_method = method
        self.line_query = ""
        self.line_authority = ""

    @property
    def target(self) -> bytes:
        """See ``Request``; hardly anybody asks, so it is cut out of ``line`` then."""
        if self._target_at > 0:
            self._target = self.line[self._target_at : self._target_end]
            self._target_at = 0
        return self._target

    @property
    def query(self) -> str:
        """See ``Request``; where no rule, step or log asks for it, it is passed on without being read."""
        if self._query_at > 0:
            self._query = self.line[self._query_at : self._query_end].decode("ascii")
            self.line_query = self._query
            self._query_at = 0
        return self._query

    @query.setter
    def query(self, text: str) -> None:
        self._query = text
        self._query_at = 0

    def leave_target(self, start: i64, end: i64) -> None:
        """The target stands there in ``line``."""
        self._target_at, self._target_end = start, end

    def leave_query(self, start: i64, end: i64) -> None:
        """The query, which holds no semicolon, stands there in ``line``."""
        self._query_at, self._query_end = start, end

    def has_semicolon(self) -> bool:
        """See ``Request``."""
        return self._query_at == 0 and ";" in self._query

    def unchanged(self) -> bool:
        """True while ``line`` says what the attributes say."""
        return (
            (self.path is self.line_path or self.path == self.line_path)
            and self.authority is self.line_authority
            and self.method is self.line_method
            and (self._query_at > 0 or self._query is self.line_query)
            and self.has_query == (self._query_at > 0 or bool(self._query))
        )


class RequestParser(FieldScanner):
    """Parses one head after the other of one connection; ``scheme`` is what every request of it gets.

    After a Request: ``consumed`` bytes of the data were the head, ``framing`` and ``length`` say how its body is
    framed, ``keep_alive`` whether the client wants the connection to go on. After an error the connection must close.
    """

    def __init__(self, limits: Limits, scheme: str = "http") -> None:
        super().__init__(limits)
        self.scheme = scheme
        self.consumed = 0
        self.framing = NONE
        self.length = 0
        self.keep_alive = True
        self._method = ""
        self._target = b""
        self._path_end: i64 = 0  # where the path ends in the data, and the target does
        self._line_at: i64 = 0
        self._target_at: i64 = 0
        self._target_end: i64 = 0
        self._plain = True  # the path needs no normalisation
        self._semicolons = False  # the query holds some
        self._whole = False  # request line and Host line can be sent as they came
        self._version = 11

    def refusal(self, why: str, message: str) -> EdgeError:
        """400 with cause ``BAD_REQUEST_<why>``."""
        return BadRequest(message, cause=f"BAD_REQUEST_{why}")

    def overflow(self, message: str) -> EdgeError:
        """431."""
        return HeadTooLarge(message)

    def parse(self, data: bytes) -> Request | None:
        """``data`` is everything received and not consumed, from the start of a head; None: more is needed.

        Raises BadRequest, HeadTooLarge or NotImplementedMethod. Bytes behind the head are not looked at.
        """
        if self._dripping(data) or not (self._started or self._start(data)) or not self._scan_fields(data):
            self._wait(data)
            return None
        if self._at > self.limits.max_head_bytes:
            raise self.overflow(f"head longer than {self.limits.max_head_bytes} bytes")
        request = self._finish(data)
        self.consumed = self._at
        self._restart()
        return request

    # -- the request line ---------------------------------------------------------------------------------------

    def _start(self, data: bytes) -> bool:
        """Read the request line; False when it is not complete."""
        size: i64 = len(data)
        at: i64 = 0
        while at < size and data[at] == 13:  # empty lines before the head
            if at + 1 >= size:
                return False
            if data[at + 1] != 10:
                raise self.refusal("BARE_CR", "a CR without LF before the request line")
            at += 2
            if at > 2 * MAX_EMPTY_LINES:
                raise self.refusal("EMPTY_LINES", "too many empty lines before the request line")
        self._line_at = at
        start: i64 = at + 4
        if start <= size and read_i32_le(data, at) == 0x20544547:  # "GET "
            self._method = "GET"
        else:
            start = self._read_method(data, at)
        self._target_at = start
        end = self._scan_target(data, start) if start > 0 else start
        return end > 0 and self._read_version(data, end)

    def _read_method(self, data: bytes, at: i64) -> i64:
        """Return where the target begins; 0 when the method is not complete."""
        size: i64 = len(data)
        i: i64 = at
        token = TOKEN
        while i < size and token[data[i]]:
            i += 1
        if i >= size:
            return 0
        if data[i] != 32 or i == at:
            raise self._bad_method(data, at, i)
        name = data[at:i]
        method = _METHODS.get(name)
        self._method = name.decode("latin-1") if method is None else method
        return i + 1

    def _bad_method(self, data: bytes, at: i64, i: i64) -> EdgeError:
        byte = data[i]
        if byte == 10:
            return self.refusal("BARE_LF", "a line ends in LF without CR")
        if byte == 22 and i == at:
            return self.refusal("TLS", "a TLS handshake was sent to a port without TLS")
        if byte == 13:
            return self.refusal("REQUEST_LINE", "the request line has no target")
        return self.refusal("METHOD", f"byte 0x{byte:02x} in the method")

    def _scan_target(self, data: bytes, start: i64) -> i64:
        """Find the end of the target and of its path; 0 when it is not there yet."""
        table = TARGET
        size: i64 = len(data)
        i: i64 = start
        plain = True
        kind: i64 = 0
        while i < size:
            kind = table[data[i]]
            if kind != PLAIN:
                if kind == SLASH:
                    if i + 1 < size and (data[i + 1] == 47 or data[i + 1] == 46):
                        plain = False
                elif kind == SPECIAL:
                    plain = False
                else:
                    break
            i = _skip_plain(data, i + 1)
        self._plain = plain
        self._path_end = i
        self._semicolons = False
        if kind == QUESTION:
            i = _query_end(data, i)
            while i < size and data[i] == 59:
                self._semicolons = True
                i = _query_end(data, i + 1)
        self._target_end = i
        if i >= size:
            return 0
        if data[i] != 32 or i == start:
            raise self._bad_target(data, start, i)
        return i

    def _bad_target(self, data: bytes, start: i64, i: i64) -> EdgeError:
        byte = data[i]
        if byte == 10:
            return self.refusal("BARE_LF", "a line ends in LF without CR")
        if byte == 13:
            return self.refusal("VERSION", "a request line without version (HTTP/0.9)")
        if byte == 35:
            return self.refusal("FRAGMENT", "a fragment (#) in the request target")
        if i == start:
            return self.refusal("REQUEST_LINE", "more than one space, or a control byte, behind the method")
        return self.refusal("TARGET", f"byte 0x{byte:02x} in the request target")

    def _read_version(self, data: bytes, end: i64) -> bool:
        """``end`` is the space behind the target."""
        if end + 11 <= len(data) and _is_http_1_1(data, end + 1):
            self._version = 11
            self._begin_fields(end + 11)
            return True
        version = data[end + 1 : end + 11]
        if version == b"HTTP/1.1\r\n":
            self._version = 11
        elif version == b"HTTP/1.0\r\n":
            self._version = 10
        elif b"HTTP/1.1\r\n".startswith(version) or b"HTTP/1.0\r\n".startswith(version):
            return False
        else:
            raise self._bad_version(version)
        self._begin_fields(end + 11)
        return True

    def _bad_version(self, version: bytes) -> EdgeError:
        if version[:5] == b"HTTP/" and version[5:6].isdigit():
            if version[6:7] != b"." or version[7:8] not in (b"", b"0", b"1") or version[5:6] != b"1":
                return UnsupportedVersion("only HTTP/1.0 and HTTP/1.1 are spoken here")
            if version[8:9] == b"\n":
                return self.refusal("BARE_LF", "a line ends in LF without CR")
        return self.refusal("REQUEST_LINE", "the request line does not end in HTTP/1.1 and CRLF")

    # -- the whole ----------------------------------------------------------------------------------------------

    def _finish(self, data: bytes) -> Request:
        """The head is complete: judge framing, target and host.

        An upgrade is not offered with a body (RFC 9110 section 7.8 lets it be ignored): some servers take the body for
        what the new protocol begins with.
        """
        version = self._version
        self._judge_framing(version)
        self.keep_alive = self._keeps_alive(version)
        origin_form = data[self._target_at] == 47
        self._whole = origin_form and self._plain and version >= 11 and self._host_line == self._fields_at
        target = b"" if self._whole else data[self._target_at : self._target_end]
        request = ParsedRequest(self._method, target, self._headers(data), version)
        request.scheme = self.scheme
        self._give_target(request, data, origin_form)
        request.managed = self._managed
        if len(self._expect) > 0:
            self._give_expect(request)
        if len(self._te) > 0:
            request.te_trailers = b"trailers" in _tokens(self._te)
        if self.framing != NONE:
            request.body = Body(self.length)
        elif len(self._upgrade) > 0 and version == 11 and self._names_upgrade():
            request.upgrade = _upgrade_token(self._upgrade)
        return request

    def _judge_framing(self, version: int) -> None:
        """RFC 9112 section 6.3, with nothing left to guess."""
        coding = self._coding
        if coding is None:
            length = self._length
            self.framing = LENGTH if length > 0 else NONE
            self.length = length if length > 0 else 0
            return
        if self._length >= 0:
            raise self.refusal("LENGTH_AND_CODING", "both Content-Length and Transfer-Encoding")
        if version < 11:
            raise self.refusal("CODING_IN_1_0", "Transfer-Encoding in an HTTP/1.0 request")
        if coding != b"chunked" and coding.translate(LOWER) != b"chunked":
            codings = _tokens(coding)
            if codings[-1] == b"chunked" and codings.count(b"chunked") == 1 and _CODINGS.issuperset(codings):
                raise NotImplementedMethod("a transfer coding besides chunked", cause="NOT_IMPLEMENTED_CODING")
            raise self.refusal("TRANSFER_ENCODING", "Transfer-Encoding is not exactly 'chunked'")
        self.framing = CHUNKED
        self.length = -1

    def _keep_line(self, request: ParsedRequest, data: bytes) -> None:
        """Host is the first field: request line and Host line are one slice that can be sent as it is."""
        request.line = data[self._line_at : self._host_stop]
        request.leave_target(self._target_at - self._line_at, self._target_end - self._line_at)
        request.line_path = request.path
        request.line_query = request.query
        request.line_authority = request.authority

    def _give_target(self, request: ParsedRequest, data: bytes, origin_form: bool) -> None:
        """Set path, query, authority and host."""
        method = request.method
        if method == "CONNECT":
            raise NotImplementedMethod("the method CONNECT", cause="NOT_IMPLEMENTED_CONNECT")
        if self._host_at >= 0:
            self._give_host(request, data, self._host_at, self._host_end)
        elif self._version >= 11:
            raise self.refusal("NO_HOST", "an HTTP/1.1 request without Host")
        if not origin_form:  # Host was checked, though the target's authority replaces it
            request.headers.shown_host = -1
            self._other_target(request)
            return
        self._give_path(request, data)
        if self._host_line == self._fields_at:
            self._show_host(request, data)

    def _show_host(self, request: ParsedRequest, data: bytes) -> None:
        """Host came first: it is no part of the block of fields."""
        headers = request.headers
        if len(request.line) > 0:
            headers.host_block = request.line
            headers.shown_host = self._host_line - self._line_at
        else:
            headers.host_block = data[self._host_line : self._host_stop]
            headers.shown_host = 0

    def _give_path(self, request: ParsedRequest, data: bytes) -> None:
        path = data[self._target_at : self._path_end]
        start, end = self._path_end + 1, self._target_end
        request.has_query = start <= end
        request.path = path.decode("ascii") if self._plain else self._normalized(path)
        if self._whole and not self._semicolons and start < end:
            self._keep_line(request, data)
            request.leave_query(start - self._line_at, end - self._line_at)
            return
        if request.has_query:
            request.query = data[start:end].decode("ascii")
        if self._whole:
            self._keep_line(request, data)

    def _other_target(self, request: Request) -> None:
        """Asterisk form and absolute form (RFC 9112 sections 3.2.2 and 3.2.4)."""
        target = request.target
        if target == b"*":
            if request.method != "OPTIONS":
                raise self.refusal("ASTERISK", "the target * in a request other than OPTIONS")
            request.path = "*"
            return
        try:
            authority, rest = split_absolute(target)
        except ValueError as error:
            raise self.refusal("TARGET", str(error)) from error
        self._give_host(request, authority, 0, len(authority))
        path, mark, query = rest.partition(b"?")
        request.path = self._normalized(path)
        request.has_query = bool(mark)
        request.query = query.decode("latin-1")
        if request.method == "OPTIONS" and rest == b"/" and target[-1:] != b"/":
            request.path = "*"

    def _normalized(self, path: bytes) -> str:
        try:
            return normalize_path(path, self.limits.sanitize_path)
        except ValueError as error:
            raise self.refusal("ESCAPE", str(error)) from error

    def _give_host(self, request: Request, data: bytes, at: i64, end: i64) -> None:
        try:
            known = authority_at(data, at, end)
        except ValueError as error:
            raise self.refusal("HOST", str(error)) from error
        request.authority, request.host, request.named = known.text, known.host, known

    def _give_expect(self, request: Request) -> None:
        """RFC 9110 section 10.1.1; a 1.0 client's expectation is ignored."""
        if self._version < 11:
            return
        if self._expect.translate(LOWER) != b"100-continue":
            raise NotImplementedMethod("an expectation besides 100-continue", cause="NOT_IMPLEMENTED_EXPECTATION")
        request.expect_continue = True


def _is_http_1_1(data: bytes, at: i64) -> bool:
    """True for ``HTTP/1.1`` and CRLF; ten bytes are there."""
    return read_i64_le(data, at) == 0x312E312F50545448 and read_i16_le(data, at + 8) == 0x0A0D


def _skip_plain(data: bytes, i: i64) -> i64:
    """Pass over letters, digits, ``-``, ``.``, ``:`` and ``;``, eight bytes in one; up to seven at the data's end may
    be left. ``flags`` has the high bit of each other byte (see ``http1_fields``)."""
    words: i64 = len(data) - 8
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
        flags &= ~(low + ones * 83) | (low + ones * 68)  # below "-", or behind ";"
        flags = (flags | ~((low ^ ones * 47) + sevens) | word) & high  # or "/", or no ASCII
        if flags != 0:
            return i + first_flag(flags)
        i += 8
    return i


def _query_end(data: bytes, i: i64) -> i64:
    """The first byte from ``i`` on that is ``;`` or may not stand in a query; the data's size when there is none.
    ``flags`` has the high bit of each that is so: a space, a control byte, ``#`` or no ASCII."""
    size: i64 = len(data)
    words: i64 = size - 8
    word: i64 = 0
    low: i64 = 0
    flags: i64 = 0
    ones: i64 = 0x01010101
    ones |= ones << 32
    high: i64 = ones << 7
    sevens: i64 = ones * 127
    while i <= words:
        word = read_i64_le(data, i)
        low = word & sevens
        flags = ~(low + ones * 95) | (low + ones) | ~((low ^ ones * 35) + sevens) | ~((low ^ ones * 59) + sevens)
        flags = (flags | word) & high
        if flags != 0:
            return i + first_flag(flags)
        i += 8
    while i < size and TARGET[data[i]] and data[i] != 59:
        i += 1
    return i


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t") for token in value.translate(LOWER).split(b",")]


def _upgrade_token(value: bytes) -> str:
    """The first protocol that can be tunnelled: h2c and TLS would change what the router itself speaks."""
    for token in _tokens(value):
        name = token.partition(b"/")[0]
        if name in (b"h2c", b"h2", b"http", b"tls", b""):
            continue
        for c in token:
            if not TOKEN[c] and c != 47:
                return ""
        return token.decode("latin-1")
    return ""
