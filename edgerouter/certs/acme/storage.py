"""The shape of a storage: six methods. What is behind it lives in ``stores``. All block; called in threads.

Keys are ``resolver/section/name`` (``le/account``, ``le/certificates/a.example.com``), values are JSON texts.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import Protocol


class StorageError(Exception):
    """The storage cannot be read or written; says which and why, and never what is in it."""


class Storage(Protocol):
    """What a storage can do; every method raises StorageError. ``shared``: routers on other machines may use it too."""

    shared: bool

    def get(self, key: str) -> str | None:
        """The value, or None."""

    def put(self, key: str, value: str) -> None:
        """Keep a value; when this returns others see it, and it survives as much as the storage itself does."""

    def delete(self, key: str) -> None:
        """Forget a value, if it is there."""

    def keys(self, prefix: str) -> list[str]:
        """All keys that begin so, in order; ``prefix`` reaches beyond the last slash of what is looked for."""

    def lock(self, name: str, owner: str, seconds: float) -> bool:
        """Take or renew a lock for that long; False while somebody else has it."""

    def unlock(self, name: str, owner: str) -> None:
        """Give a lock back, if it is ours."""


@cache
def instance() -> str:
    """This process among all that may share a storage: the same after a live upgrade, another after a restart."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        began = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        space = os.stat("/proc/self/ns/pid").st_ino
    except (OSError, IndexError):
        boot, began, space = "", "", 0
    return f"{socket.gethostname()}:{os.getpid()}:{space}:{began}:{boot}"


def is_gone(owner: str) -> bool:
    """True when ``owner`` (see ``instance``) was a process that we could see, and that lives no more."""
    parts = owner.split(":")
    mine = instance().split(":")
    if len(parts) != 5 or (parts[2], parts[4]) != (mine[2], mine[4]) or not parts[3]:
        return False
    try:
        began = Path(f"/proc/{int(parts[1])}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, ValueError, IndexError):
        return True
    return began != parts[3]
