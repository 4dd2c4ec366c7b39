"""contentType: says what a response is where its server does not, by a look at its first bytes.

The bytes at hand when the response begins are looked at, at most 512 of them, in the way of the WHATWG's MIME sniffing
standard as Go's servers do it. Left alone: responses with a Content-Type or a Content-Encoding, with
``X-Content-Type-Options: nosniff``, and empty ones. Whoever serves files that visitors upload should not use it: a
text that begins like a page becomes one.

    labels:  edgerouter.http.middlewares.type.contenttype=true

    http:
      middlewares:
        type:
          contentType: {}
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._content_type_options import Options
from edgerouter.middlewares._pipe import first_bytes, peek
from edgerouter.middlewares._sniff import media_type_of
from edgerouter.registry import middleware

__all__ = ["ContentType", "Options"]

_PATIENCE: Final = 1.0  # seconds; a head should not wait longer for its body


class ContentType(Middleware):
    """Waits for the first bytes where only the head is there."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()

    def on_response(self, exchange: Exchange) -> Awaitable[None] | None:
        """See ``Middleware.on_response``."""
        response = exchange.response
        if response is None or response.body is None or response.status == 101:
            return None
        headers = response.headers
        if "Content-Type" in headers or headers.get("Content-Encoding"):
            return None
        if (headers.get("X-Content-Type-Options") or "").strip().lower() == "nosniff":
            return None
        if not peek(response.body) and not response.body.ended:
            return self._later(response)
        _say(response)
        return None

    async def _later(self, response: Response) -> None:
        assert response.body is not None
        response.body = await first_bytes(response.body, _PATIENCE)
        _say(response)


def _say(response: Response) -> None:
    data = peek(response.body) if response.body is not None else b""
    if data:
        response.headers.set("Content-Type", media_type_of(data))


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("contentType", Options)(ContentType)
