"""A response's trailers on their way past the steps that asked to see them."""

from __future__ import annotations

from edgerouter.contracts.plugins import Middleware
from edgerouter.http.body import TrailerEditor
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers


class Trailers(TrailerEditor):
    """Shows a body's trailers to the steps that asked, inside out."""

    def __init__(self, exchange: Exchange, step: Middleware, inner: TrailerEditor | None) -> None:
        self._exchange = exchange
        self._step = step
        self._inner = inner

    def edit(self, trailers: Headers) -> None:
        """See ``TrailerEditor.edit``."""
        if self._inner is not None:
            self._inner.edit(trailers)
        self._step.on_trailers(self._exchange, trailers)
