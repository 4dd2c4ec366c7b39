"""Since when no router wants a certificate. It is noted in the storage, so that a restart does not begin the time anew:
else a router that is restarted every week would renew for ever what nobody serves. On the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Final

from edgerouter.certs.acme.storage import StorageError
from edgerouter.certs.acme.threads import in_thread
from edgerouter.certs.acme.together import Together
from edgerouter.certs.acme.wanted import Names

NOTED_AFTER: Final = 3600.0  # seconds; just after a start nothing is wanted yet, and that is not worth a note


class Unwanted:
    """One resolver's."""

    def __init__(self, together: Together) -> None:
        self._together = together
        self._since: dict[Names, float] = {}
        self._noted: set[Names] = set()
        self._writing: set[asyncio.Task[None]] = set()

    def load(self, noted: dict[Names, float]) -> None:
        """What is noted in the storage."""
        self._since |= noted
        self._noted |= noted.keys()

    def since(self, names: Names, now: float) -> float:
        """Since when (Unix seconds); from now on if it was wanted before."""
        since = self._since.setdefault(names, now)
        if now - since >= NOTED_AFTER and names not in self._noted:
            self._noted.add(names)
            self._write(partial(self._together.note_unwanted, names, since))
        return since

    def end(self, names: Names) -> None:
        """It is wanted, or is there no more."""
        self._since.pop(names, None)
        if names in self._noted:
            self._noted.discard(names)
            self._write(partial(self._together.forget_unwanted, names))

    def _write(self, change: Callable[[], None]) -> None:
        task = asyncio.ensure_future(in_thread(partial(_quietly, change)))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)


def _quietly(change: Callable[[], None]) -> None:
    with contextlib.suppress(StorageError):  # it is known for as long as this router runs
        change()
