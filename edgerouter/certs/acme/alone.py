"""Waiting for one's turn among routers that share a storage. In threads only: it blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from edgerouter.certs.acme.refused import Refused
from edgerouter.certs.acme.storage import Storage, instance


@contextmanager
def alone(storage: Storage, name: str, seconds: float, patience: float, pause: float, what: str) -> Iterator[None]:
    """Hold the lock ``name``, which ends by itself after ``seconds``; ask for it every ``pause`` seconds.

    Raises Refused (``STORAGE``) after ``patience`` seconds: another router does ``what``. Raises StorageError."""
    end = time.monotonic() + patience
    while not storage.lock(name, instance(), seconds):
        if time.monotonic() > end:
            raise Refused("STORAGE", f"another router {what}, and has not come to an end")
        time.sleep(pause)
    try:
        yield
    finally:
        storage.unlock(name, instance())
