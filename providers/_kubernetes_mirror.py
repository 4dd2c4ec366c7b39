"""All kinds of objects that Ingresses need, mirrored together: which are asked for, and what stands in for what is not
granted. Yields the world anew whenever something in it changed; what it means is ``_ingress_decide``'s matter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

import msgspec

from edgerouter.clients.kubernetes import ApiError, KubernetesClient
from edgerouter.config.ingress_versions import VERSIONS
from edgerouter.config.types import Problem
from edgerouter.providers._ingress_decide import World
from edgerouter.providers._kubernetes_facts import (
    read_class,
    read_endpoints,
    read_ingress,
    read_node,
    read_secret,
    read_service,
    read_slice,
)
from edgerouter.providers._kubernetes_reflector import Kind, Reflector

# Changes that come together (a rollout's endpoints, the answers to the first lists) make one answer.
COALESCE_SECONDS: Final = 0.05
LONGEST_REST: Final = 0.25
# Helm keeps its releases in secrets, up to 1 MB each: they are nobody's business here.
_NOT_HELM: Final = "type!=helm.sh/release.v1"

SERVICES: Final = Kind(group="", version="v1", plural="services")
SECRETS: Final = Kind(group="", version="v1", plural="secrets", fields=_NOT_HELM)
ENDPOINTS: Final = Kind(group="", version="v1", plural="endpoints")
NODES: Final = Kind(group="", version="v1", plural="nodes", namespaced=False)
SLICES: Final = Kind(group="discovery.k8s.io", version="v1", plural="endpointslices")

# What is lost without a kind, and what stands in for it.
_WITHOUT: Final = {
    "ingresses": "no Ingress is served",
    "services": "no Ingress has servers",
    "endpoints": "no Service has servers",
    "endpointslices": "Endpoints are read in their stead",
    "secrets": "certificates and users in secrets are not there",
    "ingressclasses": "classes are told apart by their names and by annotations",
    "nodes": "node ports cannot be used as servers",
}


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What of the cluster is looked at. ``namespaces`` empty: all. ``published``: the service whose addresses stand in
    statuses."""

    provider: str
    namespaces: tuple[str, ...] = ()
    label_selector: str = ""
    cluster_scope: bool = True
    classes: bool = True
    published: str = ""
    throttle: float = 0.0


