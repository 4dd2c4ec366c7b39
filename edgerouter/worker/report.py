"""How a worker writes to its standard error: lines that begin with a syslog level, ``<6>text``.

The control process reads them and puts them into the router's log; see ``edgerouter.control.stderr``.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

_LEVELS: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))


class LevelPrefix(logging.Formatter):
    """One record is one or more lines, each with the level in front, so that a traceback stays what it is."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter.format``."""
        level = next(number for least, number in _LEVELS if record.levelno >= least)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def report_to_stderr(level: str) -> None:
    """Send the records of the logger ``edgerouter`` to standard error; ``level`` is ``log.level``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LevelPrefix("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("edgerouter").setLevel(python_level(level))


def python_level(level: str) -> int:
    """TRACE, DEBUG, INFO, WARN, ERROR, FATAL or PANIC as a number of ``logging``."""
    numbers = {"TRACE": logging.DEBUG, "DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARN": logging.WARNING}
    return numbers.get(level.upper(), logging.ERROR)
