"""What routers that share a storage leave there for each other: who orders a name, what came of it, and open proofs.

    le/certificates/<label>   names, certificate, key
    le/orders/<label>         the order that is under way, with the key of its certificate
    le/failures/<label>       the last attempt, if it failed
    le/unwanted/<label>       since when no router wants its certificate
    le/http, le/tls           proofs that any router may be asked for

A lock on the label makes one router the leader of one order. It is renewed while that lives, and is free a while after
it died; whoever has it next goes on with the order that is written down. All of it blocks.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec

from edgerouter.certs.acme.authority import Issued
from edgerouter.certs.acme.state import Attempt
from edgerouter.certs.acme.storage import Storage, StorageError, instance
from edgerouter.certs.acme.wanted import Names, label_of

LOCK_SECONDS: Final = 10.0  # a leader that died is replaced after this time
PROOF_SECONDS: Final = 600.0  # a proof that is older was left behind
log = logging.getLogger("edgerouter.acme")


class Together:
    """One resolver's part of a storage."""

    def __init__(self, storage: Storage, resolver: str) -> None:
        self.shared = storage.shared
        self._storage = storage
        self._resolver = resolver

    # -- who orders -------------------------------------------------------------------------------------------------

    @contextmanager
    def leading(self, names: Names) -> Iterator[bool]:
        """True while these names are ours to order. Raises StorageError when nobody can say."""
        name = f"{self._resolver}/{label_of(names)}"
        if not self._storage.lock(name, instance(), LOCK_SECONDS):
            yield False
            return
        over = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(name, over), daemon=True)
        renewing.start()
        try:
            yield True
        finally:
            over.set()
            renewing.join()
            try:
                self._storage.unlock(name, instance())
            except StorageError as error:
                log.warning("%s: the lock of %s ends by itself: %s", self._resolver, names[0], error)

    def _renew(self, name: str, over: threading.Event) -> None:
        while not over.wait(LOCK_SECONDS / 3):
            try:
                self._storage.lock(name, instance(), LOCK_SECONDS)
            except StorageError as error:
                log.warning("%s: the lock %s was not renewed: %s", self._resolver, name, error)

    # -- certificates -----------------------------------------------------------------------------------------------

    def all(self) -> Iterator[Issued]:
        """Every certificate that is kept; one that cannot be read is told, and left where it is."""
        for key in self._storage.keys(f"{self._resolver}/certificates/"):
            try:
                one = _issued(self._storage.get(key) or "{}")
            except (KeyError, ValueError, TypeError) as error:
                log.warning("%s: %s in the storage cannot be read and is left there: %s", self._resolver, key, error)
                continue
            yield one

    def certificate(self, names: Names) -> Issued | None:
        """The one for these names."""
        try:
            found = self._storage.get(f"{self._resolver}/certificates/{label_of(names)}")
            return None if found is None else _issued(found)
        except (KeyError, ValueError, TypeError):
            return None

    def keep(self, one: Issued) -> None:
        """For us after a restart, and for others."""
        body = {"names": list(one.names), "certificate": one.certificate, "key": one.key}
        self._storage.put(f"{self._resolver}/certificates/{label_of(one.names)}", json.dumps(body))

    def drop(self, names: Names) -> None:
        """Nobody will want this one again."""
        self._storage.delete(f"{self._resolver}/certificates/{label_of(names)}")

    # -- failures ---------------------------------------------------------------------------------------------------

    def failure(self, names: Names) -> Attempt | None:
        """The last attempt, if it failed."""
        try:
            found = self._storage.get(self._failure(names))
            return None if found is None else msgspec.json.decode(found, type=Attempt)
        except msgspec.MsgspecError:
            return None

    def failed(self, attempt: Attempt) -> None:
        """Others are not to try at once what has just failed."""
        self._storage.put(self._failure(attempt.names), msgspec.json.encode(attempt).decode())

    def well(self, names: Names) -> None:
        """No failure any more."""
        self._storage.delete(self._failure(names))

    def _failure(self, names: Names) -> str:
        return f"{self._resolver}/failures/{label_of(names)}"

    # -- what nobody wants ------------------------------------------------------------------------------------------

    def unwanted(self) -> dict[Names, float]:
        """What is noted of certificates that no router wants; one that cannot be read counts from anew."""
        found = {}
        for key in self._storage.keys(f"{self._resolver}/unwanted/"):
            with suppress(KeyError, ValueError, TypeError):
                kept = json.loads(self._storage.get(key) or "{}")
                found[tuple(kept["names"])] = float(kept["since"])
        return found

    def note_unwanted(self, names: Names, since: float) -> None:
        """Nobody wants it since then."""
        self._storage.put(self._unwanted(names), json.dumps({"names": list(names), "since": since}))

    def forget_unwanted(self, names: Names) -> None:
        """Somebody does, or it is there no more."""
        self._storage.delete(self._unwanted(names))

    def _unwanted(self, names: Names) -> str:
        return f"{self._resolver}/unwanted/{label_of(names)}"

    # -- proofs -----------------------------------------------------------------------------------------------------

    def show_page(self, name: str, token: str, authorization: str) -> None:
        """A proof over HTTP that every router may be asked for."""
        for key in self._storage.keys(f"{self._resolver}/http/{name.lower()}:"):
            if time.time() - json.loads(self._storage.get(key) or "{}").get("at", 0.0) > PROOF_SECONDS:
                self._storage.delete(key)
        self._put(f"http/{name.lower()}:{token}", {"proof": authorization})

    def page(self, name: str, token: str) -> str | None:
        """The proof that some router shows."""
        found = self._storage.get(f"{self._resolver}/http/{name.lower()}:{token}")
        return None if found is None else str(json.loads(found)["proof"])

    def show_certificate(self, name: str, pair: tuple[str, str]) -> None:
        """A challenge's certificate that every router may be asked for."""
        self._put(f"tls/{name}", {"certificate": pair[0], "key": pair[1]})

    def certificates(self) -> dict[str, tuple[str, str]]:
        """The challenges' certificates of all routers, by name; what a dead one left behind is taken away."""
        found = {}
        for key in self._storage.keys(f"{self._resolver}/tls/"):
            kept = json.loads(self._storage.get(key) or "{}")
            if time.time() - kept.get("at", 0.0) > PROOF_SECONDS:
                self._storage.delete(key)
            else:
                found[key.rpartition("/")[2]] = (kept["certificate"], kept["key"])
        return found

    def hide_page(self, name: str, token: str) -> None:
        """Show it no longer."""
        self._storage.delete(f"{self._resolver}/http/{name.lower()}:{token}")

    def hide_certificate(self, name: str) -> None:
        """Show it no longer."""
        self._storage.delete(f"{self._resolver}/tls/{name}")

    def _put(self, key: str, body: dict[str, Any]) -> None:
        self._storage.put(f"{self._resolver}/{key}", json.dumps(body | {"at": time.time()}))


def _issued(text: str) -> Issued:
    kept = json.loads(text)
    return Issued(tuple(kept["names"]), kept["certificate"], kept["key"])
