"""A Service and its endpoints -> a ``loadBalancer``, as plain data, with what keeps it from serving. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from edgerouter.config.fit_types import Plain
from edgerouter.config.nest import finish, grow
from edgerouter.config.types import Problem
from edgerouter.config.v1_middlewares import Step, backend_steps, is_true
from edgerouter.providers._ingress_annotations import Asked, expand_yaml, read
from edgerouter.providers._kubernetes_facts import Backend, KubernetesService, Node, ServicePort, Slice

OWN_OPTIONS: Final = ("nativelb", "nodeportlb", "serversscheme", "middlewares")
_SCHEMES: Final = ("http", "https", "h2c")


class Balancer(msgspec.Struct, frozen=True, kw_only=True):
    """A service as plain data. ``code`` and ``reason``: why it cannot serve now, and what to do; "" when it can."""

    options: dict[str, Any]
    middlewares: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    servers: int = 0
    code: str = ""
    reason: str = ""
    fix: str = ""
    problems: tuple[Problem, ...] = ()


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What of the provider's options matters here."""

    allow_external_names: bool = False
    native_by_default: bool = False
    pass_host: bool = True


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """The facts around a backend."""

    service: KubernetesService | None
    slices: Sequence[Slice]
    nodes: Sequence[Node]


def make_balancer(namespace: str, backend: Backend, around: Around, rules: Rules, protocol: str = "") -> Balancer:
    """Return the load balancer for one port of a service. ``protocol`` is the Ingress's own word on the scheme."""
    service = around.service
    if service is None:
        reason = f"there is no Service {namespace}/{backend.service}"
        return Balancer(
            options={"servers": []}, code="NO_SERVICE", reason=reason, fix=f"kubectl -n {namespace} get services"
        )
    asked = read(service.annotations, "service")
    expand_yaml(asked)
    port = _port(service, backend)
    options = _options(asked)
    if port is None and service.kind != "ExternalName":
        return _without_port(service, backend, options)
    servers, code, reason, fix = _servers(asked, around, service, backend, port, rules)
    scheme = _scheme(asked, protocol, port, backend)
    options["servers"] = [_server(scheme, address, fenced) for address, fenced in servers]
    listed = asked.today.get("middlewares", "")
    return Balancer(
        options=options,
        middlewares=tuple(name.strip() for name in listed.split(",") if name.strip()),
        steps=tuple(backend_steps(asked.old)),
        servers=len(servers),
        code=code,
        reason=reason,
        fix=fix,
        problems=tuple(asked.problems),
    )


def _without_port(service: KubernetesService, backend: Backend, options: dict[str, Any]) -> Balancer:
    known = ", ".join(f"{port.name}={port.number}" if port.name else str(port.number) for port in service.ports)
    wanted = backend.port or "(none)"
    reason = f"Service {service.namespace}/{service.name} has no port {wanted}; it has: {known or 'none'}"
    return Balancer(options=options | {"servers": []}, code="NO_PORT", reason=reason, fix="name one of its ports")


def _port(service: KubernetesService, backend: Backend) -> ServicePort | None:
    if backend.port == "":
        return service.ports[0] if len(service.ports) == 1 else None
    for port in service.ports:
        if backend.port in (port.number, port.name) or str(port.number) == backend.port:
            return port
    return None


def _servers(
    asked: Asked,
    around: Around,
    service: KubernetesService,
    backend: Backend,
    port: ServicePort | None,
    rules: Rules,
) -> tuple[list[tuple[str, bool]], str, str, str]:
    """Addresses with their being fenced; or a code, a reason and a fix."""
    title = f"Service {service.namespace}/{service.name}"
    if service.kind == "ExternalName":
        return _external(service, backend, port, rules, title)
    assert port is not None
    if is_true(asked.today.get("nodeportlb", "")):
        at = [
            (_join(address, port.node_port), False)
            for node in around.nodes
            for kind, address in node.addresses
            if kind == "InternalIP"
        ]
        why = ("NO_NODES", f"{title}: no node with an internal address is known", "allow list and watch of nodes")
        return (at, "", "", "") if at and port.node_port else ([], *why)
    native = asked.today.get("nativelb")
    if is_true(native) if native is not None else rules.native_by_default:
        if service.cluster_ip in ("", "None"):
            return (
                [],
                "NO_CLUSTER_IP",
                f"{title} has no cluster address, and native balancing asks for it",
                "remove nativelb",
            )
        return [(_join(service.cluster_ip, port.number), False)], "", "", ""
    found: dict[str, bool] = {}
    for piece in around.slices:
        for name, number in piece.ports:
            if name == port.name:
                found.update((_join(at.address, number), at.draining) for at in piece.endpoints)
    if found:
        # Nobody else is there: those that are about to go still serve, which beats an answer of ours.
        alone = all(found.values())
        return [(address, draining and not alone) for address, draining in sorted(found.items())], "", "", ""
    reason = f"{title} has no endpoint that is ready"
    return (
        [],
        "NO_ENDPOINTS",
        reason,
        f"kubectl -n {service.namespace} get endpointslices -l kubernetes.io/service-name={service.name}",
    )


