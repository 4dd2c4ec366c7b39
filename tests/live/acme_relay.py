"""Somebody between router and authority who limits orders, as well-known authorities do and Pebble does not."""

from __future__ import annotations

import ssl
import time
from types import TracebackType

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from pebble_ca import Pebble

WORDS = "too many new orders recently, see the page of limits"


class Relay:
    """Refuses the first new order with a ``Retry-After`` of so many ``seconds``, and lets all else through.
    ``directory`` is its URL, checked with Pebble's CA; ``orders`` are the moments of all new orders (Unix seconds)."""

    def __init__(self, pebble: Pebble, seconds: int) -> None:
        self._pebble = pebble
        self._seconds = seconds
        self._new_order = ""
        self.orders: list[float] = []

    async def __aenter__(self) -> Relay:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pebble.folder / "cert.pem", self._pebble.folder / "key.pem")
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False))
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.directory = f"https://127.0.0.1:{self._runner.addresses[0][1]}/dir"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.Response:
        if self._new_order.endswith(request.path) and request.method == "POST":
            self.orders.append(time.time())
            if len(self.orders) == 1:
                problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": WORDS, "status": 429}
                kind, headers = "application/problem+json", {"Retry-After": str(self._seconds)}
                return web.json_response(problem, status=429, headers=headers, content_type=kind)
        # The host stays: Pebble writes its URLs with it.
        headers = {name: request.headers[name] for name in ("Host", "Content-Type") if name in request.headers}
        url = f"https://127.0.0.1:{self._pebble.port}{request.path_qs}"
        async with self._session.request(request.method, url, data=await request.read(), headers=headers) as answer:
            if request.path == "/dir":
                self._new_order = (await answer.json())["newOrder"]
            kept = ("Location", "Replay-Nonce", "Link", "Retry-After", "Content-Type")
            passed = CIMultiDict((name, value) for name in kept for value in answer.headers.getall(name, []))
            return web.Response(status=answer.status, body=await answer.read(), headers=passed)
