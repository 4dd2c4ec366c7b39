"""The bounded ring that copies of requests wait in: one a worker, for all mirrors together. Who finds no room is
dropped, and counted; the request that was copied never waits for one."""

from __future__ import annotations

from typing import Final

BYTES: Final = 64 << 20  # of bodies
COPIES: Final = 1000  # on their way, or waiting for their request's end
UNKNOWN: Final = 4 << 20  # reserved for a body that does not say how long it is


class Ring:
    """What is taken of it."""

    def __init__(self, size: int = BYTES, copies: int = COPIES) -> None:
        self.size = size
        self.bytes = 0
        self.copies = 0
        self._most = copies

    def take(self, size: int) -> bool:
        """Reserve room for one body of that many bytes; False when there is none."""
        if self.copies >= self._most or self.bytes + size > self.size:
            return False
        self.copies += 1
        self.bytes += size
        return True

    def give(self, size: int) -> None:
        """Give it back."""
        self.copies -= 1
        self.bytes -= size
