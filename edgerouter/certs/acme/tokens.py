"""HTTP-01: the proofs that are shown at present, and the page that shows them (RFC 8555 section 8.3).

Workers forward ``/.well-known/acme-challenge/`` here, as to any internal service, so every worker can answer.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from functools import partial
from typing import Final

from aiohttp import web

from edgerouter.certs.acme.challenges import HTTP
from edgerouter.certs.acme.storage import StorageError
from edgerouter.certs.acme.threads import in_thread
from edgerouter.certs.acme.together import Together

PATH: Final = "/.well-known/acme-challenge/"
MOST_LOOKING: Final = 32  # requests that look into shared storages at once: anybody may send such requests
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{22,256}")  # RFC 8555 section 8.1: 128 bits at least
log = logging.getLogger("edgerouter.acme")


class Tokens:
    """Proofs by host and token. Written by threads, read by the loop. ``elsewhere``: shared storages, where other
    routers leave theirs."""

    def __init__(self) -> None:
        self.elsewhere: list[Together] = []
        self._known: dict[tuple[str, str], str] = {}
        self._mutex = threading.Lock()
        self._looking = 0

    def put(self, name: str, token: str, authorization: str) -> None:
        """Show a proof."""
        with self._mutex:
            self._known[(name.lower(), token)] = authorization

    def drop(self, name: str, token: str) -> None:
        """Show it no longer."""
        with self._mutex:
            self._known.pop((name.lower(), token), None)

    def find(self, host: str, token: str) -> str | None:
        """The proof for this host."""
        return self._known.get((host.lower(), token))

    def app(self) -> web.Application:
        """The page, for a socket of its own."""
        app = web.Application()
        app.router.add_get(f"{PATH}{{token}}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        host = request.host.rpartition(":")[0] if request.host.count(":") == 1 else request.host
        token = request.match_info["token"]
        found = self.find(host, token) or await self._look(host, token)
        if found is None:
            return web.Response(status=404, text="no challenge of this name is open\n")
        return web.Response(text=found)

    async def _look(self, host: str, token: str) -> str | None:
        """The proof of another router."""
        if not self.elsewhere or self._looking >= MOST_LOOKING or not _TOKEN.fullmatch(token):
            return None
        self._looking += 1
        try:
            return await in_thread(partial(self._found, host, token))
        finally:
            self._looking -= 1

    def _found(self, host: str, token: str) -> str | None:
        for together in self.elsewhere:
            try:
                found = together.page(host, token)
            except StorageError as error:
                log.warning("whether another router has a proof for %s cannot be seen: %s", host, error)
                continue
            if found is not None:
                return found
        return None


class HttpProver:
    """See ``authority.Prover``. ``together``: other routers may be asked for the proof."""

    type = HTTP

    def __init__(self, tokens: Tokens, delay: float, together: Together | None = None) -> None:
        self._tokens = tokens
        self._together = together if together is not None and together.shared else None
        self._delay = threading.Event()
        self._seconds = delay

    def show(self, name: str, token: str, authorization: str, validation: str) -> None:
        """At once in place."""
        self.put(name, token, authorization)
        if self._seconds:
            self._delay.wait(self._seconds)

    def put(self, name: str, token: str, authorization: str) -> str:
        """The same without the delay; the page's text. Raises StorageError."""
        self._tokens.put(name, token, authorization)
        if self._together is not None:
            self._together.show_page(name, token, authorization)
        return authorization

    def remove(self, name: str, token: str) -> None:
        """See ``authority.Prover.remove``."""
        self._tokens.drop(name, token)
        if self._together is not None:
            with contextlib.suppress(StorageError):  # it is old soon
                self._together.hide_page(name, token)
