"""What control process and workers say to each other, and its framing: tagged structs in msgpack behind a length.

Shapes and pure functions only; the socket belongs to ``edgerouter.worker.channel``. Both sides decode against these
classes and refuse what is longer than ``MAX_MESSAGE``: the channel carries data, never code (no pickle).
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from edgerouter.config.static import EntryPoint, StaticConfiguration
from edgerouter.config.types import decode_hook, reveal_hook
from edgerouter.contracts.plan import Entry

MAX_MESSAGE: Final = 64 * 1024 * 1024
_LENGTH: Final = struct.Struct("!I")


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all messages."""


# --- control process -> worker ---------------------------------------------------------------------------------


class ListenOn(msgspec.Struct, frozen=True, kw_only=True):
    """An entry point as a worker gets it. ``key`` numbers it in the metrics memory, ``fds`` holds the
    inherited listening socket of every worker slot."""

    name: str
    key: int
    settings: EntryPoint
    fds: tuple[int, ...]


class Start(Message, frozen=True, tag="start"):
    """The first message. ``slot`` counts from 0 to ``slots`` - 1. File descriptors are -1 when there is none.

    ``metrics_fd`` is the memfd of this worker's counters, ``records_fd`` the one that all workers share.
    ``control_path`` is the Unix socket on which the control process answers. ``static`` comes without providers'
    and resolvers' sections. ``heartbeat`` is in seconds.
    """

    slot: int
    slots: int
    entry_points: tuple[ListenOn, ...]
    metrics_fd: int = -1
    records_fd: int = -1
    control_path: str = ""
    static: StaticConfiguration = StaticConfiguration()
    heartbeat: float = 0.5
    part: int = -1  # of the shared records; -1: that of its slot
    waits: bool = False  # accept only when TakeSockets names the own slot: another worker does until then


class Delta(Message, frozen=True, tag="delta"):
    """What changed since the last generation that this worker was sent; a generation may come in several parts, and
    is applied when the one with ``last`` is there. ``removed`` holds keys as ``plan.entry_key`` makes them."""

    generation: int
    entries: tuple[Entry, ...] = ()
    removed: tuple[str, ...] = ()
    last: bool = True


class TakeSockets(Message, frozen=True, tag="takeSockets"):
    """Accept from the listening sockets of this slot too: its worker is gone."""

    slot: int


class ReturnSockets(Message, frozen=True, tag="returnSockets"):
    """The slot has a worker again: accept no longer from its listening sockets."""

    slot: int


class Terminating(Message, frozen=True, tag="terminating"):
    """The end is near: go on accepting, but answer ping with ``status``, so that balancers look elsewhere."""

    status: int = 503


class StopAccepting(Message, frozen=True, tag="stopAccepting"):
    """Close the listening sockets of these entry points, of all when none is named: their queues are empty by now.
    Answered by ``Stopped``."""

    entry_points: tuple[str, ...] = ()


AS_LONG_AS_USUAL: Final = -1.0  # for ``Drain.idle``


class Drain(Message, frozen=True, tag="drain"):
    """Let the exchanges of these entry points (none named: of all) end, for ``timeout`` seconds at most. When this was
    said of every entry point and is done, the worker answers ``Drained`` and exits.

    A connection that waits for a request is closed ``idle`` seconds after its last, below 0.0 when it would be anyway.
    Said again, the shorter time counts.
    """

    timeout: float
    idle: float = 1.0
    entry_points: tuple[str, ...] = ()


class ServersHealth(Message, frozen=True, tag="serversHealth"):
    """What health checks found: (service, server's url) pairs that went ``down``, and that came ``up`` again. A worker
    believes it of servers that later plans name too; it begins by believing that all are up."""

    down: tuple[tuple[str, str], ...] = ()
    up: tuple[tuple[str, str], ...] = ()


class ReopenLogs(Message, frozen=True, tag="reopenLogs"):
    """Open the access log's file anew: it was rotated."""


class Retire(Message, frozen=True, tag="retire"):
    """Give back the blocks at these places of the counters' memory: their router or service is no more."""

    places: tuple[int, ...] = ()


