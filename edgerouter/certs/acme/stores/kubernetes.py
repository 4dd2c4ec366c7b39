"""The storage in Kubernetes: a Secret for each key, a Lease for each lock, in one namespace.

What the router's account needs there stands in ``config/samples/kubernetes/certificate-store.yml``. Names of Secrets
are hashes; the key stands in the annotation ``edgerouter.io/key``.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import math
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, parse_qs, quote

from edgerouter.certs.acme.storage import StorageError
from edgerouter.clients.kubernetes import ApiError, KubernetesClient
from edgerouter.clients.kubernetes_login import Credentials
from edgerouter.errors import ConfigurationError

SECONDS: Final = 15.0  # for an answer
_KEY: Final = "edgerouter.io/key"
_SECTION: Final = "edgerouter.io/section"
_KNOWN: Final = frozenset({"prefix", "endpoint", "token", "ca"})
_FORBIDDEN, _ABSENT, _CONFLICT = 403, 404, 409
_RIGHTS: Final = "config/samples/kubernetes/certificate-store.yml"
_Answer = TypeVar("_Answer")


class KubernetesStorage:
    """``kubernetes://NAMESPACE?prefix=edgerouter-acme``; with ``endpoint``, ``token`` and ``ca`` (a file) where neither
    the pod's own account nor the kubeconfig is meant."""

    shared = True

    def __init__(self, place: SplitResult) -> None:
        """Raises ConfigurationError for a place that cannot be one; asks nobody."""
        query = {name: values[-1] for name, values in parse_qs(place.query).items()}
        unknown = query.keys() - _KNOWN
        if unknown or not place.netloc or place.path.strip("/"):
            what = ", ".join(sorted(unknown)) or place.path.strip("/") or "a place without a namespace"
            raise ConfigurationError(f"what is {what!r}? Write kubernetes://NAMESPACE?prefix=edgerouter-acme")
        self._prefix = query.get("prefix", "edgerouter-acme")
        self._secrets = f"/api/v1/namespaces/{quote(place.netloc)}/secrets"
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{quote(place.netloc)}/leases"
        self._credentials = Credentials(
            endpoint=query.get("endpoint", ""), token=query.get("token", ""), ca_file=query.get("ca", "")
        )
        self._client: KubernetesClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._mutex = threading.Lock()

    def get(self, key: str) -> str | None:
        """See ``Storage.get``."""
        found = self._ask(self._find(f"{self._secrets}/{self._name(key)}"))
        return None if found is None else base64.b64decode(found["data"]["value"]).decode()

    def put(self, key: str, value: str) -> None:
        """See ``Storage.put``."""
        meta: dict[str, Any] = {
            "name": self._name(key),
            "labels": {"app.kubernetes.io/managed-by": "edgerouter", _SECTION: self._section(key)},
            "annotations": {_KEY: key},
        }
        data = {"value": base64.b64encode(value.encode()).decode()}
        body = {"apiVersion": "v1", "kind": "Secret", "type": "edgerouter.io/acme", "metadata": meta, "data": data}
        self._ask(self._put(self._secrets, meta["name"], body))

    def delete(self, key: str) -> None:
        """See ``Storage.delete``."""
        self._ask(self._drop(f"{self._secrets}/{self._name(key)}"))

    def keys(self, prefix: str) -> list[str]:
        """See ``Storage.keys``."""
        selector = {"labelSelector": f"{_SECTION}={self._section(prefix)}"}
        found = self._ask(self._send("GET", self._secrets, query=selector)).get("items", ())
        keys = (item["metadata"].get("annotations", {}).get(_KEY, "") for item in found)
        return sorted(key for key in keys if key.startswith(prefix))

    def lock(self, name: str, owner: str, seconds: float) -> bool:
        """See ``Storage.lock``; at least a second. The clocks of the machines must agree."""
        return self._ask(self._lock(self._name(f"locks/{name}"), owner, max(1, math.ceil(seconds))))

    def unlock(self, name: str, owner: str) -> None:
        """See ``Storage.unlock``."""
        self._ask(self._unlock(self._name(f"locks/{name}"), owner))

    def _name(self, key: str) -> str:
        return f"{self._prefix}-{hashlib.sha256(key.encode()).hexdigest()[:40]}"

    def _section(self, key: str) -> str:
        """What keys of one section have in common, as the value of a label."""
        section = f"{self._prefix}/{key.rpartition('/')[0]}"
        return hashlib.sha256(section.encode()).hexdigest()[:40]

    # -- requests, on a loop of their own -----------------------------------------------------------------------------

    def _ask(self, asking: Coroutine[Any, Any, _Answer]) -> _Answer:
        with self._mutex:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, daemon=True, name="kubernetes-storage").start()
        try:
            return asyncio.run_coroutine_threadsafe(_bounded(asking), self._loop).result()
        except ApiError as error:
            hint = f"; {_RIGHTS} has the rights that it needs" if error.code == _FORBIDDEN else ""
            raise StorageError(f"Kubernetes refuses: {error}{hint}") from error
        except (ConnectionError, TimeoutError, ConfigurationError) as error:
            words = error.message if isinstance(error, ConfigurationError) else str(error)
            raise StorageError(words or f"Kubernetes does not answer within {SECONDS:.0f} s") from error

    async def _send(self, method: str, path: str, body: Any = None, query: Any = None) -> dict[str, Any]:
        if self._client is None:
            self._client = await KubernetesClient.connect(self._credentials)
        return await self._client.send(method, path, body, query)

    async def _find(self, path: str) -> dict[str, Any] | None:
        try:
            return await self._send("GET", path)
        except ApiError as error:
            if error.code == _ABSENT:
                return None
            raise

    async def _drop(self, path: str, body: Any = None) -> None:
        try:
            await self._send("DELETE", path, body)
        except ApiError as error:
            if error.code not in (_ABSENT, _CONFLICT):
                raise

    async def _put(self, collection: str, name: str, body: Any) -> None:
        """Replace, or create; whoever wrote in between is replaced too."""
        while True:
            try:
                await self._send("PUT", f"{collection}/{name}", body)
                return
            except ApiError as error:
                if error.code != _ABSENT:
                    raise
            try:
                await self._send("POST", collection, body)
                return
            except ApiError as error:
                if error.code != _CONFLICT:
                    raise

    async def _lock(self, name: str, owner: str, seconds: int) -> bool:
        now = datetime.datetime.now(datetime.UTC)
        held = await self._find(f"{self._leases}/{name}")
        spec = {
            "holderIdentity": owner,
            "leaseDurationSeconds": seconds,
            "renewTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
        try:
            if held is None:
                await self._send("POST", self._leases, body)
                return True
            if held["spec"]["holderIdentity"] != owner and not _is_over(held["spec"], now):
                return False
            body["metadata"] = {"name": name, "resourceVersion": held["metadata"]["resourceVersion"]}
            await self._send("PUT", f"{self._leases}/{name}", body)
        except ApiError as error:
            if error.code in (_CONFLICT, _ABSENT):
                return False  # somebody was quicker
            raise
        return True

    async def _unlock(self, name: str, owner: str) -> None:
        held = await self._find(f"{self._leases}/{name}")
        if held is not None and held["spec"]["holderIdentity"] == owner:
            same = {"preconditions": {"resourceVersion": held["metadata"]["resourceVersion"]}}
            await self._drop(f"{self._leases}/{name}", {"apiVersion": "v1", "kind": "DeleteOptions", **same})


async def _bounded(asking: Coroutine[Any, Any, _Answer]) -> _Answer:
    async with asyncio.timeout(SECONDS):
        return await asking


def _is_over(spec: dict[str, Any], now: datetime.datetime) -> bool:
    renewed = datetime.datetime.fromisoformat(spec["renewTime"].replace("Z", "+00:00"))
    return renewed + datetime.timedelta(seconds=spec["leaseDurationSeconds"]) < now
