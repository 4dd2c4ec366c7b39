"""The storage for one machine: one JSON object in a file, mode 0600, written beside and renamed, so that a full disk or
a crash leaves the one before. Traefik's ``acme.json`` is read as it is, and kept.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import stat
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgerouter.certs.acme.storage import StorageError, is_gone
from edgerouter.errors import ConfigurationError

FORMAT: Final = "edgerouter-acme-1"


class FileStorage:
    """Several processes may share it: each change is made under a lock of the kernel."""

    shared = False

    def __init__(self, path: str) -> None:
        """Raises ConfigurationError when the file cannot be this storage: wrong mode, a folder, no JSON."""
        self._path = Path(path)
        self._mutex = threading.Lock()
        try:
            self._read()
        except StorageError as error:
            raise ConfigurationError(str(error)) from error

    def get(self, key: str) -> str | None:
        """See ``Storage.get``."""
        found = self._read().get(key)
        return None if found is None else json.dumps(found)

    def put(self, key: str, value: str) -> None:
        """See ``Storage.put``."""
        self._change(lambda data: data.__setitem__(key, json.loads(value)))

    def delete(self, key: str) -> None:
        """See ``Storage.delete``."""
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

    def _change(self, change: Any) -> None:
        try:
            with self._mutex, open(f"{self._path}.lock", "a", opener=_private) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                data = self._read()
                change(data)
                self._write(data)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error.strerror}; the file before is kept") from error

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                text = file.read()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}") from error
        if mode & 0o077:
            raise StorageError(
                f"{self._path} holds private keys, and its mode is {mode:o}: others may read it; chmod 600 {self._path}"
            )
        return _parse(text, self._path)

    def _write(self, data: Mapping[str, Any]) -> None:
        text = json.dumps({"format": FORMAT, **data}, indent=1, sort_keys=True).encode()
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


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _parse(text: bytes, path: Path) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        data = json.loads(text)
    except ValueError as error:
        raise StorageError(
            f"{path} is not whole JSON (byte {getattr(error, 'pos', 0)}); put a copy back, or move it away: "
            "certificates are then ordered anew"
        ) from error
    if not isinstance(data, dict):
        raise StorageError(f"{path} holds something else than certificates; name another file")
    if data.pop("format", None) != FORMAT:
        return imported(data)
    return data


def imported(data: Mapping[str, Any]) -> dict[str, Any]:
    """Traefik's ``acme.json``: resolver -> ``{Account, Certificates}``. What is not of that shape is left out."""
    made: dict[str, Any] = {}
    for resolver, kept in data.items():
        if not isinstance(kept, dict):
            continue
        account = kept.get("Account")
        if isinstance(account, dict) and account.get("PrivateKey"):
            uri = (account.get("Registration") or {}).get("uri", "")
            made[f"{resolver}/account"] = {"key": _traefik_key(account["PrivateKey"]), "uri": uri}
        for certificate in kept.get("Certificates") or ():
            domain = certificate.get("domain") or {}
            names = [domain.get("main", ""), *(domain.get("sans") or ())]
            made[f"{resolver}/certificates/{names[0]}"] = {
                "names": [name for name in names if name],
                "certificate": base64.b64decode(certificate["certificate"]).decode(),
                "key": base64.b64decode(certificate["key"]).decode(),
            }
    return made


def _traefik_key(text: str) -> str:
    """A PKCS#1 key in base64 of DER, as PEM."""
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN RSA PRIVATE KEY-----\n{lines}\n-----END RSA PRIVATE KEY-----\n"
