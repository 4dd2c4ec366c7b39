"""Which Ingresses are this router's. Pure.

By ``spec.ingressClassName`` and the class's controller; else by the annotation ``kubernetes.io/ingress.class``; an
Ingress with neither belongs to the default class, and, where no class is asked for, to everybody (Traefik's
``ingressClass``; https://kubernetes.io/docs/concepts/services-networking/ingress/#ingress-class).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgerouter.providers._kubernetes_facts import Ingress, IngressClass

CONTROLLERS: Final = ("edgerouter/ingress-controller", "traefik.io/ingress-controller")
ANNOTATION: Final = "kubernetes.io/ingress.class"
OWN_NAMES: Final = ("", "traefik", "edgerouter")


def refusal(ingress: Ingress, wanted: str, classes: Mapping[str, IngressClass], known: bool) -> str:
    """Why the Ingress is another controller's; "" when it is ours. ``known``: classes could be looked up."""
    annotation = ingress.annotations.get(ANNOTATION)
    if annotation is not None:
        return _by_name(annotation, wanted, f"its annotation {ANNOTATION} is {annotation!r}")
    if ingress.class_name is not None:
        return _by_class(ingress.class_name, wanted, classes, known)
    if not wanted:
        return ""
    default = next((found for found in classes.values() if found.default), None)
    if default is not None and default.name == wanted and default.controller in CONTROLLERS:
        return ""
    return f"it names no class, and this router serves the class {wanted!r} only"


def _by_name(name: str, wanted: str, told: str) -> str:
    if name == wanted if wanted else name in OWN_NAMES:
        return ""
    return f"{told}; this router serves {wanted or ' or '.join(filter(None, OWN_NAMES))!r}"


def _by_class(name: str, wanted: str, classes: Mapping[str, IngressClass], known: bool) -> str:
    if not known:  # not allowed to look: the name has to do
        return _by_name(name, wanted, f"its ingressClassName is {name!r}")
    found = classes.get(name)
    if found is None:
        return f"its ingressClassName is {name!r}, and there is no such IngressClass"
    if found.controller not in CONTROLLERS:
        return f"its IngressClass {name!r} belongs to the controller {found.controller!r}"
    return "" if not wanted or name == wanted else f"its IngressClass is {name!r}; this router serves {wanted!r} only"
