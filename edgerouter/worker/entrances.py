"""A worker's listening sockets: which slots' sockets it accepts from, and its end of accepting.

The sockets were inherited; the engine accepts. Every worker holds the sockets of every slot, so taking over those of
a dead neighbour is one call, without passing file descriptors about.
"""

from __future__ import annotations

import asyncio
import socket

from edgerouter.contracts.messages import ListenOn
from edgerouter.net.listener import TcpListener
from edgerouter.proxy.engine import Engine


class Entrances:
    """The inherited sockets by slot."""

    def __init__(self, loop: asyncio.AbstractEventLoop, engine: Engine, entry_points: tuple[ListenOn, ...]) -> None:
        self._loop = loop
        self._engine = engine
        self._entry_points = entry_points
        self._sockets = {fd: socket.socket(fileno=fd) for entry in entry_points for fd in entry.fds}
        self._open: dict[int, list[TcpListener]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, slot: int) -> None:
        """Accept from the slot's sockets; nothing happens when that is so already."""
        if slot in self._open or not self._sockets:
            return
        listeners: list[TcpListener] = []
        self._open[slot] = listeners
        task = self._loop.create_task(self._listen(slot, listeners))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def give_back(self, slot: int) -> None:
        """Accept from the slot's sockets no longer; what is queued there is for the slot's own worker."""
        for listener in self._open.pop(slot, []):
            listener.stop()

    def stop(self) -> None:
        """Accept no more and close every socket: the last process to do so closes the port."""
        for slot in list(self._open):
            self.give_back(slot)
        self._engine.stop_accepting()
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    async def _listen(self, slot: int, listeners: list[TcpListener]) -> None:
        for entry in self._entry_points:
            sock = self._sockets.get(entry.fds[slot])
            if sock is None or self._open.get(slot) is not listeners:
                return
            listener = await self._engine.listen(entry.name, entry.key, entry.settings, sock)
            if self._open.get(slot) is listeners:
                listeners.append(listener)
            else:
                listener.stop()
