"""Users in options and in files: one a line, looked at again when the file changes. What stands in a line is others'.

A file that cannot be read when the middleware is made is a fault of its options. One that vanishes or breaks later
leaves the users as they were, and says so in the log.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Final

from edgerouter.config.types import Secret

log = logging.getLogger("edgerouter.worker")
LOOK_EVERY: Final = 1.0  # seconds
_LARGEST: Final = 16 << 20  # bytes

# A line -> (user, what is stored of them). Raises ValueError that does not quote the line.
Parse = Callable[[str], tuple[str, str]]


class Users:
    """``where`` is the middleware and its option, ``basicAuth: users``, for messages. Raises ValueError."""

    def __init__(
        self, where: str, inline: tuple[Secret, ...], file: str, parse: Parse, now: Callable[[], float]
    ) -> None:
        self._where = where
        self._file = file
        self._parse = parse
        self._now = now
        self._inline = _parsed(where, [line.reveal() for line in inline], parse)
        self._seen: tuple[int, ...] = ()
        self._next_look = now() + LOOK_EVERY
        self._loading: asyncio.Future[dict[str, str]] | None = None
        self._users = self._inline
        if file:
            self._seen = _stamp(file)
            self._users = self._load()
        if not self._users:
            option = where.partition(": ")[2]
            raise ValueError(f"{where}: there are none; write {option} or {option}File")

    def all(self) -> dict[str, str]:
        """User -> what is stored, as the file was a second ago or later."""
        if self._file and self._now() >= self._next_look:
            self._look()
        return self._users

    def _load(self) -> dict[str, str]:
        where = f"{self._where}File: {self._file}"
        try:
            with open(self._file, encoding="utf-8") as source:
                lines = source.read(_LARGEST).splitlines()
        except OSError as error:
            raise ValueError(f"{where} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{where} is no UTF-8 text") from None
        return {**_parsed(where, lines, self._parse), **self._inline}

    def _look(self) -> None:
        self._next_look = self._now() + LOOK_EVERY
        stamp = _stamp(self._file)
        if stamp == self._seen or self._loading is not None:
            return
        self._seen = stamp
        self._loading = asyncio.get_running_loop().run_in_executor(None, self._load)
        self._loading.add_done_callback(self._loaded)

    def _loaded(self, future: asyncio.Future[dict[str, str]]) -> None:
        self._loading = None
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            log.error("%s; the users from before go on being let in", error)
        else:
            self._users = future.result()


def _stamp(file: str) -> tuple[int, ...]:
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)


def _parsed(where: str, lines: list[str], parse: Parse) -> dict[str, str]:
    users: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            user, stored = parse(text)
        except ValueError as error:
            raise ValueError(f"{where}: line {number}: {error}") from None
        users[user] = stored
    return users
