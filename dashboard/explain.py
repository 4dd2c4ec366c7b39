"""/api/explain, /api/workloads and /api/names: answers about a request, the ledger and certificates, which the control
socket gives too."""

from __future__ import annotations

import asyncio

from aiohttp import web
from multidict import MultiMapping

from edgerouter.control.certificate_lines import certificate_lines
from edgerouter.control.explain import Explainer, Question
from edgerouter.control.missed import Missed
from edgerouter.control.view import Picture
from edgerouter.dashboard import shapes
from edgerouter.dashboard.guard import answer, refuse


def add_explain(router: web.UrlDispatcher, base: str, explainer: Explainer, missed: Missed) -> None:
    """``base/explain?url=...&method=GET&header=Name: value&entrypoint=web&client=127.0.0.1``; or
    ``?id=`` of a 404 page"""

    async def handle(request: web.Request) -> web.Response:
        try:
            question = _question(request.query, missed)
            found = await asyncio.to_thread(explainer.explain, question)
        except ValueError as error:
            return refuse(400, str(error))
        return answer(found)

    router.add_get(f"{base}/explain", handle)


def _question(query: MultiMapping[str], missed: Missed) -> Question:
    if "id" in query:
        return missed.question(query["id"])
    return Question(
        url=query.get("url", ""),
        method=query.get("method", "GET").upper(),
        headers=tuple(query.getall("header", [])),
        entry_point=query.get("entrypoint", ""),
        client=query.get("client", "127.0.0.1"),
    )


def add_workloads(router: web.UrlDispatcher, base: str, picture: Picture) -> None:
    """``base/workloads``: the ledger."""

    async def handle(request: web.Request) -> web.Response:
        return answer(list(map(shapes.camel, picture.view.ledger)))

    router.add_get(f"{base}/workloads", handle)


def add_names(router: web.UrlDispatcher, base: str, picture: Picture) -> None:
    """``base/names``: every name that TLS is served or wanted for; see ``control.certificate_lines``."""

    async def handle(request: web.Request) -> web.Response:
        return answer(certificate_lines(picture.view))

    router.add_get(f"{base}/names", handle)
