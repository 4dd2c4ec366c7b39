"""What says which names may have a certificate on demand: yes to those that it knows."""

from __future__ import annotations

from types import TracebackType

from aiohttp import web


class AskServer:
    """``asked`` holds every name in order; ``status`` is the answer to all names where it is not 0."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = set(allowed)
        self.asked: list[str] = []
        self.status = 0

    async def __aenter__(self) -> AskServer:
        app = web.Application()
        app.router.add_get("/may", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://user:s3cret@127.0.0.1:{self._runner.addresses[0][1]}/may?token=s3cret"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.query["domain"]
        self.asked.append(name)
        allowed = name in self.allowed and request.query["token"] == "s3cret"
        return web.Response(status=self.status or (200 if allowed else 403))
