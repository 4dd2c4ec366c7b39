"""Lists of the API: search, filters, sorting, pages. Pure: query parameters and shapes in, one page out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgerouter.errors import BadRequest

Json = dict[str, Any]

_PER_PAGE: Final = 100
_SEARCHED: Final = ("name", "rule", "service")
_SORTS: Final = {
    "name": ("name",),
    "provider": ("provider",),
    "status": ("status",),
    "type": ("type",),
    "rule": ("rule",),
    "service": ("service",),
    "entrypoints": ("entryPoints", "using"),
    "priority": ("priority",),
    "servers": ("servers",),
}


def page_of(items: list[Json], query: Mapping[str, str]) -> tuple[list[Json], int]:
    """The page that was asked for and the number of the next one (1 on the last). Raises BadRequest."""
    kept = [item for item in items if _passes(item, query)]
    _sort(kept, query)
    page = _number(query, "page", 1)
    size = _number(query, "per_page", _PER_PAGE)
    start = (page - 1) * size
    if start and start >= len(kept):
        raise BadRequest(f"invalid request: page: {page}, per_page: {size}: there are {len(kept)} entries")
    return kept[start : start + size], page + 1 if start + size < len(kept) else 1


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        raise BadRequest(f"invalid request: {name}: expected a number from 1 on, got {text[:40]!r}")
    return int(text)


def _passes(item: Json, query: Mapping[str, str]) -> bool:
    status = query.get("status", "").lower()
    if status and str(item.get("status", "")).lower() != status:
        return False
    if query.get("serviceName") and item.get("service") != query["serviceName"]:
        return False
    if query.get("middlewareName") and query["middlewareName"] not in item.get("middlewares", ()):
        return False
    sought = query.get("search", "").lower()
    return not sought or any(sought in str(item.get(field, "")).lower() for field in _SEARCHED)


def _sort(items: list[Json], query: Mapping[str, str]) -> None:
    word = query.get("sortBy", "name") or "name"
    fields = _SORTS.get(word.lower())
    if fields is None:
        raise BadRequest(f"invalid request: sortBy: expected one of {', '.join(_SORTS)}, got {word[:40]!r}")
    direction = (query.get("direction", "") or "asc").lower()
    if direction not in ("asc", "desc"):
        raise BadRequest(f"invalid request: direction: expected asc or desc, got {direction[:40]!r}")
    items.sort(key=lambda item: str(item["name"]))
    items.sort(key=lambda item: _sort_key(item, fields), reverse=direction == "desc")


def _sort_key(item: Json, fields: tuple[str, ...]) -> tuple[int, str]:
    if fields == ("servers",):
        return len(item.get("serverStatus", ())), ""
    value = next((item[field] for field in fields if field in item), "")
    if isinstance(value, int):
        return value, ""
    return 0, ",".join(value) if isinstance(value, list) else str(value)
