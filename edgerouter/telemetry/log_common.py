"""The access log's forms ``common`` and ``genericCLF``: bytes joined from what was escaped before, most of it once.

Router names, addresses and methods repeat, so what escaping made of them is kept; a second has one stamp. Compiled. No
I/O and no decision about which exchanges are logged.
"""

from __future__ import annotations

import time
from typing import Final

from librt.strings import BytesWriter, read_i64_le
from mypy_extensions import i64

from edgerouter.config.static import AccessLogFields
from edgerouter.http.exchange import Exchange
from edgerouter.telemetry.log_lines import DROP, KEEP, HeaderModes, LineFormat, client_host, escape, request_path

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PROTOCOLS: Final[dict[int, bytes]] = {10: b"HTTP/1.0", 11: b"HTTP/1.1", 20: b"HTTP/2.0", 30: b"HTTP/3.0"}
_ABSENT: Final = b"-"
_MOST_KNOWN: Final = 4096  # texts that are kept escaped; the client chooses some of them
_PLAIN: Final = bytes(1 if 32 <= c <= 126 and c not in b'"\\' else 0 for c in range(256))  # stands in quotes as it is
_SHORT: Final = [b"%d" % number for number in range(1000)]
_PADDED: Final = [b"%03d" % number for number in range(1000)]
_SPENT: Final = [b"%dms\n" % number for number in range(1000)]


