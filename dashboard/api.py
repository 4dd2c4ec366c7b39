"""The HTTP API of the control process, and /metrics: questions about the view, answered as Traefik answers them.

Reads ``Picture.view`` and the metrics registry, changes nothing. Shapes are made in ``shapes``, pages of lists in
``listing``; the dashboard's own page is in ``pages``.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from aiohttp import web

from edgerouter import __version__
from edgerouter.config.static import StaticConfiguration
from edgerouter.control.explain import Explainer
from edgerouter.control.missed import Missed
from edgerouter.control.view import Picture, View
from edgerouter.dashboard import shapes
from edgerouter.dashboard.explain import add_explain, add_names, add_workloads
from edgerouter.dashboard.guard import answer, guard
from edgerouter.dashboard.listing import page_of
from edgerouter.dashboard.pages import add_pages
from edgerouter.dashboard.present import Present
from edgerouter.errors import NoRoute
from edgerouter.telemetry.prometheus import Exposition
from edgerouter.telemetry.push import levels_of
from edgerouter.telemetry.registry import MetricsRegistry

CODENAME: Final = "edgerouter"


class Room:
    """One kind of object: where it is in the view, and its shape."""

    def __init__(self, noun: str, items: Callable[[View], Mapping[str, Any]], shape: Callable[[Any], Any]) -> None:
        self.noun = noun
        self.items = items
        self.shape = shape


ROOMS: Final[dict[str, Room]] = {
    "http/routers": Room("router", lambda view: view.routers, shapes.router),
    "http/services": Room("service", lambda view: view.services, shapes.service),
    "http/middlewares": Room("middleware", lambda view: view.middlewares, shapes.middleware),
    "entrypoints": Room("entry point", lambda view: view.entry_points, shapes.entry_point),
    "certificates": Room("certificate", lambda view: view.certificates, shapes.certificate),
    "tcp/routers": Room("router", lambda view: {}, shapes.router),
    "tcp/services": Room("service", lambda view: {}, shapes.service),
    "tcp/middlewares": Room("middleware", lambda view: {}, shapes.middleware),
    "udp/routers": Room("router", lambda view: {}, shapes.router),
    "udp/services": Room("service", lambda view: {}, shapes.service),
}


SERVICES: Final = ("api", "dashboard", "prometheus")  # as in api@internal


def make_apps(
    picture: Picture,
    registry: MetricsRegistry | None,
    static: StaticConfiguration,
    explainer: Explainer | None = None,
    missed: Missed | None = None,
) -> dict[str, web.Application]:
    """An application for each internal service, to be served on a socket of its own: who is let to one of them by
    whatever rule must not find another behind the same address. ``api`` answers for the page too, as Traefik's does."""
    rooms = {"api": ("api", "dashboard"), "dashboard": ("dashboard",), "prometheus": ("prometheus",)}
    return {name: make_app(picture, registry, static, rooms[name], explainer, missed) for name in SERVICES}


def make_app(
    picture: Picture,
    registry: MetricsRegistry | None,
    static: StaticConfiguration | None = None,
    rooms: Collection[str] = SERVICES,
    explainer: Explainer | None = None,
    missed: Missed | None = None,
) -> web.Application:
    """API, dashboard page and metrics, those of them that ``rooms`` and the static configuration name."""
    static = static or StaticConfiguration()
    app = web.Application(middlewares=[guard(picture)])
    base = "" if static.api is None else static.api.base_path.rstrip("/")
    if "api" in rooms and static.api is not None:
        Api(picture, registry, static).add_routes(app.router, f"{base}/api")
        if explainer is not None:
            add_explain(app.router, f"{base}/api", explainer, missed or Missed())
    if "dashboard" in rooms and static.api is not None and static.api.dashboard:
        add_pages(app.router, base)
    if "prometheus" in rooms and registry is not None and static.metrics.prometheus is not None:
        levels = levels_of(static.metrics.prometheus, static.metrics.add_internals)
        app.router.add_get("/metrics", _metrics(Exposition(registry, levels)))
    return app


def _metrics(exposition: Exposition) -> Callable[[web.Request], Any]:
    one_at_a_time = asyncio.Lock()

    async def handle(request: web.Request) -> web.Response:
        async with one_at_a_time:
            page, kind = await asyncio.to_thread(exposition.render, request.headers.get("Accept", ""))
        return web.Response(body=page, headers={"Content-Type": kind})

    return handle


class Api:
    """Handlers; each takes the view once."""

    def __init__(self, picture: Picture, registry: MetricsRegistry | None, static: StaticConfiguration) -> None:
        self._picture = picture
        self._static = static
        self._present = Present(picture, registry, static)

    def add_routes(self, router: web.UrlDispatcher, base: str) -> None:
        """Everything under ``base``."""
        for path, room in ROOMS.items():
            router.add_get(f"{base}/{path}", self._list(room))
            router.add_get(f"{base}/{path}/{{id:.+}}", self._one(room))
        router.add_get(f"{base}/overview", self._simple(lambda view: shapes.overview(view, self._static)))
        router.add_get(f"{base}/rawdata", self._simple(shapes.rawdata))
        router.add_get(f"{base}/version", self._simple(self._version))
        router.add_get(f"{base}/problems", self._simple(lambda view: list(map(shapes.camel, view.problems))))
        add_workloads(router, base, self._picture)
        add_names(router, base, self._picture)
        router.add_get(f"{base}/providers", self._simple(lambda view: list(map(shapes.camel, view.providers.values()))))
        router.add_get(f"{base}/workers", self._simple(lambda view: list(map(shapes.camel, view.workers))))
        router.add_get(f"{base}/present", self._present.handle)

    def _simple(self, make: Callable[[View], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            return answer(make(self._picture.view))

        return handle

    def _list(self, room: Room) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            items = [room.shape(item) for item in room.items(self._picture.view).values()]
            page, following = page_of(items, request.query)
            return answer(page, X_Next_Page=str(following))

        return handle

    def _one(self, room: Room) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            name = request.match_info["id"]
            item = room.items(self._picture.view).get(name)
            if item is None:
                raise NoRoute(f"{room.noun} not found: {name[:200]}")
            return answer(room.shape(item))

        return handle

    def _version(self, view: View) -> dict[str, Any]:
        api = self._static.api
        started = datetime.datetime.fromtimestamp(view.started, datetime.UTC)
        return {
            "Version": __version__,
            "Codename": CODENAME,
            "startDate": started.isoformat().replace("+00:00", "Z"),
            "disableDashboardAd": True,
            "dashboardName": "" if api is None else api.dashboard_name,
        }
