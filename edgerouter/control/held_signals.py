"""Signals while this program becomes another one: they wait for whoever goes on, so that none is lost.

A blocked signal outlasts an ``execve``, one that was taken does not; and the kernel gives a signal that the main thread
has blocked to any other thread (the loop's executor has some), whose only word of it is a byte for the loop.
"""

from __future__ import annotations

import os
import signal
import threading
from types import TracebackType
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Held:
    """Within ``with`` (in the main thread) the loop hears of no new signal; afterwards it hears of all of them."""

    def __enter__(self) -> Held:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._loops = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        signal.set_wakeup_fd(self._loops, warn_on_full_buffer=False)
        self.pass_on()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        os.close(self._reader)
        os.close(self._writer)

    def pass_on(self) -> None:
        """Let what other threads have taken wait as what is blocked does."""
        try:
            taken = os.read(self._reader, 4096)
        except BlockingIOError:
            return
        for number in set(taken).intersection(SIGNALS):
            keep(signal.Signals(number))


def keep(number: signal.Signals) -> None:
    """Let a signal wait for this thread, which has blocked it."""
    signal.pthread_kill(threading.get_ident(), number)
