"""Access log lines: one finished exchange -> one line of bytes. Here: what all forms share, and json.

Whatever came from a client or a server is escaped, so that nobody can end a line, close a quotation or forge a field.
Compiled. No I/O and no decision about which exchanges are logged.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Final

import msgspec
from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr

from edgerouter.config.static import AccessLogFields
from edgerouter.http.exchange import Exchange, Origin

REDACTED: Final = "REDACTED"
KEEP: Final = "keep"
DROP: Final = "drop"
FIELDS: Final = [
    "StartUTC",
    "StartLocal",
    "Duration",
    "RouterName",
    "ServiceName",
    "ServiceURL",
    "ServiceAddr",
    "ClientAddr",
    "ClientHost",
    "ClientPort",
    "ClientUsername",
    "RequestAddr",
    "RequestHost",
    "RequestPort",
    "RequestMethod",
    "RequestPath",
    "RequestProtocol",
    "RequestScheme",
    "RequestContentSize",
    "OriginDuration",
    "OriginContentSize",
    "OriginStatus",
    "OriginStatusLine",
    "Overhead",
    "DownstreamStatus",
    "DownstreamStatusLine",
    "DownstreamContentSize",
    "RequestCount",
    "RetryAttempts",
    "TLSVersion",
    "TLSCipher",
    "entryPointName",
    "Cause",
    "CauseDetail",
]
_PHRASES: Final[dict[int, str]] = {int(status): status.phrase for status in HTTPStatus}
_PROTOCOLS: Final[dict[int, str]] = {10: "HTTP/1.0", 11: "HTTP/1.1", 20: "HTTP/2.0", 30: "HTTP/3.0"}
_encode_json: Final = msgspec.json.encode


class Facts:
    """One finished exchange. ``began`` is wall-clock time in seconds, ``duration`` seconds, sizes body bytes."""

    def __init__(
        self, exchange: Exchange, status: int, bytes_in: int, bytes_out: int, duration: float, began: float, count: int
    ) -> None:
        self.exchange = exchange
        self.status = status
        self.bytes_in = bytes_in
        self.bytes_out = bytes_out
        self.duration = duration
        self.started = began
        self.ended = began + duration
        self.count = count


def escape(text: str, spaces: bool) -> str:
    """Text that cannot leave its place in a line: printable ASCII, the rest as ``\\xHH`` or ``\\uHHHH``.

    ``spaces`` False escapes spaces too, for places without quotation marks.
    """
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        if spaces or " " not in text:
            return text
    out: list[str] = []
    for letter in text:
        code = ord(letter)
        if letter == '"' or letter == "\\":
            out.append("\\" + letter)
        elif 33 <= code <= 126 or (code == 32 and spaces):
            out.append(letter)
        elif code < 256:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}")
    return "".join(out)


def request_path(exchange: Exchange, query_mode: str) -> str:
    """Path and query as the client sent them; ``query_mode`` drop or redact hides the parameters."""
    target = exchange.request.target.decode("latin-1")
    if not target.startswith("/"):
        target = _origin_form(target)
    if query_mode == KEEP:
        return target
    path, mark, query = target.partition("?")
    if not mark or query_mode == DROP:
        return path
    pairs = [
        name + "=" + REDACTED if equals else name for name, equals, _ in (p.partition("=") for p in query.split("&"))
    ]
    return path + "?" + "&".join(pairs)


def _origin_form(target: str) -> str:
    """Take scheme and authority off an absolute-form target (RFC 9112 section 3.2.2)."""
    at = target.find("://")
    if at < 0:
        return target
    slash = target.find("/", at + 3)
    return "/" if slash < 0 else target[slash:]


def protocol_name(version: int) -> str:
    """``HTTP/1.1`` and so on."""
    return _PROTOCOLS.get(version, "HTTP/1.1")


def client_host(exchange: Exchange) -> str:
    """X-Forwarded-For of a trusted peer when there is one, else the peer (Traefik's ClientHost)."""
    if exchange.request.managed:
        forwarded = exchange.request.headers.get("X-Forwarded-For")
        if forwarded:
            return forwarded.replace(" ", "")
    return exchange.client_address


class HeaderModes:
    """What becomes of header fields: keep, drop or redact, by name (any case) or default."""

    def __init__(self, fields: AccessLogFields) -> None:
        self.default = str(fields.headers.default_mode)
        self.names: dict[str, str] = {name.lower(): str(mode) for name, mode in fields.headers.names.items()}
        self.any_kept = self.default != DROP or any(mode != DROP for mode in self.names.values())

    def shown(self, name: str, value: str) -> str | None:
        """The value, ``REDACTED``, or None when the field is dropped."""
        mode = self.names.get(name.lower(), self.default)
        if mode == DROP:
            return None
        return value if mode == KEEP else REDACTED

    def quoted(self, exchange: Exchange, name: str) -> str:
        """A request field for a common log line, ``-`` when absent or dropped."""
        if not self.any_kept:
            return "-"
        value = exchange.request.headers.get(name)
        shown = None if value is None else self.shown(name, value)
        return "-" if not shown else escape(shown, True)


@mypyc_attr(allow_interpreted_subclasses=True)
class LineFormat:
    """Makes lines; one a worker. ``count`` is the number of exchanges, those that were not logged included."""

    def __init__(self) -> None:
        self.count: i64 = 0

    def write(
        self, out: BytesWriter, exchange: Exchange, status: int, sizes: tuple[int, int], duration: float, began: float
    ) -> None:
        """Append one line with its newline. ``sizes``: body bytes in and out; ``began``: wall clock; in seconds."""


class JsonFormat(LineFormat):
    """One JSON object a line, with Traefik's field names, and ``Cause`` and ``CauseDetail`` where a request failed."""

    def __init__(self, fields: AccessLogFields) -> None:
        super().__init__()
        modes = {name.lower(): str(mode) for name, mode in fields.names.items()}
        default = str(fields.default_mode)
        self._dropped: list[str] = [name for name in FIELDS if modes.get(name.lower(), default) == DROP]
        self._headers = HeaderModes(fields)
        self._query_mode = str(fields.query_parameters.default_mode)
        self._stamps = Stamps()

    def write(
        self, out: BytesWriter, exchange: Exchange, status: int, sizes: tuple[int, int], duration: float, began: float
    ) -> None:
        """Absent text is left out, except RequestPort, which is ``-`` then."""
        facts = Facts(exchange, status, sizes[0], sizes[1], duration, began, self.count)
        record: dict[str, object] = {}
        self._times(record, facts)
        self._ends(record, facts.exchange)
        self._request(record, facts)
        self._answer(record, facts)
        for name in self._dropped:
            record.pop(name, None)
        if self._headers.any_kept:
            self._fields(record, facts.exchange)
        record["level"] = "info"
        record["msg"] = ""
        record["time"] = self._stamps.local(facts.ended)
        line: bytes = _encode_json(record)
        out.write(line)
        out.write(b"\n")

    def _times(self, record: dict[str, object], facts: Facts) -> None:
        record["StartUTC"] = self._stamps.utc(facts.started)
        record["StartLocal"] = self._stamps.local(facts.started)
        record["Duration"] = int(facts.duration * 1e9)

    def _ends(self, record: dict[str, object], exchange: Exchange) -> None:
        if exchange.router:
            record["RouterName"] = exchange.router
        if exchange.service:
            record["ServiceName"] = exchange.service
        if exchange.server_url:
            record["ServiceURL"] = exchange.server_url
            record["ServiceAddr"] = exchange.server_url.partition("://")[2].partition("/")[0] or exchange.server_url
        address = exchange.client_address
        record["ClientAddr"] = (
            f"[{address}]:{exchange.client_port}" if ":" in address else f"{address}:{exchange.client_port}"
        )
        record["ClientHost"] = client_host(exchange)
        record["ClientPort"] = str(exchange.client_port)
        record["ClientUsername"] = exchange.user or "-"
        record["entryPointName"] = exchange.entrypoint
        if exchange.tls_version:
            record["TLSVersion"] = exchange.tls_version
            record["TLSCipher"] = exchange.tls_cipher

    def _request(self, record: dict[str, object], facts: Facts) -> None:
        exchange = facts.exchange
        request = exchange.request
        port = request.authority.rpartition(":")[2] if ":" in request.authority else ""
        record["RequestAddr"] = request.authority
        record["RequestHost"] = request.host
        record["RequestPort"] = port if port.isdigit() else "-"
        record["RequestMethod"] = request.method
        record["RequestPath"] = request_path(exchange, self._query_mode)
        record["RequestProtocol"] = protocol_name(request.version)
        record["RequestScheme"] = request.scheme
        record["RequestContentSize"] = facts.bytes_in
        record["RequestCount"] = facts.count
        record["RetryAttempts"] = exchange.retries

    def _answer(self, record: dict[str, object], facts: Facts) -> None:
        exchange = facts.exchange
        self._origin(record, facts, exchange.origin)
        record["DownstreamStatus"] = facts.status
        record["DownstreamStatusLine"] = _status_line(facts.status)
        record["DownstreamContentSize"] = facts.bytes_out
        if exchange.cause:
            record["Cause"] = exchange.cause
            record["CauseDetail"] = exchange.detail

    def _origin(self, record: dict[str, object], facts: Facts, origin: Origin | None) -> None:
        """The server's part, 0 when the router itself answered. ``OriginDuration`` ends with the server's last byte;
        the rest of ``Duration`` is ``Overhead``."""
        spent = 0.0
        if origin is not None:
            began = origin.started - facts.exchange.started  # seconds into the exchange
            ended = origin.ended - facts.exchange.started if origin.ended > 0.0 else facts.duration
            spent = max(0.0, min(ended, facts.duration) - began)
        record["OriginDuration"] = int(spent * 1e9)
        record["Overhead"] = int(facts.duration * 1e9) - int(spent * 1e9)
        status = 0 if origin is None else origin.status
        record["OriginStatus"] = status
        record["OriginStatusLine"] = _status_line(status) if status else ""
        record["OriginContentSize"] = origin.body.fed if origin is not None and origin.body is not None else 0

    def _fields(self, record: dict[str, object], exchange: Exchange) -> None:
        for name, value in exchange.request.headers.items():
            shown = self._headers.shown(name, value)
            if shown is not None:
                record["request_" + canonical(name)] = shown
        origin = exchange.origin
        if origin is not None and origin.headers is not None:
            for name, value in origin.headers:
                shown = self._headers.shown(name, value)
                if shown is not None:
                    record["origin_" + canonical(name)] = shown
        if exchange.response is not None:
            for name, value in exchange.response.headers.items():
                shown = self._headers.shown(name, value)
                if shown is not None:
                    record["downstream_" + canonical(name)] = shown


def _status_line(status: int) -> str:
    return f"{status} {_PHRASES.get(status, '')}".rstrip()


def canonical(name: str) -> str:
    """``user-agent`` -> ``User-Agent``: one key whatever the sender's spelling."""
    return "-".join([part.capitalize() for part in name.split("-")])


class Stamps:
    """RFC 3339 texts of one second, kept until the second changes: a worker writes thousands of lines in each."""

    def __init__(self) -> None:
        self._second = -1
        self._utc = ""
        self._local = ""

    def utc(self, moment: float) -> str:
        """To the microsecond, ``Z`` at its end."""
        second = self._turn(moment)
        return f"{self._utc}.{int((moment - second) * 1e6):06d}Z"

    def local(self, moment: float) -> str:
        """To the second, with the machine's own offset."""
        self._turn(moment)
        return self._local

    def _turn(self, moment: float) -> int:
        second = int(moment)
        if second != self._second:
            self._second = second
            self._utc = _date(time.gmtime(second))
            t = time.localtime(second)
            minutes = t.tm_gmtoff // 60
            sign = "+" if minutes >= 0 else "-"
            offset = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}" if minutes else "Z"
            self._local = _date(t) + offset
        return second


def _date(t: time.struct_time) -> str:
    return f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"
