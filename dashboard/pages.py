"""The dashboard's files, and the way to them: ``/`` leads to ``/dashboard/``. Files only from ``static/``, by name."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from typing import Final

from aiohttp import web

STATIC: Final = Path(__file__).parent / "static"
_KINDS: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".json": "application/json",
}
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class File:
    """One file, read once."""

    def __init__(self, path: Path) -> None:
        self.body = path.read_bytes()
        self.kind = _KINDS[path.suffix]
        self.tag = f'"{blake2b(self.body, digest_size=12).hexdigest()}"'

    def response(self, request: web.Request) -> web.Response:
        """The file, or 304 to who has it."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == self.tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, content_type=self.kind, charset="utf-8", headers=headers)


def files() -> dict[str, File]:
    """Every file of the page by its path below ``static/``."""
    found = (path for path in STATIC.rglob("*") if path.is_file() and path.suffix in _KINDS)
    return {path.relative_to(STATIC).as_posix(): File(path) for path in found}


def add_pages(router: web.UrlDispatcher, base: str) -> None:
    """``base`` is api.basePath without a slash at its end."""
    known = files()

    async def redirect(request: web.Request) -> web.Response:
        prefix = request.headers.get("X-Forwarded-Prefix", "").rstrip("/")
        if not _PREFIX.fullmatch(prefix):
            prefix = ""  # also what would lead to another site: //evil
        return web.Response(status=302, headers={"Location": f"{prefix}{base}/dashboard/"})

    async def page(request: web.Request) -> web.Response:
        file = known.get(request.match_info.get("name") or "index.html")
        if file is None:
            raise web.HTTPNotFound
        return file.response(request)

    router.add_get(f"{base}/", redirect)
    if base:
        router.add_get(base, redirect)
    router.add_get(f"{base}/dashboard", redirect)
    router.add_get(f"{base}/dashboard/", page)
    router.add_get(f"{base}/dashboard/{{name:.+}}", page)
