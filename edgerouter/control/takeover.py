"""Live upgrade, the new program's half: take over what the old one left, or bring the old one back.

Until ``confirm`` nothing is done that cannot be undone: the old workers go on accepting, their channels are not read.
A program that fails before that, or is not there after ten seconds, is replaced by the old one, in the same process.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from edgerouter import __version__
from edgerouter.contracts import messages
from edgerouter.control.handover import VARIABLE, Handover, HandoverError, read
from edgerouter.control.held_signals import SIGNALS, keep
from edgerouter.control.prepare import Prepared
from edgerouter.control.sockets import Opened, adopt, close_all, open_all
from edgerouter.control.spawn import spawn_worker
from edgerouter.control.upgrade import CHECKED, WITHIN, become

log = logging.getLogger("edgerouter.control")


class StartFailed(Exception):
    """The new program cannot take over; says why."""


class Succession:
    """``left`` is what the old program left; ``asked_to_end``: this one was told to, which goes for the old one too."""

    def __init__(self, left: Handover) -> None:
        self.left = left
        self.asked_to_end = False
        self._settled = threading.Event()
        self._lock = threading.Lock()

    @property
    def confirmed(self) -> bool:
        """True once there is no way back."""
        return self._settled.is_set()

    def confirm(self) -> None:
        """It is this program that goes on. Raises StartFailed when the old one is just being brought back."""
        if not self._lock.acquire(blocking=False):
            raise StartFailed("its time is up")
        self._settled.set()
        for fd in self.left.fds():
            with suppress(OSError):
                os.set_inheritable(fd, False)

    def watch(self) -> None:
        """Bring the old program back unless this one is confirmed in time."""
        seconds = WITHIN * self.left.patience
        threading.Thread(target=self._watch, args=(seconds,), name="takeover", daemon=True).start()

    def back(self, reason: str) -> None:
        """Become the old program again; returns only when that cannot be, or was done once before."""
        if not self._lock.acquire(blocking=False):
            return
        left = self.left
        print(f"edgerouter: version {__version__} cannot take over: {reason}", file=sys.stderr, flush=True)
        try:
            if left.tries:
                raise OSError(0, "it was tried already")
            reason = f"version {__version__} did not start: {reason}"
            become(left.program, msgspec.structs.replace(left, tries=left.tries + 1, reason=reason), self._pass_on)
        except OSError as error:
            print(f"edgerouter: nor can the version before: {error.strerror}", file=sys.stderr, flush=True)
            self._lock.release()  # this one may still come round, if it was only slow

    def _pass_on(self) -> None:
        if self.asked_to_end:
            keep(signal.SIGTERM)

    def _watch(self, seconds: float) -> None:
        if not self._settled.wait(seconds):
            self.back(f"it was not ready within {seconds:g} s")


@contextmanager
def guard(succession: Succession | None) -> Iterator[None]:
    """What is raised in here before the succession is confirmed brings the old program back."""
    try:
        yield
    except BaseException as error:
        if succession is not None and not succession.confirmed:
            succession.back(str(error) or type(error).__name__)
        raise


def taking_over(start: Callable[[Succession], int]) -> int:
    """``start`` the router with what the variable names; the exit code."""
    try:
        succession = Succession(read(int(os.environ.pop(VARIABLE))))
    except (HandoverError, ValueError) as error:
        print(f"edgerouter: {VARIABLE}: {error}", file=sys.stderr)
        return 1
    succession.watch()
    with guard(succession):
        code = start(succession)
        if not succession.confirmed:
            raise StartFailed(f"it ended with exit code {code}")
    return code


def open_points(prepared: Prepared, succession: Succession | None) -> tuple[Prepared, list[Opened], list[Opened]]:
    """The sockets of all entry points, inherited ones where there are; and those that no entry point has any more.

    There are never fewer slots than before: closing a socket would reset who waits in its queue.
    """
    if succession is None:
        return prepared, open_all(prepared.addresses, prepared.workers), []
    points = succession.left.points
    slots = max([prepared.workers, *(len(point.fds) for point in points)])
    if slots > prepared.workers:
        text = "workers: %d stay, not %d: an upgrade closes no socket in whose queue clients may be; restart for fewer"
        log.warning(text, slots, prepared.workers)
    before = {point.name: adopt(point.name, point.host, point.port, point.fds) for point in points}
    opened = open_all(prepared.addresses, slots, before)
    kept = {fd for entry in opened for fd in entry.fds}
    gone = [entry for entry in before.values() if not kept.issuperset(entry.fds)]
    return msgspec.structs.replace(prepared, workers=slots), opened, gone


def unblock_signals() -> None:
    """The loop listens now: what came meanwhile is delivered."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def rehearse(prepared: Prepared) -> str:
    """Try what taking over would need, and leave no trace; the line that the old program waits for.

    Raises HandoverError, ConfigurationError (a new entry point's port is taken), OSError.
    """
    left = read(int(os.environ.pop(VARIABLE)))
    known = {point.name: point for point in left.points}
    fresh = {
        name: address
        for name, address in prepared.addresses.items()
        if name not in known or (known[name].host, address.port) not in ((address.host, 0), _place(known[name]))
    }
    close_all(open_all(fresh, 1))
    _try_worker(prepared)
    return f"{CHECKED}, edgerouter {__version__}"


def _place(point: object) -> tuple[str, int]:
    return str(getattr(point, "host", "")), int(getattr(point, "port", 0))


def _try_worker(prepared: Prepared) -> None:
    """A worker of this program must start, say hello and end."""
    static = msgspec.structs.replace(prepared.static, access_log=None)
    start = messages.Start(slot=0, slots=1, entry_points=(), static=static)
    spawned = spawn_worker(0, ())
    try:
        spawned.channel.setblocking(True)
        spawned.channel.settimeout(WITHIN * prepared.static.experimental.patience)
        spawned.channel.sendall(messages.frame(start))
        _hear_hello(spawned.channel)
    except (EOFError, OSError, messages.ChannelError) as error:
        os.kill(spawned.pid, signal.SIGKILL)
        os.set_blocking(spawned.stderr, True)
        said = os.read(spawned.stderr, 4096).decode("utf-8", "replace").strip()
        raise HandoverError(f"a worker does not start: {said or error or type(error).__name__}") from error
    finally:
        spawned.channel.close()
        spawned.wait()
        os.close(spawned.stderr)


def _hear_hello(channel: socket.socket) -> None:
    frames = messages.Frames(messages.ToControl)
    while data := channel.recv(65536):
        if any(isinstance(message, messages.Hello) for message in frames.feed(data)):
            return
    raise EOFError("it closed its channel")
