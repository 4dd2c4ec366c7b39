"""Requests that find idle connections are sent at the end of the loop's turn, when all that had arrived has been read.

What came on an idle connection is its end, or bytes that would be taken for the answer to the next request. A turn of
the loop learns at its beginning what has come, and reads one connection after the other; a request that is read before
such a connection must not be sent on it. To look at the connection's socket first costs a system call for each request,
to wait for the end of the turn one callback for all (docs/decisions/0015).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgerouter.net.session import Session

if TYPE_CHECKING:
    from edgerouter.net.pool import Pool


class Turn:
    """All requests of one loop that wait so; in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pools: list[Pool] = []
        self._sessions: list[Session] = []

    def add(self, pool: Pool, session: Session) -> None:
        """Let ``pool.give`` be called for the session."""
        if not self._sessions:
            self._loop.call_soon(self._end)
        self._pools.append(pool)
        self._sessions.append(session)

    def _end(self) -> None:
        pools, sessions = self._pools, self._sessions
        self._pools, self._sessions = [], []
        given = 0
        try:
            while given < len(sessions):
                given += 1
                pools[given - 1].give(sessions[given - 1])
        finally:
            for i in range(given, len(sessions)):  # one of them broke: that is not the others' fault
                self.add(pools[i], sessions[i])
