"""Where access log lines go: a file or standard output, written by one thread so that a slow disk or a full pipe
never holds the loop. What does not fit into the backlog is dropped and counted. Nothing here knows what a line says.
"""

from __future__ import annotations

import atexit
import os
import queue
import stat
import sys
import threading
from typing import Final

from edgerouter.errors import ConfigurationError

BACKLOG: Final = 8 * 1024 * 1024  # bytes waiting for the disk before new batches are dropped
PIPE_ATOMIC: Final = 4096  # PIPE_BUF: workers share one pipe, and only so much is written in one piece (pipe(7))


class LogSink:
    """Appends whole lines to ``path``, or to standard output when it is "".

    Several workers share one file: each batch is one write to a file opened with O_APPEND. Raises
    ConfigurationError when the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lost_lines = 0
        self._fd = self._open()
        self._put = 0
        self._done = 0
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._closed = False
        self._complained = False
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # the thread is a daemon: what waits at the process's end would be lost

    def put(self, lines: bytes) -> None:
        """Hand whole lines over; returns at once. Dropped, and counted, while the backlog is full."""
        if self._put - self._done + len(lines) > BACKLOG:
            self.lost_lines += lines.count(b"\n")
            return
        self._put += len(lines)
        self._queue.put(lines)

    def reopen(self) -> None:
        """Lines put from now on go to a newly opened file (after a rotation); the old one gets what came before."""
        if self.path:
            self._queue.put(None)

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, for at most ``timeout`` seconds, and end the thread."""
        if not self._closed:
            self._closed = True
            atexit.unregister(self.close)
            self._queue.put(b"")
            self._thread.join(timeout)

    def _open(self) -> int:
        if not self.path:
            return sys.stdout.fileno() if sys.stdout is not None else 1
        try:
            return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as fault:
            raise ConfigurationError(
                f"accessLog.filePath: cannot open {self.path}: {fault.strerror}; "
                "name a file in a directory that exists and that this user may write"
            ) from fault

    # -- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                self._swap()
            elif not item:
                break
            else:
                self._write(item)
                self._done += len(item)
        if self.path:
            os.close(self._fd)

    def _swap(self) -> None:
        try:
            fresh = self._open()
        except ConfigurationError as fault:
            self._complain(fault.message)
            return
        os.close(self._fd)
        self._fd = fresh

    def _write(self, lines: bytes) -> None:
        try:
            for piece in self._pieces(lines):
                view = memoryview(piece)
                while view:
                    view = view[os.write(self._fd, view) :]
            self._complained = False
        except OSError as fault:
            self.lost_lines += lines.count(b"\n")
            self._complain(f"access log lines are lost: {self.path or 'standard output'}: {fault.strerror}")

    def _pieces(self, lines: bytes) -> list[bytes]:
        if len(lines) <= PIPE_ATOMIC or stat.S_ISREG(os.fstat(self._fd).st_mode):
            return [lines]
        pieces: list[bytes] = []
        start = 0
        while start < len(lines):
            end = lines.rfind(b"\n", start, start + PIPE_ATOMIC) + 1
            if end == 0:
                end = lines.index(b"\n", start) + 1
            pieces.append(lines[start:end])
            start = end
        return pieces

    def _complain(self, sentence: str) -> None:
        """Once, until a write succeeds again: a full disk must not fill standard error too."""
        if not self._complained:
            self._complained = True
            print(f"edgerouter: {sentence}", file=sys.stderr, flush=True)
