"""The storage in etcd, by the JSON gateway of its API (``/v3``, etcd 3.4 and later). A lock is a key with a lease.

Keys and values travel in base64, as the gateway wants them.
"""

from __future__ import annotations

import base64
import math
import threading
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, unquote

import requests

from edgerouter.certs.acme.storage import StorageError
from edgerouter.errors import ConfigurationError

SECONDS: Final = 5.0  # for an answer
_KNOWN: Final = frozenset({"prefix", "ca", "cert", "key"})


class EtcdStorage:
    """``etcd://user:password@host:2379,host:2379?prefix=edgerouter``; ``etcds://`` with ``ca``, ``cert``, ``key``."""

    shared = True

    def __init__(self, place: SplitResult) -> None:
        """Raises ConfigurationError for a place that cannot be one; asks nobody."""
        query = {name: values[-1] for name, values in parse_qs(place.query).items()}
        login, _, hosts = place.netloc.rpartition("@")
        unknown = query.keys() - _KNOWN
        if unknown or not hosts or place.path.strip("/"):
            what = ", ".join(sorted(unknown)) or place.path.strip("/") or "a place without a host"
            raise ConfigurationError(f"what is {what!r}? Write etcd://host:2379?prefix=edgerouter")
        scheme = "https" if place.scheme == "etcds" else "http"
        self._hosts = [f"{scheme}://{host if ':' in host else host + ':2379'}" for host in hosts.split(",") if host]
        self._prefix = query.get("prefix", "edgerouter")
        self._login = tuple(unquote(part) for part in login.split(":", 1)) if login else ()
        self._check: Any = query.get("ca") or True
        self._cert: Any = (query["cert"], query["key"]) if "cert" in query and "key" in query else query.get("cert")
        self._token = ""
        self._own = threading.local()

    def get(self, key: str) -> str | None:
        """See ``Storage.get``."""
        found = self._call("kv/range", {"key": self._key(key)}).get("kvs")
        return _text(found[0]["value"]) if found else None

    def put(self, key: str, value: str) -> None:
        """See ``Storage.put``."""
        self._call("kv/put", {"key": self._key(key), "value": _base64(value)})

    def delete(self, key: str) -> None:
        """See ``Storage.delete``."""
        self._call("kv/deleterange", {"key": self._key(key)})

    def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        begin = f"{self._prefix}/data/{prefix}".encode()
        end = begin[:-1] + bytes([begin[-1] + 1])
        asked = {"key": _base64(begin), "range_end": _base64(end), "keys_only": True}
        skip = len(f"{self._prefix}/data/")
        return sorted(_text(found["key"])[skip:] for found in self._call("kv/range", asked).get("kvs", ()))

    def lock(self, name: str, owner: str, seconds: float) -> bool:
        """See ``Storage.lock``. The lease ends by itself; etcd makes it a few seconds long at least."""
        key = self._lock(name)
        lease = self._call("lease/grant", {"TTL": max(1, math.ceil(seconds))})["ID"]
        put = [{"requestPut": {"key": key, "value": _base64(owner), "lease": lease}}]
        fresh = {"key": key, "target": "CREATE", "createRevision": "0"}
        if self._succeeds([fresh], put) or self._succeeds([_owned(key, owner)], put):
            return True
        self._call("lease/revoke", {"ID": lease})
        return False

    def unlock(self, name: str, owner: str) -> None:
        """See ``Storage.unlock``."""
        key = self._lock(name)
        self._succeeds([_owned(key, owner)], [{"requestDeleteRange": {"key": key}}])

    def _succeeds(self, compare: list[Any], then: list[Any]) -> bool:
        return bool(self._call("kv/txn", {"compare": compare, "success": then}).get("succeeded"))

    def _key(self, key: str) -> str:
        return _base64(f"{self._prefix}/data/{key}")

    def _lock(self, name: str) -> str:
        return _base64(f"{self._prefix}/locks/{name}")

    # -- the gateway ------------------------------------------------------------------------------------------------

    def _call(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask one host after the other."""
        if self._login and not self._token:
            login = {"name": self._login[0], "password": self._login[-1]}
            self._token = str(self._send("auth/authenticate", login).get("token"))
        return self._send(what, body)

    def _send(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        why = ""
        for host in self._hosts:
            try:
                answer = self._session().post(f"{host}/v3/{what}", json=body, timeout=SECONDS, headers=self._headers())
                found = answer.json()
            except (requests.RequestException, ValueError) as error:
                why = f"{host} does not answer: {type(error).__name__}"
                continue
            if answer.ok and isinstance(found, dict):
                return found
            if answer.status_code == 401 or "token" in str(found):
                self._token = ""  # it was given for a while only
            why = f"{host} says: {found.get('error') or answer.reason}"
        raise StorageError(f"etcd: {why}")

    def _headers(self) -> dict[str, str]:
        return {"Authorization": self._token} if self._token else {}

    def _session(self) -> requests.Session:
        """One for each thread: sessions are not made to be shared."""
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = requests.Session()
            session.trust_env = False
            session.verify, session.cert = self._check, self._cert
        return session


def _owned(key: str, owner: str) -> dict[str, str]:
    return {"key": key, "target": "VALUE", "value": _base64(owner)}


def _base64(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def _text(data: str) -> str:
    return base64.b64decode(data).decode()
