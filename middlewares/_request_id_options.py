"""The options of ``requestId``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model


class Options(Model, frozen=True):
    """Options of ``requestId``."""

    # the field that carries the id
    header: str = "X-Request-Id"
    # keep the id that the client sent
    trust: bool = False
    # send the id back to the client
    respond: bool = True
