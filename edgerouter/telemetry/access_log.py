"""The access log of one worker: which exchanges are logged, and when lines are written. ``log_lines`` makes the
lines (``log_common``: those of the usual form), ``log_sink`` writes them. Compiled; nothing here blocks.
"""

from __future__ import annotations

import time
from typing import Final

from librt.strings import BytesWriter
from mypy_extensions import i64

from edgerouter.config.static import AccessLog as Options
from edgerouter.config.static import AccessLogFields, AccessLogFilters
from edgerouter.errors import ConfigurationError
from edgerouter.http.exchange import Exchange
from edgerouter.telemetry.log_common import CommonFormat
from edgerouter.telemetry.log_lines import HeaderModes, JsonFormat, LineFormat
from edgerouter.telemetry.log_sink import LogSink

BATCH: Final = 65536  # bytes that are written at once, without waiting for the next tick

_wall_clock: Final = time.time
_loop_clock: Final = time.monotonic


def format_of(name: str, fields: AccessLogFields) -> LineFormat:
    """The form by its configured name: common, genericCLF or json."""
    if name == "json":
        return JsonFormat(fields)
    return CommonFormat(fields, name == "genericCLF")


class AccessLog:
    """Collects lines; they leave at 64 KB, at ``bufferingSize`` lines, and at every ``tick``.

    Raises ConfigurationError when the file cannot be opened or a status range cannot be read.
    """

    def __init__(self, options: Options) -> None:
        self._format = format_of(str(options.format), options.fields)
        self.shows_origin = str(options.format) == "json"
        self.shows_origin_headers = self.shows_origin and HeaderModes(options.fields).any_kept
        self._wanted = Filter(options.filters)
        self._most_lines = int(options.buffering_size)
        self._sink = LogSink(str(options.file_path))
        self._out = BytesWriter()  # whole lines that wait
        self._lines: i64 = 0
        self._behind = (
            _wall_clock() - _loop_clock()
        )  # seconds of the loop's clock behind the wall clock, at the last tick

    def write(self, exchange: Exchange, status: int, bytes_in: int, bytes_out: int, duration: float) -> None:
        """One finished exchange; duration in seconds."""
        form, out = self._format, self._out
        form.count += 1
        if not self._wanted.passes(status, exchange.retries, duration):
            return
        start: i64 = len(out)
        try:
            form.write(out, exchange, status, (bytes_in, bytes_out), duration, exchange.started + self._behind)
        except BaseException:
            out.truncate(start)  # half a line would spoil the next one
            raise
        self._lines += 1
        if len(out) >= BATCH or (self._most_lines and self._lines >= self._most_lines):
            self.flush()

    def tick(self) -> None:
        """Called by the worker's coarse clock: write what waits, unless ``bufferingSize`` says to wait, and look at
        the wall clock, which may have been set."""
        self._behind = _wall_clock() - _loop_clock()
        if self._lines and not self._most_lines:
            self.flush()

    def flush(self) -> None:
        """Hand what waits to the writing thread."""
        if self._lines:
            self._sink.put(self._out.getvalue())
            self._out.truncate(0)
            self._lines = 0

    def lost_lines(self) -> int:
        """Lines that the disk or the pipe did not take."""
        return int(self._sink.lost_lines)

    def reopen(self) -> None:
        """The file was rotated: finish the old one, open a new one under the same name."""
        self.flush()
        self._sink.reopen()

    def close(self) -> None:
        """Write everything out; at the worker's end."""
        self.flush()
        self._sink.close()


class Filter:
    """Lines that any filter names are kept, and all lines without filters (Traefik accessLog.filters)."""

    def __init__(self, filters: AccessLogFilters) -> None:
        self._codes: list[bool] = [False] * 1000
        for text in filters.status_codes:
            low, high = status_range(str(text))
            for code in range(low, high + 1):
                self._codes[code] = True
        self._retries = bool(filters.retry_attempts)
        self._duration = float(filters.min_duration)
        self._none = not filters.status_codes and not self._retries and self._duration <= 0.0

    def passes(self, status: int, retries: int, duration: float) -> bool:
        """True when the line is to be written."""
        if self._none:
            return True
        if 0 <= status < 1000 and self._codes[status]:
            return True
        return (self._retries and retries > 0) or (self._duration > 0.0 and duration >= self._duration)


def status_range(text: str) -> tuple[int, int]:
    """``404`` or ``500-599``; raises ConfigurationError that names the option."""
    first, dash, last = text.strip().partition("-")
    if not dash:
        last = first
    if first.isdigit() and last.isdigit() and 100 <= int(first) <= int(last) <= 999:
        return int(first), int(last)
    raise ConfigurationError(
        f"accessLog.filters.statusCodes: expected a code or a range such as 404 or 500-599, got {text!r}"
    )