def write_number(out: BytesWriter, number: i64) -> None:
    """The number in decimal digits."""
    if number < 0:
        out.write(_ABSENT)
        number = -number
    if number < 1000:
        out.write(_SHORT[number])
    else:
        write_number(out, number // 1000)
        out.write(_PADDED[number % 1000])


def is_plain(data: bytes) -> bool:
    """True for bytes that may stand between quotation marks as they are.

    Eight are looked at in one, the last eight perhaps twice: each term of ``odd`` sets the high bit of the first byte
    that is none of 0 to 127, 127, less than a space, a quotation mark, a backslash; and perhaps of later ones.
    """
    last: i64 = len(data) - 8
    if last < 0:
        return _is_plain_each(data)
    ones: i64 = 0x01010101
    ones |= ones << 32
    at: i64 = 0
    word: i64 = 0
    odd: i64 = 0
    while True:
        word = read_i64_le(data, at)
        odd = word | (word + ones) | (word - ones * 32) | ((word ^ (ones * 34)) - ones) | ((word ^ (ones * 92)) - ones)
        if odd & (ones << 7) != 0:
            return False
        if at == last:
            return True
        at = at + 8 if at + 8 < last else last


def _is_plain_each(data: bytes) -> bool:
    size: i64 = len(data)
    i: i64 = 0
    while i < size and _PLAIN[data[i]]:
        i += 1
    return i == size


class Escaped:
    """Texts as they stand in a line, kept for the next line; ``-`` for none."""

    def __init__(self, spaces: bool, before: bytes = b"", after: bytes = b"") -> None:
        self._spaces = spaces
        self._before = before  # what stands around each in the line
        self._after = after
        self._none = before + _ABSENT + after
        self._known: dict[str, bytes] = {"": self._none}
        self._text = ""  # the last that was asked for: often it is the next one too
        self._line = self._none

    def of(self, text: str) -> bytes:
        """See ``escape``."""
        if text == self._text:
            return self._line
        known = self._known.get(text)
        if known is None:
            known = self._before + escape(text, self._spaces).encode("ascii") + self._after
            if len(self._known) >= _MOST_KNOWN:
                self._known = {"": self._none}
            self._known[text] = known
        self._text, self._line = text, known
        return known


class CommonFormat(LineFormat):
    """``common`` and, with ``generic``, ``genericCLF``, which ends after the user agent (Traefik accessLog.format)."""

    def __init__(self, fields: AccessLogFields, generic: bool) -> None:
        super().__init__()
        self._generic = generic
        self._headers = HeaderModes(fields)
        self._query_mode = str(fields.query_parameters.default_mode)
        self._whole_path = self._query_mode == KEEP
        modes = {name.lower(): str(mode) for name, mode in fields.names.items()}
        default = str(fields.default_mode)
        every = default == KEEP and DROP not in modes.values()
        kept = {name for name in _NAMES if every or modes.get(name.lower(), default) == KEEP}
        self._host = "ClientHost" in kept
        self._user = "ClientUsername" in kept
        self._method = "RequestMethod" in kept
        self._path = "RequestPath" in kept
        self._protocol = "RequestProtocol" in kept
        self._status = "DownstreamStatus" in kept
        self._size = "DownstreamContentSize" in kept
        self._count = "RequestCount" in kept
        self._router = "RouterName" in kept
        self._server = "ServiceURL" in kept
        self._cause = "Cause" in kept
        self._hosts = Escaped(False, after=b" - ")
        self._users = Escaped(False)
        self._methods = Escaped(True, after=b" ")
        self._routers = Escaped(True, b' "', b'" ')
        self._servers = Escaped(True, b'"', b'" ')
        self._causes = Escaped(False, b"ms ", b"\n")
        self._after = "\n" if generic else " "  # what stands behind the user agent
        self._no_fields = b' "-" "-"' + self._after.encode("ascii")
        self._second = -2.0
        self._stamp = b""
        self._nobody = b""  # the same behind no user
        self._got = b""  # that and GET: one copy instead of two for most lines
        self._answers = [self._answer(b"HTTP/1.1", status) for status in range(1000)]

    def write(
        self, out: BytesWriter, exchange: Exchange, status: int, sizes: tuple[int, int], duration: float, began: float
    ) -> None:
        """``host - user [time] "request" status size "referer" "agent" count "router" "server" ms``, and behind that
        the cause where the router itself failed the request or refused it."""
        out.write(self._hosts.of(client_host(exchange) if self._host else ""))
        self._write_who(out, exchange.user, exchange.request.method, began)
        self._write_request(out, exchange, status)
        if self._size:
            write_number(out, sizes[1])
        else:
            out.write(_ABSENT)
        if self._headers.any_kept:
            referer, agent = self._headers.quoted(exchange, "Referer"), self._headers.quoted(exchange, "User-Agent")
            out.write(f' "{referer}" "{agent}"{self._after}'.encode("ascii"))
        else:
            out.write(self._no_fields)
        if not self._generic:
            self._write_server(out, exchange, duration)

    def _write_who(self, out: BytesWriter, user: str, method: str, began: float) -> None:
        """Who, when, and the method behind the first quotation mark."""
        if began < self._second or began >= self._second + 1.0:
            self._turn(int(began))
        nobody = len(user) == 0 or not self._user
        if nobody and method == "GET":
            out.write(self._got)
            return
        if nobody:
            out.write(self._nobody)
        else:
            out.write(self._users.of(user))
            out.write(self._stamp)
        out.write(self._methods.of(method if self._method else ""))

    def _turn(self, second: int) -> None:
        """Another second: make what its lines share."""
        self._second = float(second)
        self._stamp = _stamp(second)
        self._nobody = _ABSENT + self._stamp
        self._got = self._nobody + self._methods.of("GET" if self._method else "")

    def _write_request(self, out: BytesWriter, exchange: Exchange, status: i64) -> None:
        """From the path to the space behind the status."""
        request = exchange.request
        target = request.target
        if not self._path:
            out.write(_ABSENT)
        elif self._whole_path and len(target) > 0 and target[0] == 47 and is_plain(target):
            out.write(target)
        else:
            out.write(escape(request_path(exchange, self._query_mode), True).encode("ascii") or _ABSENT)
        if request.version == 11 and status >= 0 and status < 1000:
            out.write(self._answers[status])
        else:
            out.write(self._answer(_PROTOCOLS.get(request.version, b"HTTP/1.1"), status))

    def _answer(self, protocol: bytes, status: int) -> bytes:
        shown = b"%d" % status if self._status else _ABSENT
        return b" " + (protocol if self._protocol else _ABSENT) + b'" ' + shown + b" "

    def _write_server(self, out: BytesWriter, exchange: Exchange, duration: float) -> None:
        if self._count:
            write_number(out, self.count)
        else:
            out.write(_ABSENT)
        out.write(self._routers.of(exchange.router if self._router else ""))
        out.write(self._servers.of(exchange.server_url if self._server else ""))
        spent: i64 = int(duration * 1000.0)
        cause = exchange.cause
        if len(cause) > 0 and self._cause:
            write_number(out, spent)
            out.write(self._causes.of(cause))
        elif spent >= 0 and spent < 1000:
            out.write(_SPENT[spent])
        else:
            write_number(out, spent)
            out.write(b"ms\n")


_NAMES: Final = (
    "ClientHost",
    "ClientUsername",
    "RequestMethod",
    "RequestPath",
    "RequestProtocol",
    "DownstreamStatus",
    "DownstreamContentSize",
    "RequestCount",
    "RouterName",
    "ServiceURL",
    "Cause",
)


def _stamp(second: int) -> bytes:
    t = time.gmtime(second)
    clock = f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"
    return f' [{t.tm_mday:02d}/{MONTHS[t.tm_mon - 1]}/{t.tm_year}:{clock} +0000] "'.encode("ascii")
