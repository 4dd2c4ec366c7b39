"""/api/present: all that the dashboard's page shows, in one answer, so that a picture is never half old.

The answer has an ETag: a page that asks again when nothing happened gets 304 and no body.
"""

from __future__ import annotations

import asyncio
import time
from hashlib import blake2b
from typing import Any, Final

from aiohttp import web

from edgerouter import __version__
from edgerouter.config.static import StaticConfiguration
from edgerouter.control.view import Picture, View
from edgerouter.dashboard import shapes
from edgerouter.telemetry.registry import MetricsRegistry

_FRESH: Final = 1.0  # seconds that sums are good for: several open pages cost one reading
_SHARE: Final = 0.1  # of a core, at most, is spent on the page: with 10,000 routers it is made anew more rarely


class Present:
    """Makes the answer anew at most once a second, however many ask, in a thread."""

    def __init__(self, picture: Picture, registry: MetricsRegistry | None, static: StaticConfiguration) -> None:
        self._picture = picture
        self._registry = registry
        self._static = static
        self._made = 0.0
        self._cost = 0.0
        self._one_at_a_time = asyncio.Lock()
        self._view: View | None = None
        self._body = b""
        self._tag = ""

    async def handle(self, request: web.Request) -> web.Response:
        """The handler."""
        async with self._one_at_a_time:
            if self._is_old():
                await asyncio.to_thread(self._renew)
        headers = {"ETag": self._tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == self._tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self._body, content_type="application/json", headers=headers)

    def _is_old(self) -> bool:
        age = time.monotonic() - self._made
        if age < self._cost / _SHARE:
            return False
        return self._picture.view is not self._view or age >= _FRESH

    def _renew(self) -> None:
        view = self._picture.view
        began = time.monotonic()
        self._body = shapes.encode(self._picture_of(view))
        self._tag = f'"{blake2b(self._body, digest_size=12).hexdigest()}"'
        self._view, self._made = view, time.monotonic()
        self._cost = self._made - began

    def _picture_of(self, view: View) -> dict[str, Any]:
        api = self._static.api
        return {
            "name": "" if api is None else api.dashboard_name,
            "version": __version__,
            "started": view.started,
            "generation": view.generation,
            "published": view.published,
            "buildSeconds": view.build_seconds,
            "overview": shapes.overview(view, self._static),
            "entryPoints": [shapes.entry_point(item) for item in view.entry_points.values()],
            "routers": [shapes.router(item) for item in view.routers.values()],
            "services": [shapes.service(item) for item in view.services.values()],
            "middlewares": [shapes.middleware(item) for item in view.middlewares.values()],
            "certificates": [shapes.certificate(item) for item in view.certificates.values()],
            "problems": list(map(shapes.camel, view.problems)),
            "workloads": list(map(shapes.camel, view.ledger)),
            "providers": list(map(shapes.camel, view.providers.values())),
            "workers": list(map(shapes.camel, view.workers)),
            "traffic": self._traffic(view),
        }

    def _traffic(self, view: View) -> dict[str, Any]:
        """Requests and server errors (5xx) since the start by router's name, and open connections by entry point."""
        if self._registry is None:
            return {"routers": {}, "connections": {}}
        totals = self._registry.reader.totals()
        names = {item.key: item.name for item in view.routers.values()}
        routers: dict[str, list[int]] = {}
        for (what, _, router, _), traffic in totals.traffic.items():
            if router in names:
                count = routers.setdefault(names[router], [0, 0])
                count[0] += traffic.requests()
                count[1] += traffic.requests() if (what >> 24 & 1023) // 100 == 5 else 0
        connections = {item.name: totals.open.get(item.key, 0) for item in view.entry_points.values()}
        return {"routers": routers, "connections": connections}
