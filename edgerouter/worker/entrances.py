"""A worker's listening sockets: which slots' sockets it accepts from, and its end of accepting.

The sockets were inherited; the engine accepts. Every worker holds the sockets of every slot, so taking over those of
a dead neighbour is one call, without passing file descriptors about.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

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
        self._open: dict[int, list[tuple[str, TcpListener]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, slot: int) -> None:
        """Accept from the slot's sockets; nothing happens when that is so already."""
        if slot in self._open or not self._sockets:
            return
        listeners: list[tuple[str, TcpListener]] = []
        self._open[slot] = listeners
        task = self._loop.create_task(self._listen(slot, listeners))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def give_back(self, slot: int) -> None:
        """Accept from the slot's sockets no longer; what is queued there is for the slot's own worker."""
        for _, listener in self._open.pop(slot, []):
            listener.stop()

    def stop(self, names: Iterable[str]) -> None:
        """Accept no more at these entry points and close their sockets: the last process to do so closes the port."""
        leaving = set(names)
        for listeners in self._open.values():
            for name, listener in listeners:
                if name in leaving:
                    listener.stop()
        for entry in self._entry_points:
            for fd in entry.fds if entry.name in leaving else ():
                sock = self._sockets.pop(fd, None)
                if sock is not None:
                    sock.close()

    async def _listen(self, slot: int, listeners: list[tuple[str, TcpListener]]) -> None:
        for entry in self._entry_points:
            sock = self._sockets.get(entry.fds[slot])
            if self._open.get(slot) is not listeners:
                return
            if sock is None:
                continue
            listener = await self._engine.listen(entry.name, entry.key, entry.settings, sock)
            if self._open.get(slot) is listeners and entry.fds[slot] in self._sockets:
                listeners.append((entry.name, listener))
            else:
                listener.stop()
