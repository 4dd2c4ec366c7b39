"""The control process's own Unix sockets: opened once, answered by aiohttp, left open for the program after this one.

What they answer is the composition root's affair. A socket that stays open over a live upgrade lets who asks meanwhile
wait in its queue rather than fail.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiohttp import web

from edgerouter.control.sockets import BACKLOG

_LAST_ANSWERS: Final = 1.0  # seconds that answers under way are given


class Pages:
    """``apps``: makers of them by the paths of their sockets; ``before``: descriptors of those that listen already."""

    def __init__(
        self, apps: Mapping[Path, Callable[[], web.Application]], before: Mapping[str, int] | None = None
    ) -> None:
        self._apps = apps
        self._runners: list[web.AppRunner] = []
        self._servers: list[asyncio.AbstractServer] = []
        self._sockets = {path: _listening(path, (before or {}).get(str(path), -1)) for path in apps}

    @property
    def fds(self) -> dict[str, int]:
        """Descriptors of the listening sockets, by path."""
        return {str(path): sock.fileno() for path, sock in self._sockets.items()}

    async def serve(self) -> None:
        """Answer."""
        loop = asyncio.get_running_loop()
        for path, make in self._apps.items():
            runner = web.AppRunner(make(), access_log=None, handle_signals=False, shutdown_timeout=_LAST_ANSWERS)
            await runner.setup()
            assert runner.server is not None
            server = await loop.create_unix_server(runner.server, sock=self._sockets[path].dup())
            self._runners.append(runner)
            self._servers.append(server)

    async def pause(self) -> None:
        """Finish the answers under way, for a second at most; who asks from now on waits in the queue."""
        for server in self._servers:
            server.close()
        await asyncio.gather(*(_finish(runner) for runner in self._runners))
        self._servers.clear()
        self._runners.clear()

    async def close(self) -> None:
        """Answer no more."""
        await self.pause()
        for sock in self._sockets.values():
            sock.close()


def _listening(path: Path, fd: int) -> socket.socket:
    if fd >= 0:
        return socket.socket(fileno=fd)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with suppress(FileNotFoundError):
        path.unlink()
    sock.bind(str(path))
    sock.listen(BACKLOG)
    return sock


async def _finish(runner: web.AppRunner) -> None:
    server = runner.server
    if server is not None:
        for _ in range(round(_LAST_ANSWERS / 0.01)):
            await asyncio.sleep(0.01)  # first: what was accepted in this turn becomes a connection in the next
            if not any(map(_owes_an_answer, server.connections)):
                break
        for connection in list(server.connections):
            connection.force_close()
            if connection.transport is not None:
                connection.transport.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_ANSWERS):
            await runner.cleanup()


def _owes_an_answer(connection: web.RequestHandler) -> bool:
    """Who was accepted and has asked nothing yet is about to; who was answered keeps the connection only for later."""
    asked, answering = getattr(connection, "_request_count", 1), getattr(connection, "_current_request", None)
    return not asked or answering is not None or bool(getattr(connection, "_messages", ()))
