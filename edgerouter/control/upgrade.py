"""Live upgrade, the old program's half: check the new one, become quiet, leave everything, and become it (execve).

The process stays the same: its number, its children (the workers) and its sockets. Whatever goes wrong before the exec
leaves this program running as if nothing had been; what goes wrong after it, ``takeover`` brings back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec

from edgerouter.control.handover import VARIABLE, Handover, write
from edgerouter.control.held_signals import SIGNALS, Held
from edgerouter.control.notify import notify_reloading

WITHIN: Final = 10.0  # seconds that a new program has to check itself, and again to start
CHECKED: Final = "handover: OK"  # what ``edgerouter check`` prints of a state that it can take over
_TURNS: Final = 3  # of the loop, until it has heard every signal that came before
_TOLD: Final = 2000  # characters of what a program says of itself
log = logging.getLogger("edgerouter.control")


class UpgradeRefused(Exception):
    """This program goes on; says why."""


class Outcome(msgspec.Struct, frozen=True):
    """How the last upgrade went. ``state``: none, checking, done or failed; ``count`` of those that were tried."""

    version: str
    count: int = 0
    state: str = "none"
    reason: str = ""


def command_line(arguments: Sequence[str] | None = None) -> tuple[str, ...]:
    """How this program was started, so that it can be started again: a script by its own path, since a newer one may
    name another Python; ``python -m`` by this Python. ``arguments``: others than those it was given."""
    given = len(sys.argv) - 1
    words = list(sys.orig_argv)
    front = words[: len(words) - given] if given else words
    rest = words[len(words) - given :] if given else []
    if len(front) == 2 and _is_script(front[1]):
        front = [os.path.abspath(front[1])]
    elif sys.executable:
        front[0] = sys.executable
    return (*front, *(rest if arguments is None else arguments))


def _is_script(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return os.access(path, os.X_OK) and file.read(2) == b"#!"
    except OSError:
        return False


class Upgrading:
    """``leave`` says what is left; ``quiet`` finishes what is half said, and ``resume`` undoes that; ``hindrance`` says
    why it cannot be now ("": it can)."""

    def __init__(
        self,
        outcome: Outcome,
        hindrance: Callable[[], str],
        leave: Callable[[], Handover],
        quiet: Callable[[], Awaitable[None]],
        resume: Callable[[], Awaitable[None]],
    ) -> None:
        self.outcome = outcome
        self._hindrance = hindrance
        self._leave = leave
        self._quiet = quiet
        self._resume = resume
        self._task: asyncio.Task[None] | None = None

    def ask(self, program: str = "") -> str:
        """Begin; ``program`` is the path of another ``edgerouter``, by default it is what this one was started as. Why
        not, or "" when it has begun."""
        if self.outcome.state == "checking":
            return "an upgrade is under way"
        why = self._hindrance()
        if why:
            return why
        front = command_line(())
        arguments = command_line()[len(front) :]
        if program:
            front = (os.path.abspath(program),)
        self._set("checking", count=self.outcome.count + 1)
        self._task = asyncio.get_running_loop().create_task(self._run(front, arguments))
        return ""

    async def stop(self) -> None:
        """The router ends: there is nothing to upgrade."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, front: tuple[str, ...], arguments: tuple[str, ...]) -> None:
        log.info("upgrade: checking %s", " ".join(front), extra={"event": "upgrade"})
        try:
            await asyncio.to_thread(check, front, arguments, self._leave())
            await self._become((*front, *arguments))
        except (UpgradeRefused, OSError) as error:
            self._set("failed", str(error))
            text = "the upgrade was refused, version %s goes on: %s"
            log.error(text, self.outcome.version, error, extra={"event": "upgradeFailed"})

    async def _become(self, program: tuple[str, ...]) -> None:
        self._must_be_possible()
        with Held() as held:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            try:
                await self._quiet()
                self._must_be_possible()
                notify_reloading()
                become(program, self._leave(), held.pass_on)
            except BaseException:  # cancelled too: a router that ends answers questions until its last worker is gone
                await self._resume()
                raise

    def _must_be_possible(self) -> None:
        why = self._hindrance()
        if why:
            raise UpgradeRefused(why)

    def _set(self, state: str, reason: str = "", count: int = -1) -> None:
        count = count if count >= 0 else self.outcome.count
        self.outcome = Outcome(self.outcome.version, count, state, reason)


def check(front: Sequence[str], arguments: Sequence[str], left: Handover) -> None:
    """Let the new program look at its configuration, and at what it would take over. Raises UpgradeRefused."""
    memory = write(left)
    words = [*front, "check", *(arguments[1:] if arguments[:1] == ("run",) else arguments)]
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, VARIABLE: str(memory)},
            pass_fds=(memory,),
            start_new_session=True,
        )
    except OSError as error:
        raise UpgradeRefused(f"{front[0]} cannot be started: {error.strerror}") from error
    finally:
        os.close(memory)
    try:
        said, _ = process.communicate(timeout=WITHIN * left.patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise UpgradeRefused(f"{' '.join(words)} did not end within {WITHIN * left.patience:g} s") from None
    text = said.decode("utf-8", "replace").strip()
    if process.returncode != 0 or CHECKED not in text:
        what = f"ended with code {process.returncode}" if process.returncode else "does not know how to take over"
        raise UpgradeRefused(f"{' '.join(words)} {what}{': ' + text[-_TOLD:] if text else ''}")


def become(program: Sequence[str], left: Handover, at_last: Callable[[], None]) -> None:
    """Replace this program by that one. Returns never, unless it raises OSError: then nothing has changed.

    Signals wait until the new program listens to them: their default would end it. ``at_last`` is called when they do.
    """
    memory = write(left)
    fds = [memory, *left.fds()]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        _inherit(fds, True)
        at_last()
        os.execve(program[0], list(program), {**os.environ, VARIABLE: str(memory)})
    except OSError as error:
        _inherit(fds, False)
        os.close(memory)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise OSError(error.errno, f"{program[0]} cannot be started: {error.strerror}") from error


def _inherit(fds: Iterable[int], inheritable: bool) -> None:
    for fd in fds:
        os.set_inheritable(fd, inheritable)
