"""What of Kubernetes' objects decides, as frozen facts: raw JSON in, nothing asked, nothing decided.

Facts leave out what changes without meaning (resource versions, managed fields), so that equal facts need no new
answer. A reader returns None for an object that nobody routes by. Malformed parts read as if they were absent.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from edgerouter.config.ingress_versions import to_current
from edgerouter.config.types import Secret

LONGEST_ANNOTATION: Final = 64 * 1024
LARGEST_SECRET: Final = 256 * 1024
_SERVICE_LABEL: Final = "kubernetes.io/service-name"
_SECRET_TYPES: Final = ("kubernetes.io/tls", "kubernetes.io/basic-auth", "Opaque", "")


class Backend(msgspec.Struct, frozen=True):
    """A service's name and port; the port is a number, a name, or "" when nothing was written."""

    service: str
    port: int | str = ""


class PathRule(msgspec.Struct, frozen=True):
    """One path of one host; ``kind`` is Exact, Prefix or ImplementationSpecific."""

    host: str
    path: str
    kind: str
    backend: Backend


class Status(msgspec.Struct, frozen=True, eq=False):
    """Addresses and host names that an Ingress's status names. All are equal: statuses are our own writing, and a new
    one is no reason to decide anew."""

    addresses: tuple[tuple[str, str], ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Status)

    def __hash__(self) -> int:
        return 0


class Ingress(msgspec.Struct, frozen=True, kw_only=True):
    """An Ingress. ``hosts`` are all that its rules name, ``tls_hosts`` those of ``spec.tls`` ("" for all); ``oversize``
    are annotations too long to be looked at."""

    namespace: str
    name: str
    uid: str = ""
    created: str = ""
    annotations: Mapping[str, str] = {}
    oversize: tuple[str, ...] = ()
    class_name: str | None = None
    hosts: tuple[str, ...] = ()
    paths: tuple[PathRule, ...] = ()
    default: Backend | None = None
    secrets: tuple[str, ...] = ()
    tls_hosts: tuple[str, ...] = ()
    status: Status = Status()

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class ServicePort(msgspec.Struct, frozen=True):
    """A port of a service."""

    name: str
    number: int
    node_port: int = 0
    protocol: str = ""


