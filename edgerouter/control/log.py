"""The router's own log: one line an event on standard error (or a file), as text or JSON (static option ``log``).

Call sites use ``logging``; what stands in ``extra`` becomes fields of the JSON line. Never used per request.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import time
from typing import Any, Final

from edgerouter.config.static import Log
from edgerouter.errors import ConfigurationError
from edgerouter.worker.report import python_level

_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS: Final = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}
_NAMES: Final = {"WARNING": "WARN", "CRITICAL": "FATAL"}


def _stamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


class TextLines(logging.Formatter):
    """``2026-11-21T10:00:00.000Z INFO  text``; further lines of a traceback are indented."""

    def __init__(self, colours: bool) -> None:
        super().__init__("%(message)s")
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter.format``."""
        level = f"{_NAMES.get(record.levelname, record.levelname):<5}"
        if self._colours and record.levelno in _COLOURS:
            level = f"{_COLOURS[record.levelno]}{level}\x1b[0m"
        return f"{_stamp(record)} {level} " + super().format(record).replace("\n", "\n    ")


class JsonLines(logging.Formatter):
    """One object a line: time, level, message, and the fields of ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter.format``."""
        line: dict[str, Any] = {
            "time": _stamp(record),
            "level": _NAMES.get(record.levelname, record.levelname).lower(),
            "message": record.getMessage(),
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _PLAIN)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def open_log(options: Log) -> None:
    """Send everything that ``logging`` hears to where the options say. Raises ConfigurationError for a bad file."""
    handler = _handler(options)
    colours = not options.no_color and not options.file_path and sys.stderr.isatty()
    handler.setFormatter(JsonLines() if options.format == "json" else TextLines(colours))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("edgerouter").setLevel(python_level(options.level))


def _handler(options: Log) -> logging.Handler:
    if not options.file_path:
        return logging.StreamHandler(sys.stderr)
    try:
        return logging.handlers.WatchedFileHandler(options.file_path)
    except OSError as error:
        raise ConfigurationError(f"log.filePath: cannot write {options.file_path}: {error.strerror}") from error
