"""What a load balancer remembers of an exchange from choice to response, and the step that acts on it. Compiled.

Only load balancers that need it have the step: sticky ones, those of a strategy that measures, those that watch for
failures.
"""

from __future__ import annotations

from collections.abc import Callable

from edgerouter.contracts.plugins import Balancer, Middleware, Resend, Server
from edgerouter.http.exchange import Exchange


class Choice:
    """The newest choice for one exchange: when (seconds), what Set-Cookie value it asks for, who was chosen before."""

    def __init__(self) -> None:
        self.server: Server | None = None
        self.started = 0.0
        self.cookie = ""
        self.before: list[Server] = []


class Watcher:
    """Who is told of failures; see ``_passive``."""

    def failed(self, server: Server) -> None:
        """One more failure."""


class Tracking(Middleware):
    """The innermost step of a service: sees the server's own response."""

    def __init__(
        self, service: str, now: Callable[[], float], balancer: Balancer | None, watcher: Watcher | None
    ) -> None:
        super().__init__()
        self.balancer = balancer  # told of times; None: nobody is
        self.watcher = watcher
        self._service = service
        self._now = now

    def on_response(self, exchange: Exchange) -> Resend | None:
        """See ``Middleware.on_response``. A failure of ours is no response: it was told when it happened."""
        choice = exchange.choice(self._service)
        response = exchange.response
        if exchange.cause != "" or response is None or not isinstance(choice, Choice):
            return None
        server = choice.server
        if server is not None:
            if self.balancer is not None:
                self.balancer.responded(server, self._now() - choice.started)
            if self.watcher is not None and response.status >= 500:
                self.watcher.failed(server)
        if choice.cookie != "":
            response.headers.add("Set-Cookie", choice.cookie)
        return None
