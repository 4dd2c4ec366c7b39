"""Response heads: bytes -> ``Response``. RFC 9112 sections 4 and 6; a server that is ambiguous is not believed."""

from __future__ import annotations

from mypy_extensions import i64

from edgerouter.errors import BadResponse, EdgeError
from edgerouter.http.body import Body
from edgerouter.http.message import Response
from edgerouter.wire.http1_base import CHUNKED, LENGTH, LOWER, NONE, UNTIL_CLOSE, VALUE, Limits
from edgerouter.wire.http1_fields import FieldScanner
from edgerouter.wire.http1_known import OK_SIZE, is_ok
from edgerouter.wire.http1_reasons import STATUS_LINES


class ResponseParser(FieldScanner):
    """Parses one head after the other of one connection to a server; attributes as of ``RequestParser``.

    ``length`` is that of the body that follows, -1 where unknown. ``keep_alive`` is False too where the end of the
    body cannot be trusted to be the end of the response.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.consumed = 0
        self.framing = NONE
        self.length = 0
        self.keep_alive = True
        self._version = 11
        self._status = 0
        self._reason = b""

    def refusal(self, why: str, message: str) -> EdgeError:
        """502 with cause ``BAD_RESPONSE_<why>``."""
        return BadResponse(message, cause=f"BAD_RESPONSE_{why}")

    def overflow(self, message: str) -> EdgeError:
        """502: the server's head is beyond the limits."""
        return BadResponse(message, cause="BAD_RESPONSE_HEAD_TOO_LARGE")

    def parse(self, data: bytes, method: str) -> Response | None:
        """``data`` is everything received and not consumed, from the start of a head; None: more is needed.

        ``method`` is that of the request. Raises BadResponse. Bytes behind the head are not looked at.
        """
        if self._dripping(data) or not (self._started or self._start(data)) or not self._scan_fields(data):
            self._wait(data)
            return None
        if self._at > self.limits.max_head_bytes:
            raise self.overflow(f"head longer than {self.limits.max_head_bytes} bytes")
        response = self._finish(data, method)
        self.consumed = self._at
        self._restart()
        return response

    # -- the status line ----------------------------------------------------------------------------------------

    def _start(self, data: bytes) -> bool:
        """Read the status line; False when it is not complete."""
        if is_ok(data):
            self._status = 200
            self._version = 11
            self._reason = b""
            self._begin_fields(OK_SIZE)
            return True
        size: i64 = len(data)
        i: i64 = 12
        if size > i:
            self._read_status(data)
        valid = VALUE
        while i < size and valid[data[i]]:
            i += 1
        if i + 1 >= size:
            if size <= 12 and not _may_begin(data):
                raise self.refusal("STATUS_LINE", "the answer does not begin with HTTP/1.1 or HTTP/1.0")
            return False
        if data[i] != 13 or data[i + 1] != 10:
            if data[i] == 10:
                raise self.refusal("BARE_LF", "a line ends in LF without CR")
            raise self.refusal("STATUS_LINE", "a control byte in the status line")
        usual = data[: i + 2] == STATUS_LINES[self._status]
        self._reason = b"" if usual or i <= 13 else data[13:i]  # compiled, a slice that ends before it begins raises
        self._begin_fields(i + 2)
        return True

    def _read_status(self, data: bytes) -> None:
        version = data[:9]
        if version == b"HTTP/1.1 ":
            self._version = 11
        elif version == b"HTTP/1.0 ":
            self._version = 10
        else:
            raise self.refusal("STATUS_LINE", "the answer does not begin with HTTP/1.1 or HTTP/1.0")
        first: i64 = data[9] - 48
        second: i64 = data[10] - 48
        third: i64 = data[11] - 48
        good = first >= 1 and first <= 9 and second >= 0 and second <= 9 and third >= 0 and third <= 9
        if not good or (data[12] != 32 and data[12] != 13):
            raise self.refusal("STATUS", "the status is not three digits from 100 to 999")
        self._status = first * 100 + second * 10 + third

    # -- the whole ----------------------------------------------------------------------------------------------

    def _finish(self, data: bytes, method: str) -> Response:
        status = self._status
        self.keep_alive = self._keeps_alive(self._version)
        self._judge_framing(status, method)
        headers = self._headers(data)
        body: Body | None = None
        if self.framing != NONE:
            body = Body(self.length)
        response = Response(status, headers, body, self._reason)
        response.version = self._version
        response.content_length = self._length
        if status == 101:
            response.upgrade = self._upgrade.translate(LOWER).decode("latin-1")
        return response

    def _judge_framing(self, status: int, method: str) -> None:
        """RFC 9112 section 6.3."""
        coding = self._coding
        if coding is not None:
            self._judge_coding(coding)
        if method == "HEAD" or status == 304:
            self._frame(NONE, self._length)
        elif status < 200 or status == 204:
            # A length or coding here is forbidden (RFC 9110 section 8.6): what follows cannot be trusted.
            if coding is not None or self._length > 0:
                self.keep_alive = False
            self._frame(NONE, 0)
        elif coding is not None:
            self._frame(CHUNKED, -1)
        elif self._length == 0:
            self._frame(NONE, 0)
        elif self._length > 0:
            self._frame(LENGTH, self._length)
        else:
            self.keep_alive = False
            self._frame(UNTIL_CLOSE, -1)

    def _judge_coding(self, coding: bytes) -> None:
        if self._length >= 0:
            raise self.refusal("LENGTH_AND_CODING", "both Content-Length and Transfer-Encoding")
        if self._version < 11:
            raise self.refusal("CODING_IN_1_0", "Transfer-Encoding in an HTTP/1.0 response")
        if coding.translate(LOWER) != b"chunked":
            raise self.refusal("TRANSFER_ENCODING", "Transfer-Encoding is not exactly 'chunked'")

    def _frame(self, framing: int, length: int) -> None:
        self.framing = framing
        self.length = length


def _may_begin(data: bytes) -> bool:
    start = data[:9]
    return b"HTTP/1.1 ".startswith(start) or b"HTTP/1.0 ".startswith(start)
