"""A file that is mounted by itself (``-v ./acme.json:/acme.json``): nothing can take its place, so it is written over.

What is written stands beside it first, whole, where the folder can be written to: whoever is killed in the middle finds
it there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mountinfo")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def is_mounted(path: Path) -> bool:
    """True when ``path``, a file without links in it, is a mount point (proc(5), mountinfo: the fifth field)."""
    try:
        points = [line.split(" ")[4] for line in _MOUNTS.read_text().splitlines()]
    except OSError:  # no Linux, or no /proc
        return False
    return path.is_file() and str(path) in (_ESCAPED.sub(lambda code: chr(int(code[1], 8)), point) for point in points)


def beside(path: Path) -> Path:
    """Where the text stands while the file is written over."""
    return path.with_name(f".{path.name}.whole")


def write_over(path: Path, text: bytes) -> None:
    """Write the file anew in its place. Raises OSError: then it is as it was, but for a failing disk.

    A full disk says so before the first byte: the room is asked for (posix_fallocate). NULs at the end are its trace
    where the router was killed then."""
    copy = beside(path)
    descriptor = os.open(path, os.O_WRONLY)
    try:
        if len(text) > os.fstat(descriptor).st_size:
            os.posix_fallocate(descriptor, 0, len(text))
        with contextlib.suppress(OSError):  # the container's own folder may be read-only
            _write_whole(copy, text)
        _write(descriptor, text)
    finally:
        os.close(descriptor)
    copy.unlink(missing_ok=True)


def whole(path: Path, text: bytes) -> bytes:
    """What a file holds that was read as ``text``, or what its writer meant to write and was killed."""
    text = text.rstrip(b"\0")
    if _is_json(text):
        return text
    with contextlib.suppress(OSError):
        meant = beside(path).read_bytes()
        return meant if _is_json(meant) else text
    return text


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _write_whole(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        _write(descriptor, text)
    finally:
        os.close(descriptor)


def _write(descriptor: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.ftruncate(descriptor, len(text))
    os.fsync(descriptor)
