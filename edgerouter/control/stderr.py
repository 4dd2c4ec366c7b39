"""What workers write to standard error, line by line, into the router's log; the last lines are kept as a cause."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from typing import Final

_KEPT: Final = 20
_LONGEST: Final = 8192  # bytes of a line
_LEVELS: Final = {3: logging.ERROR, 4: logging.WARNING, 6: logging.INFO, 7: logging.DEBUG}
log = logging.getLogger("edgerouter.worker")


class StderrReader:
    """Reads ``fd`` until its other end is closed. A line may begin with a syslog level (``<6>``); bare lines, such
    as those of a traceback, count as errors."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, slot: int) -> None:
        self._loop = loop
        self.fd = fd
        self._slot = slot
        self._partial = b""
        self.last: deque[str] = deque(maxlen=_KEPT)
        loop.add_reader(fd, self._readable)

    def close(self) -> None:
        """Read what is left, then stop."""
        if self.fd >= 0:
            self._readable()
        if self.fd >= 0:
            self._end()

    def cause(self) -> str:
        """The last line that is not blank: of a traceback, the error itself."""
        return next((line.strip() for line in reversed(self.last) if line.strip()), "")

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.fd >= 0:
                data = os.read(self.fd, 65536)
                if not data:
                    self._end()
                    return
                self._feed(data)

    def _feed(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > _LONGEST:
            lines.append(self._partial)
            self._partial = b""
        for line in lines:
            self._write(line[:_LONGEST].decode("utf-8", "replace"))

    def _write(self, line: str) -> None:
        level = logging.ERROR
        if len(line) > 2 and line[0] == "<" and line[2] == ">" and line[1].isdigit():
            level = _LEVELS.get(int(line[1]), logging.INFO)
            line = line[3:]
        if line.strip():
            self.last.append(line)
            log.log(level, "worker %d: %s", self._slot, line)

    def _end(self) -> None:
        self._loop.remove_reader(self.fd)
        os.close(self.fd)
        self.fd = -1
        if self._partial:
            self._feed(b"\n")
