"""HTTP-01: the proofs that are shown at present, and the page that shows them (RFC 8555 section 8.3).

Workers forward ``/.well-known/acme-challenge/`` here, as to any internal service, so every worker can answer.
"""

from __future__ import annotations

import threading

from aiohttp import web

from edgerouter.certs.acme.challenges import HTTP

PATH = "/.well-known/acme-challenge/"


class Tokens:
    """Proofs by host and token. Written by threads, read by the loop."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._mutex = threading.Lock()

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
        found = self.find(host, request.match_info["token"])
        if found is None:
            return web.Response(status=404, text="no challenge of this name is open\n")
        return web.Response(text=found)


class HttpProver:
    """See ``authority.Prover``."""

    type = HTTP

    def __init__(self, tokens: Tokens, delay: float) -> None:
        self._tokens = tokens
        self._delay = threading.Event()
        self._seconds = delay

    def show(self, name: str, token: str, authorization: str, validation: str) -> None:
        """At once in place."""
        self._tokens.put(name, token, authorization)
        if self._seconds:
            self._delay.wait(self._seconds)

    def remove(self, name: str, token: str) -> None:
        """See ``authority.Prover.remove``."""
        self._tokens.drop(name, token)
