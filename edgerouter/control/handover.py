"""What a control process leaves to the one that replaces it by ``execve``: shapes, and a memory that survives that.

Plain data in msgpack: no pickle. File descriptors travel as numbers; they stay open over the exec. ``FORMAT`` is raised
when an older or newer program could not make sense of it: then ``read`` refuses, and the old program goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from edgerouter.config.types import decode_hook, reveal_hook
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.view import WorkloadView
from edgerouter.telemetry.reader import Counted

FORMAT: Final = 1  # of this data and of the messages between control process and workers
VARIABLE: Final = "EDGEROUTER_HANDOVER"  # names the descriptor of the memory, for the program that takes over


class HandoverError(Exception):
    """What was left cannot be used; says why."""


class PointLeft(msgspec.Struct, frozen=True, kw_only=True):
    """An entry point's listening sockets, one a worker slot."""

    name: str
    host: str
    port: int
    fds: tuple[int, ...]


class WorkerLeft(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that goes on meanwhile, and is the new program's child as it was the old one's.

    ``received`` is the begun message of its channel, ``started`` is on ``time.monotonic``, ``label`` names its
    counters, ``part`` is its part of the shared records. ``leaving``: it was told to drain before.
    """

    slot: int
    pid: int
    channel: int
    stderr: int
    counters: int
    label: str
    part: int
    started: float
    applied: int = 0
    received: bytes = b""
    leaving: bool = False


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. ``program`` is the command line that brings the old program back, ``tries`` counts how often that was
    needed, ``reason`` says why. ``pages`` are the listening Unix sockets in ``folder``, by path."""

    version: str
    program: tuple[str, ...]
    points: tuple[PointLeft, ...]
    workers: tuple[WorkerLeft, ...]
    pages: dict[str, int]
    folder: str
    records: int
    keys: dict[str, dict[str, int]]
    counted: Counted
    generation: int
    restarts: int
    upgrades: int
    started: float
    patience: float = 1.0  # times are longer by this factor (experimental.patience)
    snapshots: bytes = b""
    ledger: tuple[WorkloadView, ...] = ()
    certificates: dict[str, Any] = {}  # the certificate store's own: secrets of session tickets, the generated default
    tries: int = 0
    reason: str = ""

    def fds(self) -> set[int]:
        """Every descriptor that must survive, but the memory's own."""
        fds = {self.records, *self.pages.values()}
        for point in self.points:
            fds.update(point.fds)
        for worker in self.workers:
            fds.update((worker.channel, worker.stderr, worker.counters))
        return fds


class _Form(msgspec.Struct):
    """Read first: nothing else is believed before that."""

    format: int = 0


class _Envelope(msgspec.Struct):
    left: Handover
    format: int = FORMAT


def write(left: Handover) -> int:
    """Write it into a new memfd; its descriptor. Raises OSError."""
    fd = os.memfd_create("edgerouter-handover", os.MFD_CLOEXEC)
    data = memoryview(msgspec.msgpack.encode(_Envelope(left), enc_hook=reveal_hook))
    while data:
        data = data[os.write(fd, data) :]
    return fd


def read(fd: int) -> Handover:
    """Raises HandoverError."""
    try:
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        found = msgspec.msgpack.decode(data, type=_Form).format
        if found != FORMAT:
            raise HandoverError(f"it speaks of form {found}, and this program only understands form {FORMAT}")
        return msgspec.msgpack.decode(data, type=_Envelope, dec_hook=decode_hook).left
    except (OSError, msgspec.DecodeError) as error:
        raise HandoverError(f"it cannot be read: {error}") from error


def pack_snapshots(snapshots: Mapping[str, Snapshot]) -> bytes:
    """Providers' newest answers, secrets in clear: the memory is this process's alone."""
    return msgspec.msgpack.encode(dict(snapshots), enc_hook=reveal_hook)


def unpack_snapshots(
    data: bytes, providers: Iterable[str], kinds: Mapping[str, Mapping[str, Any]]
) -> dict[str, Snapshot]:
    """The answers of those ``providers``, typed again by the table of ``kinds``. What this program does not understand
    is left out: its provider is asked anew anyway."""
    try:
        raw = msgspec.msgpack.decode(data, type=dict[str, msgspec.Raw]) if data else {}
    except msgspec.DecodeError:
        return {}
    found = {name: _snapshot(raw[name], kinds) for name in providers if name in raw}
    return {name: snapshot for name, snapshot in found.items() if snapshot is not None}


def _snapshot(raw: msgspec.Raw, kinds: Mapping[str, Mapping[str, Any]]) -> Snapshot | None:
    try:
        snapshot = msgspec.msgpack.decode(raw, type=Snapshot, dec_hook=decode_hook)
        http = snapshot.configuration.http
        http = msgspec.structs.replace(
            http,
            middlewares={name: _typed(item, kinds["middlewares"]) for name, item in http.middlewares.items()},
            services={name: _typed(item, kinds["services"]) for name, item in http.services.items()},
        )
    except (msgspec.DecodeError, ValueError, TypeError):
        return None
    return msgspec.structs.replace(snapshot, configuration=msgspec.structs.replace(snapshot.configuration, http=http))


def _typed(item: Any, classes: Mapping[str, Any]) -> Any:
    cls = classes.get(item.kind)
    if cls is None or item.refused:
        return item
    return msgspec.structs.replace(item, options=msgspec.convert(item.options, cls, dec_hook=decode_hook))
