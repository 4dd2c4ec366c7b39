"""A worker's listening sockets: which slots' sockets it accepts from, and its end of accepting.

The sockets were inherited; the engine accepts. Every worker holds the sockets of every slot, so taking over those of
a dead neighbour is one call, without passing file descriptors about.
"""

from __future__ import annotations

import socket

from edgerouter.contracts.messages import ListenOn
from edgerouter.proxy.engine import Engine


class Entrances:
    """The inherited sockets by slot."""

    def __init__(self, engine: Engine, entry_points: tuple[ListenOn, ...]) -> None:
        self._engine = engine
        self._entry_points = entry_points
        self._sockets = {fd: socket.socket(fileno=fd) for entry in entry_points for fd in entry.fds}
        self._open: set[int] = set()  # slots

    def take(self, slot: int) -> None:
        """Accept from the slot's sockets; nothing happens when that is so already."""
        if slot in self._open or not self._sockets:
            return
        self._open.add(slot)
        for entry in self._entry_points:
            self._engine.listen(entry.name, entry.key, entry.settings, self._sockets[entry.fds[slot]])

    def give_back(self, slot: int) -> None:
        """Accept from the slot's sockets no longer; what is queued there is for the slot's own worker."""
        if slot in self._open:
            self._open.discard(slot)
            for entry in self._entry_points:
                self._engine.unlisten(self._sockets[entry.fds[slot]])

    def stop(self) -> None:
        """Accept what is queued, then close every socket: the last process to do so closes the port."""
        self._engine.stop_accepting()
        self._open.clear()
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