class Mirror:
    """The reflectors of one connection."""

    def __init__(self, client: KubernetesClient, scope: Scope) -> None:
        self.ingress_version = VERSIONS[0]
        self._client = client
        self._scope = scope
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_plural: dict[str, list[Reflector[Any]]] = {}

    async def worlds(self) -> AsyncIterator[World]:
        """Yield the world when everything was listed once, and at every change; raises ConnectionError."""
        self.ingress_version = await self._ingress_version()
        group, _, version = self.ingress_version.partition("/")
        labels = self._scope.label_selector
        self._mirror(Kind(group=group, version=version, plural="ingresses", labels=labels), read_ingress)
        self._mirror(SERVICES, read_service)
        self._mirror(SLICES, read_slice)
        self._mirror(SECRETS, read_secret)
        if self._scope.cluster_scope and self._scope.classes and group == "networking.k8s.io":
            self._mirror(Kind(group=group, version=version, plural="ingressclasses", namespaced=False), read_class)
        while True:
            await self._next()
            self._fall_back()
            if all(one.state != "starting" for one in self._all()):
                began = time.monotonic()
                yield self.now()
                # In a cluster that changes all the time, deciding takes a quarter of one core at most.
                await asyncio.sleep(min(LONGEST_REST, 3 * (time.monotonic() - began)))

    def renew(self) -> None:
        """Yield the world again, though nothing in it changed."""
        self._changed.set()

    async def stop(self) -> None:
        """End all reflectors."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _next(self) -> None:
        """Wait for a change, and a little longer for what comes with it; raises what ended a reflector."""
        waiting = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({waiting, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        for task in self._tasks:
            if task.done():
                task.result()
        await asyncio.sleep(max(self._scope.throttle, COALESCE_SECONDS))
        self._changed.clear()

    def _all(self) -> Iterable[Reflector[Any]]:
        return (one for several in self._by_plural.values() for one in several)

    def _mirror(self, kind: Kind, read: Callable[[dict[str, Any]], Any]) -> None:
        namespaces = self._scope.namespaces if kind.namespaced else ()
        published = self._scope.published.partition("/")[0]
        if kind is SERVICES and namespaces and published and published not in namespaces:
            namespaces = (*namespaces, published)
        for namespace in namespaces or ("",):
            reflector = Reflector(self._client, kind, namespace, read, self._changed.set)
            self._by_plural.setdefault(kind.plural, []).append(reflector)
            self._tasks.add(asyncio.ensure_future(reflector.run()))

    def _fall_back(self) -> None:
        """Start what is needed only now: Endpoints where slices cannot be had, nodes where a Service asks for them."""
        slices = self._by_plural["endpointslices"]
        if "endpoints" not in self._by_plural and any(_missing(one) for one in slices):
            self._mirror(ENDPOINTS, read_endpoints)
        if "nodes" not in self._by_plural and self._scope.cluster_scope and self._uses_nodes():
            self._mirror(NODES, read_node)

    def _uses_nodes(self) -> bool:
        services = self._items("services").values()
        published = self._items("services").get(self._scope.published)
        if published is not None and published.kind == "NodePort":
            return True
        return any(key.endswith("service.nodeportlb") for service in services for key in service.annotations)

    def _items(self, plural: str) -> dict[str, Any]:
        return {key: item for one in self._by_plural.get(plural, ()) for key, item in one.items.items()}

    def now(self) -> World:
        """What is known at this moment."""
        classes = self._by_plural.get("ingressclasses")
        known = classes is not None and not _missing(classes[0])
        # One namespace may grant slices and another only Endpoints: where both are there, slices count.
        slices = self._items("endpointslices")
        covered = {one.namespace for one in self._by_plural["endpointslices"] if not _missing(one)}
        endpoints = {
            key: item
            for key, item in self._items("endpoints").items()
            if "" not in covered and key.partition("/")[0] not in covered
        }
        return World(
            ingresses=self._items("ingresses"),
            services=self._items("services"),
            slices=slices | endpoints,
            secrets=self._items("secrets"),
            classes=self._items("ingressclasses") if known else None,
            nodes=self._items("nodes"),
            problems=tuple(problem for one in self._all() if (problem := self._problem(one)) is not None),
        )

    def _problem(self, one: Reflector[Any]) -> Problem | None:
        """What is not granted, by verb and resource, and the rule that grants it."""
        where = f" in the namespace {one.namespace}" if one.namespace else ""
        kind, lost = one.kind, _WITHOUT[one.kind.plural]
        path = f"providers.{self._scope.provider}"
        if one.state == "denied":
            effect = lost if one.denied == "list" else "it is listed every half minute instead"
            message = f"may not {one.denied} {kind.title}{where}: {effect}"
            hint = f'grant apiGroups: ["{kind.group}"], resources: ["{kind.plural}"], verbs: ["get", "list", "watch"]'
            severity = "error" if kind.plural in ("ingresses", "services") else "warning"
            return Problem(path, message, hint, severity=severity)
        if one.state == "absent" and kind.plural in ("ingresses", "services"):
            return Problem(path, f"the API server has no {kind.title}: {lost}", "is this the right API server?")
        return None

    async def _ingress_version(self) -> str:
        """The newest version of Ingress that the server has; today's when it does not say."""
        for version in VERSIONS:
            try:
                found = await self._client.get(f"/apis/{version}")
            except ApiError:
                continue
            resources = found.get("resources") or ()
            if any(isinstance(one, dict) and one.get("name") == "ingresses" for one in resources):
                return version
        return VERSIONS[0]


def _missing(one: Reflector[Any]) -> bool:
    return one.state == "absent" or (one.state == "denied" and one.denied == "list")
