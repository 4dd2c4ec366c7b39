"""One kind of object of one API server, mirrored: list, then watch, for as long as the provider runs.

Raw objects are cut down to facts by a function that the caller brings; nothing here knows what they mean, so that any
kind can be mirrored. What the account may not see, or the server does not have, is a state with a reason, not an error.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final, Generic, TypeVar

import msgspec

from edgerouter.clients.kubernetes import ApiError, KubernetesClient

PAGE: Final = 500
RETRY_SECONDS: Final = 30.0  # between two tries of what was denied or absent; spread by a third

T = TypeVar("T")


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A resource of the API: ``group`` is "" for the core one. ``fields`` is a field selector."""

    group: str
    version: str
    plural: str
    namespaced: bool = True
    fields: str = ""
    labels: str = ""

    def path(self, namespace: str = "") -> str:
        """Return the collection's path; "" is all namespaces."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{base}{within}/{self.plural}"

    @property
    def title(self) -> str:
        """The resource as RBAC rules name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class _Expired(Exception):
    """The version that the watch began from is gone: list again."""


class Reflector(Generic[T]):
    """``items`` holds facts by ``namespace/name``; ``changed`` is called after each change of them or of the state.

    ``state``: starting, synced, denied (``denied`` says which verb) or absent (the server does not have this kind).
    """

    def __init__(
        self,
        client: KubernetesClient,
        kind: Kind,
        namespace: str,
        read: Callable[[dict[str, Any]], T | None],
        changed: Callable[[], None],
    ) -> None:
        self.kind = kind
        self.namespace = namespace
        self.items: dict[str, T] = {}
        self.state = "starting"
        self.denied = ""
        self._client = client
        self._read = read
        self._changed = changed

    async def run(self) -> None:
        """Mirror for ever; raises ConnectionError when the server is lost."""
        while True:
            try:
                version = await self._list()
            except ApiError as error:
                self._refused(error, "list")
                await _pause()
                continue
            try:
                while True:
                    version = await self._watch(version)
            except _Expired:
                continue
            except ApiError as error:
                self._refused(error, "watch")
                await _pause()

    def _refused(self, error: ApiError, verb: str) -> None:
        if error.code not in (403, 404, 405):
            raise ConnectionError(f"{verb} of {self.kind.title}: {error}") from error
        state = "denied" if error.code == 403 else "absent"
        if (self.state, self.denied) != (state, verb):
            if verb == "list":
                self.items = {}
            self.state, self.denied = state, verb
            self._changed()

    def _query(self, **more: str) -> dict[str, str]:
        given = {"fieldSelector": self.kind.fields, "labelSelector": self.kind.labels, **more}
        return {key: value for key, value in given.items() if value}

    async def _list(self) -> str:
        """Take the whole collection, page by page; return its version."""
        found: dict[str, T] = {}
        following = ""
        while True:
            query = self._query(limit=str(PAGE), **{"continue": following})
            try:
                page = await self._client.page(self.kind.path(self.namespace), query)
            except ApiError as error:
                if error.code != 410 or not following:
                    raise
                found, following = {}, ""  # the list changed too much under our hands: from its beginning again
                continue
            for raw in page.get("items") or ():
                self._enter(found, _key(raw), self._read(raw))
            meta = page.get("metadata") or {}
            following = str(meta.get("continue") or "")
            if not following:
                break
        self._take(found)
        return str(meta.get("resourceVersion") or "")

    def _take(self, found: dict[str, T]) -> None:
        new = self.state != "synced" or found != self.items
        self.items = found
        if self.denied != "watch":
            self.state, self.denied = "synced", ""
        if new:
            self._changed()

    async def _watch(self, version: str) -> str:
        """Follow one watch to its end; return the version to go on from. Raises _Expired, ApiError."""
        query = self._query(resourceVersion=version, allowWatchBookmarks="true")
        try:
            async with aclosing(self._client.watch(self.kind.path(self.namespace), query)) as events:
                async for event in events:
                    self._allowed()
                    version = self._event(event) or version
        except ApiError as error:
            if error.code == 410:
                raise _Expired from error
            raise
        return version

    def _allowed(self) -> None:
        """The watch is open: what was denied before is granted by now."""
        if self.state != "synced":
            self.state, self.denied = "synced", ""
            self._changed()

    def _event(self, event: dict[str, Any]) -> str:
        kind, raw = str(event.get("type")), event.get("object") or {}
        if kind == "ERROR":
            if raw.get("code") == 410:
                raise _Expired
            raise ConnectionError(f"the watch of {self.kind.title} ended: {raw.get('message')}")
        if kind in ("ADDED", "MODIFIED"):
            key = _key(raw)
            before, fact = self.items.get(key), self._read(raw)
            self._enter(self.items, key, fact)
            if fact != before:
                self._changed()
        elif kind == "DELETED" and self.items.pop(_key(raw), None) is not None:
            self._changed()
        return str((raw.get("metadata") or {}).get("resourceVersion") or "")

    @staticmethod
    def _enter(items: dict[str, T], key: str, fact: T | None) -> None:
        if fact is None:
            items.pop(key, None)
        else:
            items[key] = fact


def _key(raw: dict[str, Any]) -> str:
    meta = raw.get("metadata") or {}
    return f"{meta.get('namespace', '')}/{meta.get('name', '')}"


async def _pause() -> None:
    await asyncio.sleep(RETRY_SECONDS * random.uniform(0.7, 1.3))
