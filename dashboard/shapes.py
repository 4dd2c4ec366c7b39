"""The view's objects as the JSON that Traefik's API gives, so that tools and scripts made for it go on working.

Pure: view in, plain data out. Secrets are ``***`` in the view already; ``encode`` hides any that is left.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import hide_hook
from edgerouter.control.view import (
    CertificateView,
    ChainView,
    EntryPointView,
    MiddlewareView,
    RouterView,
    ServiceView,
    View,
)

Json = dict[str, Any]

_encoder: Final = msgspec.json.Encoder(enc_hook=hide_hook)
INTERNAL: Final = "internal"


def encode(value: Any) -> bytes:
    """JSON; secrets as ``***``."""
    return _encoder.encode(value)


def camel(item: msgspec.Struct) -> Json:
    """Any of the view's objects with camelCase names, as the rest of the API has them."""
    return {_camel(name): getattr(item, name) for name in item.__struct_fields__}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _state(item: RouterView | ServiceView | MiddlewareView) -> Json:
    state: Json = {"status": item.status}
    if item.errors:
        state["error"] = list(item.errors)
    return state


def router(item: RouterView) -> Json:
    """One of /api/http/routers: the configuration's fields, and what was made of them."""
    shape: Json = dict(item.options) if isinstance(item.options, dict) else {}
    shape |= {
        "entryPoints": list(item.entry_points),
        "service": item.service,
        "rule": item.rule,
        "priority": item.priority,
        **_state(item),
        "using": list(item.entry_points),
        "name": item.name,
        "provider": item.provider,
        "priorityStr": str(item.priority),
    }
    if item.middlewares or "middlewares" in shape:
        shape["middlewares"] = list(item.middlewares)
    if item.chain:
        shape["chain"] = [_link(link) for link in item.chain]
    if item.tls:
        shape.setdefault("tls", {})
    for word in ("refused", "asleep"):
        if getattr(item, word):
            shape[word] = getattr(item, word)
    return shape


def _link(link: ChainView) -> Json:
    """One middleware of the chain that requests really pass, and who put it there."""
    shape: Json = {"name": link.name, "type": link.kind.lower(), "origin": link.origin}
    if link.via:
        shape["via"] = list(link.via)
    if link.left_out:
        shape["leftOut"] = True
    return shape


def service(item: ServiceView) -> Json:
    """One of /api/http/services. ``serverStatus`` maps URLs, and a parent's children by their names, to UP or DOWN,
    ``serverReasons`` those that are down to a sentence."""
    options: Json = dict(item.options) if isinstance(item.options, dict) else {}
    if item.servers:
        options["servers"] = [
            {"url": s.url} | ({"weight": s.weight} if s.weight != 1 else {}) | ({"fenced": True} if s.fenced else {})
            for s in item.servers
        ]
    shape: Json = {item.kind: options, **_state(item), "usedBy": list(item.used_by)}
    shape |= {"name": item.name, "provider": item.provider, "type": item.kind.lower()}
    below = [(s.url, s.up, s.reason) for s in item.servers] + [(c.name, c.up, c.reason) for c in item.children]
    if below:
        shape["serverStatus"] = {name: "UP" if up else "DOWN" for name, up, _ in below}
        reasons = {name: reason for name, _, reason in below if reason}
        if reasons:
            shape["serverReasons"] = reasons
    return shape


def middleware(item: MiddlewareView) -> Json:
    """One of /api/http/middlewares."""
    shape: Json = {item.kind: item.options if item.options is not None else {}, **_state(item)}
    shape |= {"usedBy": list(item.used_by), "name": item.name, "provider": item.provider, "type": item.kind.lower()}
    return shape


def entry_point(item: EntryPointView) -> Json:
    """One of /api/entrypoints: the static configuration's object and its name."""
    options: Json = dict(item.options) if isinstance(item.options, dict) else {}
    return options | {"address": item.address, "name": item.name}


def certificate(item: CertificateView) -> Json:
    """One of /api/certificates. Times are as in RFC 3339; ``source`` is the file or object that it came from."""
    shape: Json = {
        "name": item.name,
        "sans": list(item.names),
        "notAfter": _moment(item.not_after),
        "notBefore": _moment(item.not_before),
        "serialNumber": item.serial,
        "commonName": item.common_name,
        "issuerOrg": item.issuer.get("organization", ""),
        "issuerCN": item.issuer.get("commonName", ""),
        "issuerCountry": item.issuer.get("country", ""),
        "organization": item.subject.get("organization", ""),
        "country": item.subject.get("country", ""),
        "version": f"v{item.version}",
        "keyType": item.key_type,
        "keySize": item.key_size,
        "signatureAlgorithm": item.signature,
        "certFingerprint": item.name if item.not_after else "",
        "publicKeyFingerprint": item.key_fingerprint,
        "status": item.status,
        "source": item.source,
        "provider": item.provider,
        "default": item.default,
    }
    return shape | ({"error": list(item.errors)} if item.errors else {})


def _moment(seconds: float) -> str:
    if not seconds:
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat().replace("+00:00", "Z")


def rawdata(view: View) -> Json:
    """/api/rawdata: everything by qualified name."""
    hidden = ("name", "provider", "type", "priorityStr")

    def bare(shape: Json) -> Json:
        return {key: value for key, value in shape.items() if key not in hidden}

    data: Json = {"routers": {name: bare(router(item)) for name, item in view.routers.items()}}
    data["middlewares"] = {name: bare(middleware(item)) for name, item in view.middlewares.items()}
    data["services"] = {name: bare(service(item)) for name, item in view.services.items()}
    return data


def _counted(items: Iterable[RouterView | ServiceView | MiddlewareView]) -> Json:
    statuses = [item.status for item in items]
    return {"total": len(statuses), "warnings": statuses.count("warning"), "errors": statuses.count("disabled")}


def _certificates(items: Iterable[CertificateView]) -> Json:
    statuses = [item.status for item in items]
    errors = statuses.count("expired") + statuses.count("disabled")
    return {"total": len(statuses), "warnings": statuses.count("warning"), "errors": errors}


def overview(view: View, static: StaticConfiguration) -> Json:
    """/api/overview: how many of each, how many of them are broken, which features are on."""
    none = {"total": 0, "warnings": 0, "errors": 0}
    http = {
        "routers": _counted(view.routers.values()),
        "services": _counted(view.services.values()),
        "middlewares": _counted(view.middlewares.values()),
    }
    metrics = "Prometheus" if static.metrics.prometheus is not None else ""
    sections = [name[:1].upper() + name[1:] for name in static.metrics.sections]
    kinds = sorted({item.kind or name for name, item in view.providers.items()} - {INTERNAL})
    return {
        "http": http,
        "tcp": {"routers": none, "services": none, "middlewares": none},
        "udp": {"routers": none, "services": none},
        "certificates": _certificates(view.certificates.values()),
        "features": {
            "tracing": "",
            "metrics": metrics or (sections[0] if sections else ""),
            "accessLog": static.access_log is not None,
        },
        "providers": [kind[:1].upper() + kind[1:] for kind in kinds],
    }
