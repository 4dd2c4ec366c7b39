"""The client connections that are open in this worker, by entry point, and how those of an entry point end.

Nothing here decides when that is: the control process says so (``control.drain``), entry point by entry point.
"""

from __future__ import annotations

from collections.abc import Callable

from edgerouter.errors import ShuttingDown
from edgerouter.net.client_connection import ClientConnection


class Connections:
    """``on_empty`` is called with an entry point's name when it is leaving and its last connection is gone."""

    def __init__(self) -> None:
        self._open: dict[str, set[ClientConnection]] = {}
        self._leaving: dict[str, float] = {}
        self._on_empty: Callable[[str], None] | None = None

    def count(self) -> int:
        """All that are open."""
        return sum([len(connections) for connections in self._open.values()])

    def all(self) -> list[ClientConnection]:
        """All that are open."""
        return [connection for connections in self._open.values() for connection in connections]

    def of(self, entrypoint: str) -> int:
        """Those of one entry point."""
        return len(self._open.get(entrypoint, ()))

    def add(self, connection: ClientConnection) -> None:
        """One was accepted."""
        connections = self._open.get(connection.entrypoint)
        if connections is None:
            connections = set()
            self._open[connection.entrypoint] = connections
        connections.add(connection)
        if self._leaving:
            idle = self._leaving.get(connection.entrypoint)
            if idle is not None:
                connection.finish_soon(idle)

    def discard(self, connection: ClientConnection) -> bool:
        """One is gone; False when it never was here."""
        connections = self._open.get(connection.entrypoint)
        if connections is None or connection not in connections:
            return False
        connections.discard(connection)
        if self._leaving and not connections and connection.entrypoint in self._leaving:
            self._tell(connection.entrypoint)
        return True

    def leave(self, entrypoint: str, idle: float, on_empty: Callable[[str], None]) -> None:
        """Let every connection end with its current exchange, or its next one, answered by ``Connection: close``.

        One that waits for a request is closed ``idle`` seconds after its last (0.0: now; below: by its usual
        timeout): closed at once, it would meet the request that is on its way.
        """
        self._on_empty = on_empty
        self._leaving[entrypoint] = idle
        for connection in list(self._open.get(entrypoint, ())):
            connection.finish_soon(idle)
        if not self.of(entrypoint):
            self._tell(entrypoint)

    def cut(self, entrypoint: str) -> int:
        """The time is up: break off what is left of an entry point; how many exchanges that cost."""
        cut = 0
        for connection in list(self._open.get(entrypoint, ())):
            if connection.cut(ShuttingDown("the router ended before the exchange did")):
                cut += 1
        return cut

    def _tell(self, entrypoint: str) -> None:
        if self._on_empty is not None:
            self._on_empty(entrypoint)
