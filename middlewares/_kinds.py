"""Which kind of error answer a client understands: gRPC by its Content-Type, JSON or HTML by Accept."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from edgerouter.http.message import Request
from edgerouter.middlewares._fields import media_type, weighted

HTML: Final = "html"
JSON: Final = "json"
GRPC: Final = "grpc"
_COMMON: Final = 200  # characters; what is longer is not remembered
_JSON_TYPES: Final = ("application/json", "application/problem+json")


def preferred_kind(request: Request) -> str:
    """HTML unless the client prefers JSON (RFC 9110 section 12.5.1), or speaks gRPC."""
    if media_type(request.headers.get("Content-Type")).startswith("application/grpc"):
        return GRPC
    lines = request.headers.get_all("Accept")
    if not lines:
        return HTML
    accept = ",".join(lines)
    return _known(accept) if len(accept) <= _COMMON else _preferred(accept)


def _preferred(accept: str) -> str:
    accepted = weighted([accept])
    json = max([_weight(accepted, kind) for kind in _JSON_TYPES])
    html = _weight(accepted, "text/html")
    return JSON if json > html else HTML


_known: Final = lru_cache(maxsize=128)(_preferred)  # browsers send a handful of them


def _weight(accepted: dict[str, float], kind: str) -> float:
    """The weight of a media type; one that is named goes before one that only a range covers."""
    for name, bonus in ((kind, 0.002), (kind.partition("/")[0] + "/*", 0.001), ("*/*", 0.0)):
        if name in accepted:
            quality = accepted[name]
            return quality + bonus if quality else 0.0
    return 0.0
