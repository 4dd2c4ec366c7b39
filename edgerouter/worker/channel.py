"""One end of the socketpair between control process and worker: messages in, messages out. Both sides use it.

What the messages mean is none of its business. A side that sends what is no message is cut off.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, Final, cast

from edgerouter.contracts.messages import ChannelError, Frames, Message, frame
from edgerouter.worker.assemble_slices import SLICE

READ_SIZE: Final = 65536


class Channel(asyncio.Protocol):
    """``kinds``: what the other side may send. ``on_closed`` is called once, with what
    the other side did against the protocol ("" when the channel just ended)."""

    def __init__(self, kinds: Any, on_message: Callable[[Any], None], on_closed: Callable[[str], None]) -> None:
        self._frames = Frames(kinds)
        self._on_message = on_message
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._why = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = False

    async def open(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        """Take the socket over."""
        self._loop = loop
        await loop.create_unix_connection(lambda: self, sock=sock)

    def send(self, message: Message) -> None:
        """Queue a message; dropped when the channel is closed. Raises ChannelError when it is too long."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(message))

    def begun(self) -> bytes:
        """The beginning of a message whose end has not come yet."""
        return self._frames.begun()

    def go_on(self, begun: bytes) -> None:
        """Before ``open``: what another has taken from the socket already."""
        self._frames.push(begun)

    def unsent(self) -> int:
        """Bytes that the other side has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def close(self) -> None:
        """Close after what is queued was sent."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop's call (asyncio.Protocol)."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass

    def data_received(self, data: bytes) -> None:
        """The loop's call (asyncio.Protocol)."""
        self._frames.push(data)
        if not self._waiting:
            self._deliver()

    def connection_lost(self, error: Exception | None) -> None:
        """The loop's call (asyncio.Protocol)."""
        self._transport = None
        if self._waiting:
            self._work_off(until=float("inf"))
        self._on_closed(self._why)

    def _deliver(self) -> None:
        """A plan of many parts comes at once: after a slice of them the loop's other work has its turn."""
        self._waiting = self._work_off(time.perf_counter() + SLICE)
        if self._waiting and self._loop is not None:
            self._loop.call_soon(self._deliver)

    def _work_off(self, until: float) -> bool:
        """Hand messages over; True when time was up before they were."""
        try:
            while (message := self._frames.next()) is not None:
                self._on_message(message)
                if time.perf_counter() > until:
                    return True
        except ChannelError as error:
            self._why = str(error)
            if self._transport is not None:
                self._transport.abort()
        return False


def read_first(sock: socket.socket, kinds: Any) -> Any:
    """Wait for the first message, before there is a loop; what came after it (a router that ends already) stays in the
    socket. Raises ChannelError, EOFError."""
    frames = Frames(kinds)
    while True:
        data = sock.recv(max(1, min(frames.missing(), READ_SIZE)))
        if not data:
            raise EOFError("the control process closed the channel")
        frames.push(data)
        message = frames.next()
        if message is not None:
            return message