class CertificateRefused(Message, frozen=True, tag="certificateRefused"):
    """No certificate comes for the name of a ``CertificateWanted``; it is not worth asking again for ``seconds``."""

    name: str
    seconds: float


ToWorker = (
    Start
    | Delta
    | ServersHealth
    | TakeSockets
    | ReturnSockets
    | Terminating
    | StopAccepting
    | Drain
    | ReopenLogs
    | Retire
    | CertificateRefused
)

# --- worker -> control process ---------------------------------------------------------------------------------


class Hello(Message, frozen=True, tag="hello"):
    """The worker has its start message and waits for its first plan."""

    pid: int


class Applied(Message, frozen=True, tag="applied"):
    """The generation is live in this worker, ``seconds`` after its last part came. With ``error`` it is not: the
    generation before goes on serving."""

    generation: int
    seconds: float = 0.0
    error: str = ""


class Heartbeat(Message, frozen=True, tag="heartbeat"):
    """``stall``: the longest loop stall in seconds since the last heartbeat."""

    stall: float = 0.0
    in_flight: int = 0
    connections: int = 0


class Stopped(Message, frozen=True, tag="stopped"):
    """No listening socket of these entry points (none named: of any) is open any more in this worker."""

    entry_points: tuple[str, ...] = ()


class Drained(Message, frozen=True, tag="drained"):
    """The worker is about to exit; ``cut`` exchanges were not over in time."""

    cut: int = 0


class UnmatchedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that got a 404 page with an id. ``headers`` are ``Name: value`` lines; ``at`` is a time since 1970."""

    id: str
    method: str
    url: str
    headers: tuple[str, ...]
    entry_point: str
    client: str
    at: float


class Unmatched(Message, frozen=True, tag="unmatched"):
    """What ``explain`` may be asked by id, since the heartbeat before; not sent when there is nothing."""

    requests: tuple[UnmatchedRequest, ...]


class CertificateWanted(Message, frozen=True, tag="certificateWanted"):
    """A client of this entry point asks for a name that no certificate bears, and waits. The answer is a plan with a
    certificate for it, or ``CertificateRefused``."""

    name: str
    entry_point: str


ToControl = Hello | Applied | Heartbeat | Stopped | Drained | Unmatched | CertificateWanted

# --- framing ---------------------------------------------------------------------------------------------------


class ChannelError(Exception):
    """The other side does not speak this protocol: message too long, unknown tag, wrong field."""


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=reveal_hook)


def frame(message: Message) -> bytes:
    """Encode for the channel: four bytes of length, then msgpack. Raises ChannelError beyond ``MAX_MESSAGE``."""
    body = _encoder.encode(message)
    if len(body) > MAX_MESSAGE:
        raise ChannelError(f"a {type(message).__name__} of {len(body)} bytes is longer than {MAX_MESSAGE} bytes")
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Bytes in, messages out. ``kinds`` is ``ToWorker`` or ``ToControl``: anything else is refused."""

    def __init__(self, kinds: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(kinds, dec_hook=decode_hook)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Take bytes and return the messages that are complete now; raises ChannelError."""
        self.push(data)
        messages: list[Any] = []
        while (message := self.next()) is not None:
            messages.append(message)
        return messages

    def push(self, data: bytes) -> None:
        """Take bytes; nothing is decoded yet."""
        self._buffer += data

    def begun(self) -> bytes:
        """What was pushed and not decoded yet."""
        return bytes(self._buffer)

    def missing(self) -> int:
        """How many bytes the next message, or the length before it, still needs; 0 when it is complete."""
        if len(self._buffer) < _LENGTH.size:
            return _LENGTH.size - len(self._buffer)
        return max(0, _LENGTH.size + int(_LENGTH.unpack_from(self._buffer)[0]) - len(self._buffer))

    def next(self) -> Any:
        """Decode one message, or None when none is complete; raises ChannelError."""
        if len(self._buffer) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._buffer)
        if size > MAX_MESSAGE:
            raise ChannelError(f"a message of {size} bytes is longer than {MAX_MESSAGE} bytes")
        end = _LENGTH.size + size
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return self._decode(body)

    def _decode(self, body: bytes) -> Any:
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, ValueError) as error:
            raise ChannelError(f"not a message of this channel: {error}") from error
