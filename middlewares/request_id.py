"""requestId: gives every request an id that servers, logs and the client can be asked about.

The id is sent to the server and back to the client in the same field. An id that the client sent is kept only with
``trust: true``, and only if it is 1 to 128 letters, digits and ``-_.:+/=~@``; every other one is replaced, so that
nobody writes what he likes into logs. A new id is 32 hexadecimal digits (UUID version 7 without hyphens): ids of
later requests sort behind those of earlier ones.

    labels:  edgerouter.http.middlewares.trace.requestid=true

    http:
      middlewares:
        trace:
          requestId:
            header: X-Correlation-Id
            trust: true
"""

from __future__ import annotations

import os
import re
import time
from typing import Final

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import CODEC_FIELDS, Headers
from edgerouter.registry import middleware

_GOOD: Final = re.compile(r"[A-Za-z0-9\-_.:+/=~@]{1,128}")


class Options(Model, frozen=True):
    """Options of ``requestId``."""

    # the field that carries the id
    header: str = "X-Request-Id"
    # keep the id that the client sent
    trust: bool = False
    # send the id back to the client
    respond: bool = True


@middleware("requestId", Options)
class RequestId(Middleware):
    """The id stands in the request's field; a server's own field of that name does not reach the client."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._header = options.header
        self._trust = options.trust
        self._respond = options.respond
        self._slot = context.slot
        try:
            Headers().set(options.header, "x")
        except ValueError:
            raise ValueError(f"requestId: header: {options.header!r} is no name of a field") from None
        if options.header.lower() in CODEC_FIELDS:
            raise ValueError(f"requestId: header: {options.header} is the router's own to write; take another one")

    def on_request(self, exchange: Exchange) -> None:
        """See ``Middleware.on_request``."""
        headers = exchange.request.headers
        given = headers.get_all(self._header) if self._trust else []
        known = given[0] if len(given) == 1 and _GOOD.fullmatch(given[0]) else new_id()
        headers.set(self._header, known)
        exchange.keep(self._slot, known)

    def on_response(self, exchange: Exchange) -> None:
        """See ``Middleware.on_response``."""
        known = exchange.slot(self._slot)
        if self._respond and exchange.response is not None and isinstance(known, str):
            exchange.response.headers.set(self._header, known)


def new_id() -> str:
    """48 bits of milliseconds, 4 of version, 74 of chance and 2 of variant (RFC 9562 section 5.7)."""
    chance = int.from_bytes(os.urandom(10), "big")
    high = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << 80
    return f"{high | 7 << 76 | (chance >> 66 & 0xFFF) << 64 | 2 << 62 | chance & (1 << 62) - 1:032x}"
