"""Writes back to the cluster what became of Ingresses: their status, and an Event for each that cannot be served.

Nothing is written that stands there already. What the account may not write is said once, and not tried again for a
while: serving does not depend on it.
"""

from __future__ import annotations

import datetime
import logging
import socket
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from edgerouter.clients.kubernetes import ApiError, KubernetesClient
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Workload
from edgerouter.providers._ingress_decide import World
from edgerouter.providers._kubernetes_facts import KubernetesService, Node

_SILENT: Final = ("ROUTED", "OTHER_CLASS")
_MOST_EVENTS: Final = 50  # of one report: a cluster full of broken Ingresses must not be flooded

BARRED_SECONDS: Final = 600.0  # until what was denied is tried again


class Right(msgspec.Struct, frozen=True):
    """What is written, with the RBAC rule that grants it, and what is lost without it."""

    verb: str
    group: str
    resource: str
    lost: str


STATUS: Final = Right("update", "networking.k8s.io", "ingresses/status", "statuses of Ingresses stay as they are")
EVENTS: Final = Right("create", "", "events", "what is wrong with an Ingress stands in the ledger only")

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


Addresses = tuple[tuple[str, str], ...]


def addresses(address: Address, world: World) -> Addresses | None:
    """Return the addresses and host names for ``status.loadBalancer``; None when nothing is to be written: nobody asked
    for it, or the published service is not known (yet)."""
    if not address.published:
        return ((address.ip, address.hostname),) if address.wanted else None
    service = world.services.get(address.published)
    return None if service is None else _of_service(service, world.nodes.values(), address.internal)


def _of_service(service: KubernetesService, nodes: Iterable[Node], internal: bool) -> Addresses:
    if service.kind == "ExternalName":
        return (("", service.external_name),)
    if service.kind == "LoadBalancer":
        return service.addresses
    if service.kind == "NodePort":
        kind = "InternalIP" if internal else "ExternalIP"
        return tuple((at, "") for node in nodes for type_, at in node.addresses if type_ == kind)
    return tuple((at, "") for at in service.external_ips)


class Reporter:
    """Remembers what it wrote, and what it may not write."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._wrote: Addresses | None = None
        self._said: dict[str, str] = {}
        self._barred: dict[Right, float] = {}

    async def report(self, client: KubernetesClient, version: str, world: World, workloads: Iterable[Workload]) -> None:
        """Write statuses and events for these Ingresses."""
        told = list(workloads)
        await self._events(client, version, [one for one in told if one.verdict not in _SILENT])
        self._said = {one.id: self._said[one.id] for one in told if one.id in self._said and one.verdict not in _SILENT}
        self._wrote = wanted = addresses(self._address, world)
        if wanted is not None:
            for one in told:
                known = world.ingresses.get(one.name)
                if one.verdict != "OTHER_CLASS" and known is not None and known.status.addresses != wanted:
                    await self._status(client, version, one.name, wanted)

    def is_late(self, world: World) -> bool:
        """Whether statuses name other addresses than they should by now."""
        return addresses(self._address, world) != self._wrote

    async def _events(self, client: KubernetesClient, version: str, workloads: list[Workload]) -> None:
        fresh = [one for one in workloads if self._said.get(one.id) != one.reason]
        for one in fresh[:_MOST_EVENTS]:
            namespace = one.name.partition("/")[0]
            path = f"/api/v1/namespaces/{namespace}/events"
            if await self._write(client, "POST", path, _event(one, version), EVENTS):
                self._said[one.id] = one.reason

    async def _status(self, client: KubernetesClient, version: str, key: str, wanted: Addresses) -> None:
        namespace, _, name = key.partition("/")
        path = f"/apis/{version}/namespaces/{namespace}/ingresses/{name}"
        if self._is_barred(STATUS):
            return
        try:
            raw = await client.get(path)  # what is written must name the version that it replaces
        except ApiError:
            return  # gone by now
        pairs = ((("ip", ip), ("hostname", hostname)) for ip, hostname in wanted)
        given = [{key: value for key, value in pair if value} for pair in pairs]
        status = raw.get("status") or {}
        if (status.get("loadBalancer") or {}).get("ingress", []) == given:
            return
        body = {**raw, "status": {**status, "loadBalancer": {"ingress": given}}}
        await self._write(client, "PUT", f"{path}/status", body, STATUS)

    def problems(self, provider: str) -> tuple[Problem, ...]:
        """One for each right that the account lacks."""
        return tuple(_lacking(right, f"providers.{provider}") for right in self._barred)

    def _is_barred(self, right: Right) -> bool:
        denied = self._barred.get(right)
        return denied is not None and time.monotonic() - denied < BARRED_SECONDS

    async def _write(self, client: KubernetesClient, method: str, path: str, body: Any, right: Right) -> bool:
        if self._is_barred(right):
            return False
        try:
            await client.send(method, path, body)
        except ApiError as error:
            if error.code in (401, 403):
                self._barred[right] = time.monotonic()
            elif error.code not in (404, 409):  # gone, or changed by somebody else: the next report sees to it
                log.warning("could not %s %s: %s", right.verb, right.resource, error)
            return False
        self._barred.pop(right, None)
        return True


def _lacking(right: Right, path: str) -> Problem:
    title = f"{right.resource}.{right.group}" if right.group else right.resource
    hint = f'grant apiGroups: ["{right.group}"], resources: ["{right.resource}"], verbs: ["{right.verb}"]'
    return Problem(path, f"may not {right.verb} {title}: {right.lost}", hint, severity="warning")


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