class KubernetesService(msgspec.Struct, frozen=True, kw_only=True):
    """A Service; ``addresses`` are those of its load balancer, ``external_ips`` what its spec names."""

    namespace: str
    name: str
    annotations: Mapping[str, str] = {}
    kind: str = "ClusterIP"
    cluster_ip: str = ""
    external_name: str = ""
    external_ips: tuple[str, ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    ports: tuple[ServicePort, ...] = ()


class Endpoint(msgspec.Struct, frozen=True):
    """One address; ``draining``: it still serves, but is going away."""

    address: str
    draining: bool = False


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of a service, with the ports' numbers by name: an EndpointSlice, or one subset of Endpoints."""

    namespace: str
    service: str
    ports: tuple[tuple[str, int], ...] = ()
    endpoints: tuple[Endpoint, ...] = ()


class KubernetesSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret's values by key; never shown."""

    namespace: str
    name: str
    kind: str
    values: Mapping[str, Secret]


class IngressClass(msgspec.Struct, frozen=True):
    """An IngressClass."""

    name: str
    controller: str
    default: bool = False


class Node(msgspec.Struct, frozen=True):
    """A node's addresses by their type (InternalIP, ExternalIP, Hostname)."""

    name: str
    addresses: tuple[tuple[str, str], ...] = ()


def _part(raw: Any, key: str) -> Mapping[str, Any]:
    found = raw.get(key) if isinstance(raw, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _items(raw: Any, key: str) -> Iterable[Mapping[str, Any]]:
    found = raw.get(key) if isinstance(raw, Mapping) else None
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _text(raw: Mapping[str, Any], key: str) -> str:
    found = raw.get(key)
    return found if isinstance(found, str) else ""


def _number(raw: Mapping[str, Any], key: str) -> int:
    found = raw.get(key)
    return found if isinstance(found, int) else 0


def _names(raw: Mapping[str, Any]) -> dict[str, str]:
    meta = _part(raw, "metadata")
    return {"namespace": _text(meta, "namespace"), "name": _text(meta, "name")}


def _annotations(raw: Mapping[str, Any]) -> dict[str, str]:
    given = _part(_part(raw, "metadata"), "annotations")
    return {str(key): str(value) for key, value in sorted(given.items())}


def _backend(raw: Mapping[str, Any]) -> Backend | None:
    service = _part(raw, "service")
    name = _text(service, "name")
    port = _part(service, "port")
    return Backend(name, _number(port, "number") or _text(port, "name")) if name else None


def read_ingress(raw: dict[str, Any]) -> Ingress:
    """Read an Ingress of any version."""
    current = to_current(raw)
    spec = _part(current, "spec")
    rules = [(rule, _text(rule, "host")) for rule in _items(spec, "rules")]
    annotations = _annotations(current)
    oversize = tuple(key for key, value in annotations.items() if len(value) > LONGEST_ANNOTATION)
    name = spec.get("ingressClassName")
    return Ingress(
        **_names(current),
        uid=_text(_part(current, "metadata"), "uid"),
        created=_text(_part(current, "metadata"), "creationTimestamp"),
        annotations={key: value for key, value in annotations.items() if key not in oversize},
        oversize=oversize,
        class_name=name if isinstance(name, str) else None,
        hosts=tuple(dict.fromkeys(host for _, host in rules)),
        paths=tuple(path for rule, host in rules for path in _paths(rule, host)),
        default=_backend(_part(spec, "defaultBackend")),
        tls_hosts=tuple(dict.fromkeys(host for tls in _items(spec, "tls") for host in tls.get("hosts") or ("",))),
        secrets=tuple(dict.fromkeys(filter(None, (_text(tls, "secretName") for tls in _items(spec, "tls"))))),
        status=Status(_addresses(current)),
    )


def _addresses(raw: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Addresses and host names of ``status.loadBalancer``."""
    balancer = _part(_part(raw, "status"), "loadBalancer")
    return tuple((_text(at, "ip"), _text(at, "hostname")) for at in _items(balancer, "ingress"))


def _paths(rule: Mapping[str, Any], host: str) -> Iterable[PathRule]:
    for path in _items(_part(rule, "http"), "paths"):
        backend = _backend(_part(path, "backend"))
        if backend is not None:
            kind = _text(path, "pathType") or "ImplementationSpecific"
            yield PathRule(host, _text(path, "path") or "/", kind, backend)


def read_service(raw: dict[str, Any]) -> KubernetesService:
    """Read a Service."""
    spec = _part(raw, "spec")
    ports = (
        ServicePort(_text(port, "name"), _number(port, "port"), _number(port, "nodePort"), _text(port, "appProtocol"))
        for port in _items(spec, "ports")
        if port.get("protocol", "TCP") == "TCP"
    )
    external = spec.get("externalIPs")
    return KubernetesService(
        **_names(raw),
        annotations=_annotations(raw),
        kind=_text(spec, "type") or "ClusterIP",
        cluster_ip=_text(spec, "clusterIP"),
        external_name=_text(spec, "externalName"),
        external_ips=tuple(str(address) for address in external) if isinstance(external, list) else (),
        addresses=_addresses(raw),
        ports=tuple(ports),
    )


def read_slice(raw: dict[str, Any]) -> Slice | None:
    """Read an EndpointSlice; None for one of no service, or of names instead of addresses."""
    meta = _part(raw, "metadata")
    service = _text(_part(meta, "labels"), _SERVICE_LABEL)
    if not service or raw.get("addressType") == "FQDN":
        return None
    ports = tuple((_text(port, "name"), _number(port, "port")) for port in _items(raw, "ports"))
    return Slice(
        namespace=_text(meta, "namespace"),
        service=service,
        ports=tuple(port for port in ports if port[1]),
        endpoints=tuple(_sliced(raw)),
    )


def _sliced(raw: Mapping[str, Any]) -> Iterable[Endpoint]:
    for endpoint in _items(raw, "endpoints"):
        conditions = _part(endpoint, "conditions")
        ready = conditions.get("ready") is not False  # unknown counts as ready, as the API asks
        serving = conditions.get("serving") if isinstance(conditions.get("serving"), bool) else ready
        if serving:
            # The addresses of one endpoint are one server's.
            for address in (endpoint.get("addresses") or ())[:1]:
                yield Endpoint(str(address), conditions.get("terminating") is True)


def read_endpoints(raw: dict[str, Any]) -> tuple[Slice, ...]:
    """Read Endpoints: one Slice for each subset. Addresses that are not ready are left out."""
    names = _names(raw)
    return tuple(
        Slice(
            namespace=names["namespace"],
            service=names["name"],
            ports=tuple((_text(port, "name"), _number(port, "port")) for port in _items(subset, "ports")),
            endpoints=tuple(Endpoint(_text(at, "ip")) for at in _items(subset, "addresses") if _text(at, "ip")),
        )
        for subset in _items(raw, "subsets")
    )


def read_secret(raw: dict[str, Any]) -> KubernetesSecret | None:
    """Read a secret of a kind that an Ingress can name; None for others, and for one too large to be meant."""
    kind = _text(raw, "type")
    data = _part(raw, "data")
    if kind not in _SECRET_TYPES or sum(len(str(value)) for value in data.values()) > LARGEST_SECRET:
        return None
    values = {str(key): Secret(_decoded(value)) for key, value in data.items()}
    return KubernetesSecret(**_names(raw), kind=kind, values=values)


def _decoded(value: Any) -> str:
    try:
        return base64.b64decode(str(value), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def read_class(raw: dict[str, Any]) -> IngressClass:
    """Read an IngressClass."""
    marked = _annotations(raw).get("ingressclass.kubernetes.io/is-default-class", "")
    name = _text(_part(raw, "metadata"), "name")
    return IngressClass(name, _text(_part(raw, "spec"), "controller"), marked == "true")


def read_node(raw: dict[str, Any]) -> Node:
    """Read a Node."""
    found = ((_text(at, "type"), _text(at, "address")) for at in _items(_part(raw, "status"), "addresses"))
    return Node(_text(_part(raw, "metadata"), "name"), tuple(found))
