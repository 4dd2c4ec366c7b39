"""Which kind of error answer a client understands: gRPC by its Content-Type, JSON or HTML by Accept."""

from __future__ import annotations

from typing import Final

from edgerouter.http.message import Request
from edgerouter.middlewares._fields import media_type, weighted

HTML: Final = "html"
JSON: Final = "json"
GRPC: Final = "grpc"
_JSON_TYPES: Final = ("application/json", "application/problem+json")


def preferred_kind(request: Request) -> str:
    """HTML unless the client prefers JSON (RFC 9110 section 12.5.1), or speaks gRPC."""
    if media_type(request.headers.get("Content-Type")).startswith("application/grpc"):
        return GRPC
    lines = request.headers.get_all("Accept")
    if not lines:
        return HTML
    accepted = weighted(lines)
    json = max([_weight(accepted, kind) for kind in _JSON_TYPES])
    html = _weight(accepted, "text/html")
    return JSON if json > html else HTML


def _weight(accepted: dict[str, float], kind: str) -> float:
    """The weight of a media type; one that is named goes before one that only a range covers."""
    for name, bonus in ((kind, 0.002), (kind.partition("/")[0] + "/*", 0.001), ("*/*", 0.0)):
        if name in accepted:
            quality = accepted[name]
            return quality + bonus if quality else 0.0
    return 0.0
