"""Writes back to the cluster what became of Ingresses: their status, and an Event for each that cannot be served.

Nothing is written that stands there already. What the account may not write is said once, and not tried again for a
while: serving does not depend on it.
"""

from __future__ import annotations

import datetime
import logging
import socket
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from edgerouter.clients.kubernetes import ApiError, KubernetesClient
from edgerouter.contracts.snapshot import Workload
from edgerouter.providers._ingress_decide import World
from edgerouter.providers._kubernetes_facts import KubernetesService, Node

_SILENT: Final = ("ROUTED", "OTHER_CLASS")
_MOST_EVENTS: Final = 50  # of one report: a cluster full of broken Ingresses must not be flooded

log = logging.getLogger("edgerouter.providers")


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """What the status of Ingresses names (Traefik's ``ingressEndpoint``). ``published``: ``namespace/service``."""

    ip: str = ""
    hostname: str = ""
    published: str = ""
    internal: bool = False

    @property
    def wanted(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.ip or self.hostname or self.published)


def addresses(address: Address, world: World) -> list[dict[str, str]] | None:
    """Return ``status.loadBalancer.ingress``; None when the published service is not known (yet)."""
    if not address.published:
        return [{key: value for key, value in (("ip", address.ip), ("hostname", address.hostname)) if value}]
    service = world.services.get(address.published)
    return None if service is None else _of_service(service, world.nodes.values(), address.internal)


def _of_service(service: KubernetesService, nodes: Iterable[Node], internal: bool) -> list[dict[str, str]]:
    if service.kind == "ExternalName":
        return [{"hostname": service.external_name}]
    if service.kind == "LoadBalancer":
        pairs = ((("ip", ip), ("hostname", hostname)) for ip, hostname in service.addresses)
        return [{key: value for key, value in pair if value} for pair in pairs]
    if service.kind == "NodePort":
        kind = "InternalIP" if internal else "ExternalIP"
        return [{"ip": at} for node in nodes for type_, at in node.addresses if type_ == kind]
    return [{"ip": at} for at in service.external_ips]


class Reporter:
    """Remembers what it wrote, and what it may not write."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._said: dict[str, str] = {}
        self._barred: set[str] = set()

    async def report(self, client: KubernetesClient, version: str, world: World, workloads: Iterable[Workload]) -> None:
        """Write statuses and events for these Ingresses."""
        told = list(workloads)
        await self._events(client, version, [one for one in told if one.verdict not in _SILENT])
        self._said = {one.id: self._said[one.id] for one in told if one.id in self._said and one.verdict not in _SILENT}
        wanted = addresses(self._address, world) if self._address.wanted else None
        if wanted is not None:
            for one in told:
                if one.verdict != "OTHER_CLASS":
                    await self._status(client, version, one.name, wanted)

    async def _events(self, client: KubernetesClient, version: str, workloads: list[Workload]) -> None:
        fresh = [one for one in workloads if self._said.get(one.id) != one.reason]
        for one in fresh[:_MOST_EVENTS]:
            namespace = one.name.partition("/")[0]
            path = f"/api/v1/namespaces/{namespace}/events"
            if await self._write(client, "POST", path, _event(one, version), "create events"):
                self._said[one.id] = one.reason

    async def _status(self, client: KubernetesClient, version: str, key: str, wanted: list[dict[str, str]]) -> None:
        namespace, _, name = key.partition("/")
        path = f"/apis/{version}/namespaces/{namespace}/ingresses/{name}"
        try:
            raw = await client.get(path)
        except ApiError:
            return  # gone by now
        status = raw.get("status") or {}
        if (status.get("loadBalancer") or {}).get("ingress", []) == wanted:
            return
        body = {**raw, "status": {**status, "loadBalancer": {"ingress": wanted}}}
        await self._write(client, "PUT", f"{path}/status", body, "update ingresses/status")

    async def _write(self, client: KubernetesClient, method: str, path: str, body: Any, what: str) -> bool:
        if what in self._barred:
            return False
        try:
            await client.send(method, path, body)
        except ApiError as error:
            if error.code in (401, 403):
                self._barred.add(what)
                log.warning("the service account may not %s: nothing of that kind is written (%s)", what, error.words)
            elif error.code not in (404, 409):  # gone, or changed by somebody else: the next report sees to it
                log.warning("could not %s: %s", what, error)
            return False
        return True


def _event(workload: Workload, version: str) -> dict[str, Any]:
    namespace, _, name = workload.name.partition("/")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    message = f"{workload.reason}; {workload.fix}" if workload.fix else workload.reason
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "edgerouter-", "namespace": namespace},
        "involvedObject": {
            "apiVersion": version,
            "kind": "Ingress",
            "namespace": namespace,
            "name": name,
            "uid": workload.id,
        },
        "reason": workload.verdict,
        "message": message[:1000],
        "type": "Warning",
        "source": {"component": "edgerouter", "host": socket.gethostname()},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
