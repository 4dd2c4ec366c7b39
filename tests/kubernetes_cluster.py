"""A cluster in a few lines of YAML, for table tests of what is decided about it."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.prepare import kinds
from edgerouter.providers._ingress_decide import Memory, World, decide
from edgerouter.providers._ingress_one import Settings
from edgerouter.providers._kubernetes_facts import (
    read_class,
    read_endpoints,
    read_ingress,
    read_node,
    read_secret,
    read_service,
    read_slice,
)

_READERS = {
    "Ingress": ("ingresses", read_ingress),
    "Service": ("services", read_service),
    "EndpointSlice": ("slices", read_slice),
    "Endpoints": ("slices", read_endpoints),
    "Secret": ("secrets", read_secret),
    "IngressClass": ("classes", read_class),
    "Node": ("nodes", read_node),
}


def objects(text: str) -> list[dict[str, Any]]:
    """The documents of a YAML text, in the namespace ``default`` unless they name one."""
    found = [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]  # the other one needs seconds
    for document in found:
        document["metadata"].setdefault("namespace", "default")
    return found


def world(*texts: str) -> World:
    """The facts of these objects; every Service gets an endpoint for each of its ports unless endpoints are given."""
    parts: dict[str, dict[str, Any]] = {"classes": {}}
    everything = [document for text in texts for document in objects(text)]
    given = {(d["metadata"].get("labels") or {}).get("kubernetes.io/service-name") for d in everything}
    given |= {d["metadata"]["name"] for d in everything if d["kind"] == "Endpoints"}
    for at, document in enumerate(everything):
        room, read = _READERS[document["kind"]]
        meta = document["metadata"]
        parts.setdefault(room, {})[f"{meta['namespace']}/{meta['name']}"] = read(document)
        if document["kind"] == "Service" and meta["name"] not in given and "ports" in document["spec"]:
            made = _slice(document, f"10.0.{at}.")
            parts.setdefault("slices", {})[f"{meta['namespace']}/{meta['name']}-x"] = read_slice(made)
    return World(**parts)


def _slice(service: dict[str, Any], network: str) -> dict[str, Any]:
    ports = [{"name": port.get("name", ""), "port": 8000 + port["port"] % 1000} for port in service["spec"]["ports"]]
    meta = service["metadata"]
    return {
        "metadata": {
            "namespace": meta["namespace"],
            "name": meta["name"],
            "labels": {"kubernetes.io/service-name": meta["name"]},
        },
        "ports": ports,
        "endpoints": [{"addresses": [f"{network}1"]}, {"addresses": [f"{network}2"]}],
    }


def settings(**given: Any) -> Settings:
    return Settings(provider="kubernetesIngress", kinds=kinds(), **given)


def answer(*texts: str, memory: Memory | None = None, **given: Any) -> Snapshot:
    """What becomes of a cluster of these objects."""
    return decide(world(*texts), settings(**given), memory)


def rules(snapshot: Snapshot) -> dict[str, str]:
    """Rules in the order in which they are tried, with their services."""
    routers = sorted(snapshot.configuration.http.routers.values(), key=lambda router: -router.priority)
    return {router.rule: router.service for router in routers}


def steps(snapshot: Snapshot, router: str) -> list[tuple[str, Any]]:
    """Kinds and options of a router's middlewares."""
    http = snapshot.configuration.http
    found = [http.middlewares[name] for name in http.routers[router].middlewares]
    return [
        (one.kind or f"refused: {one.refused}", msgspec.to_builtins(one.options, str_keys=True, enc_hook=str))
        for one in found
    ]


def told(snapshot: Snapshot) -> list[str]:
    """Problems in one line each."""
    return [f"{problem.path}: {problem.message}" for problem in snapshot.problems]
