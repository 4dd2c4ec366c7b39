"""Ingress and IngressClass of older API versions -> ``networking.k8s.io/v1``, on plain data. The one conversion.

``extensions/v1beta1`` and ``networking.k8s.io/v1beta1`` differ in how a backend is written and in what is left out.
Used at the provider's door and by ``edgerouter convert``. https://kubernetes.io/docs/reference/using-api/deprecation-guide/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CURRENT: Final = "networking.k8s.io/v1"
# Newest first: the order in which a server is asked.
VERSIONS: Final = (CURRENT, "networking.k8s.io/v1beta1", "extensions/v1beta1")


def is_old(raw: Mapping[str, Any]) -> bool:
    """True for an Ingress or IngressClass in a version before ``networking.k8s.io/v1``."""
    return raw.get("kind") in ("Ingress", "IngressClass") and raw.get("apiVersion") in VERSIONS[1:]


def to_current(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as ``networking.k8s.io/v1`` writes it; what is already so, or something else, stays as it is.

    An object out of a list may lack its kind: it counts as an Ingress.
    """
    made = dict(raw)
    if raw.get("kind", "Ingress") not in ("Ingress", "IngressClass"):
        return made
    if "apiVersion" in made:
        made["apiVersion"] = CURRENT
    spec = raw.get("spec")
    if raw.get("kind", "Ingress") == "Ingress" and isinstance(spec, Mapping):
        made["spec"] = _spec(spec)
    return made


def _spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in spec.items() if key not in ("backend", "rules")}
    if "backend" in spec and "defaultBackend" not in spec:
        made["defaultBackend"] = _backend(spec["backend"])
    if "rules" in spec:
        made["rules"] = [_rule(rule) for rule in spec["rules"] or ()]
    return made


def _rule(rule: Any) -> Any:
    http = rule.get("http") if isinstance(rule, Mapping) else None
    if not isinstance(http, Mapping):
        return rule
    return {**rule, "http": {**http, "paths": [_path(path) for path in http.get("paths") or ()]}}


def _path(path: Any) -> Any:
    if not isinstance(path, Mapping):
        return path
    # v1 asks for a type, and for a path beside Exact and Prefix; what was left out meant this.
    made = {"path": "/", "pathType": "ImplementationSpecific", **{key: value for key, value in path.items() if value}}
    if "backend" in path:
        made["backend"] = _backend(path["backend"])
    return made


def _backend(backend: Any) -> Any:
    if not isinstance(backend, Mapping) or "serviceName" not in backend:
        return backend
    kept = {key: value for key, value in backend.items() if key not in ("serviceName", "servicePort")}
    port = backend.get("servicePort")
    number = port if isinstance(port, int) else int(port) if isinstance(port, str) and port.isdigit() else None
    wanted = {"name": port} if number is None else {"number": number}
    return {**kept, "service": {"name": backend["serviceName"], "port": wanted if port is not None else {}}}