def _external(
    service: KubernetesService, backend: Backend, port: ServicePort | None, rules: Rules, title: str
) -> tuple[list[tuple[str, bool]], str, str, str]:
    if not rules.allow_external_names:
        fix = "set providers.kubernetesIngress.allowExternalNameServices=true if everybody who writes Services may"
        return [], "EXTERNAL_NAME", f"{title} is an ExternalName, and those are not allowed", fix
    if is_own(service.external_name):
        reason = f"{title} points to {service.external_name!r}: addresses of the router's own machine are not allowed"
        return [], "EXTERNAL_NAME", reason, "name a host outside of the router"
    number = port.number if port is not None else backend.port
    if not isinstance(number, int):
        return (
            [],
            "NO_PORT",
            f"{title} has no port {number or '(none)'}",
            "add the port to the Service, or write its number",
        )
    return [(_join(service.external_name, number), False)], "", "", ""


def is_own(name: str) -> bool:
    """True for a name or address that leads to the machine of whoever dials it, or to a cloud's metadata."""
    name = name.strip().rstrip(".").lower()
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.replace(".", "").isdigit() or name.startswith("0x")  # 127.1, 2130706433: spellings of an address
    return address.is_loopback or address.is_link_local or address.is_unspecified


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _server(scheme: str, address: str, fenced: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"url": f"{scheme}://{address}"}
    return made | {"fenced": True} if fenced else made


def _scheme(asked: Asked, protocol: str, port: ServicePort | None, backend: Backend) -> str:
    for word, given in (("serversscheme", asked.today.get("serversscheme", "")), ("protocol", protocol)):
        if given.strip().lower() in _SCHEMES:
            return given.strip().lower()
        if given:
            asked.problem(word, f"expected http, https or h2c, got {given[:40]!r}")
    if port is not None and port.protocol in ("https", "kubernetes.io/h2c", "http"):
        return port.protocol.removeprefix("kubernetes.io/")
    name = port.name if port is not None else str(backend.port)
    number = port.number if port is not None else backend.port
    return "https" if number == 443 or name.startswith("https") else "http"


def _options(asked: Asked) -> dict[str, Any]:
    """What annotations say of the load balancer itself."""
    root: dict[str, Any] = {}
    for path, value in asked.today.items():
        if path not in OWN_OPTIONS:
            grow(root, tuple(path.split(".")), Plain(value.strip()))
    made: dict[str, Any] = finish(root)
    old = asked.old
    if is_true(old.get("affinity", "")):
        names = {"session-cookie-name": "name", "session-secure": "secure", "session-http-only": "httpOnly"}
        cookie = {
            today: Plain(old[word])
            for word, today in (names | {"session-same-site": "sameSite"}).items()
            if word in old
        }
        made.setdefault("sticky", {"cookie": cookie})
    if "flush-interval" in old:
        give(made, "responseForwarding", {"flushInterval": old["flush-interval"]})
    _method(asked, made)
    return made


def give(options: dict[str, Any], name: str, value: Any) -> None:
    """Set an option that no annotation has set, in whatever case it was written."""
    if name.lower() not in (key.lower() for key in options):
        options[name] = value


def _method(asked: Asked, made: dict[str, Any]) -> None:
    method = asked.old.get("load-balancer-method", "").strip().lower()
    if method == "drr":
        made.setdefault("strategy", "p2c")
    elif method not in ("", "wrr"):
        asked.problem("load-balancer-method", f"expected wrr or drr, got {method[:40]!r}")


def by_service(slices: Mapping[str, Any]) -> dict[str, list[Slice]]:
    """Slices by ``namespace/service``; values are slices, or the several that Endpoints are read as."""
    found: dict[str, list[Slice]] = {}
    for read_as in slices.values():
        for piece in read_as if isinstance(read_as, tuple) else (read_as,):
            found.setdefault(f"{piece.namespace}/{piece.service}", []).append(piece)
    return found
