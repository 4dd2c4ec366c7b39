"""What the middlewares that edit paths share: prefixes in the form of a request's path, and what a clean path is."""

from __future__ import annotations

from edgerouter.errors import BadRequest
from edgerouter.http.message import Request
from edgerouter.rules.text import normal_path


def normal_prefix(prefix: str) -> str:
    """Return a prefix as a request's path would show it: percent-encoded, with a leading slash."""
    path = normal_path(prefix if prefix.startswith("/") else f"/{prefix}")
    return path.replace("?", "%3F").replace("#", "%23")  # a path holds neither: they would begin a query


def checked(path: str, who: str) -> str:
    """Return ``path`` with a leading slash; raises BadRequest when it has empty, ``.`` or ``..`` segments.

    Such a path would be read differently by whoever cleans it, and so reach what a router's rule did not allow.
    """
    if not path.startswith("/"):
        path = f"/{path}"
    if "//" in path or ("/." in path and not {".", ".."}.isdisjoint(path.split("/"))):
        raise BadRequest(f"{who}: the path would become {path!r}", "BAD_REQUEST_PATH")
    return path


def take(request: Request, path: str, who: str) -> None:
    """Give the request what was left of its path, ``checked`` where it is not the one that its codec found clean."""
    request.path = request.line_path if path == request.line_path and path else checked(path, who)
