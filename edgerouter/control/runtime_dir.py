"""A private folder for the control process's Unix sockets: 0700, made at start, removed at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edgerouter.errors import ConfigurationError

SOCKET: Final = "control.sock"  # the one that ``edgerouter healthcheck`` asks
_LONGEST: Final = 70  # bytes of its parent's path: that of a Unix socket in it may have 107


@contextmanager
def runtime_dir(owner: tuple[int, int] | None = None, existing: Path | None = None) -> Iterator[Path]:
    """Yield the folder, owned by ``owner`` (uid, gid) when given; ``existing`` is one to go on with.

    Raises ConfigurationError if nothing is writable."""
    folder = _make(_parents(owner is not None)) if existing is None else existing
    try:
        if owner is not None and existing is None:
            os.chown(folder, *owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(parents: list[str]) -> Path:
    for parent in parents:
        try:
            return Path(tempfile.mkdtemp(prefix="edgerouter-", dir=parent))
        except OSError:
            continue
    places = ", ".join(parents)
    raise ConfigurationError(
        f"no folder for the control socket: none of {places} is writable; set TMPDIR to one that is"
    )


def _parents(drops_root: bool) -> list[str]:
    """Where a read-only container still has memory to write to: /dev/shm. Who is not root in the end cannot remove a
    folder from /run."""
    wanted = [os.environ.get(name, "") for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR")]
    shared = ["/tmp", "/dev/shm", os.getcwd()]
    places = [*wanted, *shared] if drops_root else [*wanted, "/run", *shared]
    return [place for place in dict.fromkeys(places) if place and len(os.fsencode(place)) < _LONGEST]


def control_sockets() -> list[str]:
    """The control sockets of routers that run here, or ran and were killed: by the folders' order, the newest first."""
    found: list[str] = []
    for parent in _parents(False):
        sockets = sorted(Path(parent).glob(f"edgerouter-*/{SOCKET}"), key=_made, reverse=True)
        found += map(str, sockets)
    return found


def _made(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone in the meantime
        return 0.0
