"""The storage for one machine: one JSON object in a file, mode 0600, written beside and renamed, so that a full disk or
a crash leaves the one before. What cannot be read is never written over. Traefik's ``acme.json`` is read as it is, and
kept under another name before the first change.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from edgerouter.certs.acme.storage import StorageError, is_gone
from edgerouter.certs.acme.stores._mounted import is_mounted, whole, write_over
from edgerouter.certs.acme.stores._traefik import imported
from edgerouter.errors import ConfigurationError

FORMAT: Final = "edgerouter-acme-1"
LEFT_BEHIND: Final = 60.0  # seconds until what a writer wrote beside and did not rename is a dead one's
_HINTS: Final = {
    errno.EBUSY: "a file that is mounted by itself cannot be replaced: mount its folder",
    errno.ENOENT: "its folder is not there",
    errno.EROFS: "mount a folder that can be written to, or name a file in one",
    errno.EACCES: "the router's user must be able to write to it and to its folder",
}
log = logging.getLogger("edgerouter.acme")


class FileStorage:
    """Several processes may share it: each change is made under a lock of the kernel."""

    shared = False

    def __init__(self, path: str) -> None:
        """Raises ConfigurationError for a folder. A file that cannot be read is said at each use: it may be mended."""
        self._path = Path(os.path.realpath(path))  # where it is a link, that stays one
        self._mounted = is_mounted(self._path)
        self._mutex = threading.Lock()
        self._told: set[str] = set()
        self._seen: tuple[tuple[int, ...], dict[str, Any]] = ((), {})
        if self._path.is_dir():
            raise ConfigurationError(f"{path} is a folder; name a file in it, as {path.rstrip('/')}/acme.json")

    def get(self, key: str) -> str | None:
        """See ``Storage.get``."""
        found = self._read().get(key)
        return None if found is None else json.dumps(found)

    def put(self, key: str, value: str) -> None:
        """See ``Storage.put``."""
        self._change(lambda data: data.__setitem__(key, json.loads(value)))

    def delete(self, key: str) -> None:
        """See ``Storage.delete``."""
        if key in self._read():
            self._change(lambda data: data.pop(key, None))

    def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        return sorted(key for key in self._read() if key.startswith(prefix))

    def lock(self, name: str, owner: str, seconds: float) -> bool:
        """See ``Storage.lock``."""
        now = time.time()
        taken = False

        def take(data: dict[str, Any]) -> None:
            nonlocal taken
            held = data.get(f"locks/{name}")
            taken = held is None or held["owner"] == owner or held["until"] < now or is_gone(held["owner"])
            if taken:
                data[f"locks/{name}"] = {"owner": owner, "until": now + seconds}

        self._change(take)
        return taken

    def unlock(self, name: str, owner: str) -> None:
        """See ``Storage.unlock``."""

        def drop(data: dict[str, Any]) -> None:
            if data.get(f"locks/{name}", {}).get("owner") == owner:
                del data[f"locks/{name}"]

        self._change(drop)

    def _change(self, change: Callable[[dict[str, Any]], object]) -> None:
        try:
            # Of a mounted file the others have the same file, and another folder.
            lock_at = self._path if self._mounted else f"{self._path}.lock"
            with self._mutex, open(lock_at, "a", opener=_private) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                data, foreign = self._load()
                change(data)
                if foreign and self._mounted:
                    data["before"] = foreign.decode(
                        "utf-8", "replace"
                    )  # beside it is the container, which is thrown away
                elif foreign:
                    self._keep(foreign)
                self._write(data)
        except OSError as error:
            hint = f"; {_HINTS[error.errno]}" if error.errno in _HINTS else ""
            words = f"{self._path} cannot be written: {error.strerror}; the file before is kept{hint}"
            raise StorageError(words) from error

    def _read(self) -> dict[str, Any]:
        """To look at only: what was read before is given again while the file is the same."""
        try:
            now = os.stat(self._path)
        except OSError:
            return self._load()[0]
        mark = (now.st_ino, now.st_mtime_ns, now.st_size, now.st_mode)
        if mark != self._seen[0]:
            self._seen = (mark, self._load()[0])
        return self._seen[1]

    def _load(self) -> tuple[dict[str, Any], bytes]:
        """What it holds; and its text, if somebody else wrote it."""
        try:
            with self._path.open("rb") as file:
                text = file.read()
                self._make_private(file.fileno(), bool(text.strip()))
        except FileNotFoundError:
            return {}, b""
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}") from error
        data = _parse(whole(self._path, text) if self._mounted else text, self._path)
        if not data or data.pop("format", None) == FORMAT:
            return data, b""
        made, left_out = imported(data)
        for place in left_out:
            if place not in self._told:
                self._told.add(place)
                log.warning("%s: %s cannot be read, and is left out", self._path, place)
        return made, text

    def _make_private(self, descriptor: int, holds: bool) -> None:
        """Others may not read it from now on. Some platforms set the mode anew at each start of a container."""
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if not mode & 0o077:
            return
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o600)
        if os.fstat(descriptor).st_mode & 0o077:
            words = f"{self._path} is for private keys, its mode is {mode:o}, and the router cannot change that"
            raise StorageError(f"{words}: chmod 600 {self._path}, or put it on a disk that keeps modes")
        if holds:
            words = (
                "%s holds private keys, and its mode was %o: it is 600 now. Whoever may log in here may have read them"
            )
            log.warning(words, self._path, mode)

    def _keep(self, foreign: bytes) -> None:
        """Under another name: whoever goes back to Traefik has it as it was."""
        place = f"{self._path}.before-{hashlib.sha256(foreign).hexdigest()[:8]}"
        with contextlib.suppress(FileExistsError), open(place, "xb", opener=_private) as file:
            file.write(foreign)
            file.flush()
            os.fsync(file.fileno())
            log.info("%s: as it was before, it is kept in %s", self._path, place)

    def _write(self, data: Mapping[str, Any]) -> None:
        text = json.dumps({"format": FORMAT, **data}, indent=1, sort_keys=True).encode()
        if self._mounted:
            return write_over(self._path, text)
        self._sweep()
        descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            os.unlink(name)
            raise
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _sweep(self) -> None:
        """Who was killed in the middle of writing has left keys behind."""
        for found in self._path.parent.glob(f".{glob.escape(self._path.name)}.*"):
            with contextlib.suppress(OSError):
                if time.time() - found.stat().st_mtime > LEFT_BEHIND:
                    found.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _parse(text: bytes, path: Path) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        data = json.loads(text)
    except ValueError as error:
        raise StorageError(
            f"{path} is not whole JSON (byte {getattr(error, 'pos', 0)}), and is left as it is; put a copy back, or "
            "move it away: certificates are then ordered anew"
        ) from error
    if not isinstance(data, dict):
        raise StorageError(f"{path} holds something else than certificates; name another file")
    return data
