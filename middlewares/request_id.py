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

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import CODEC_FIELDS, Field, Headers
from edgerouter.middlewares._request_id_options import Options
from edgerouter.registry import middleware

__all__ = ["Options", "RequestId"]

_GOOD: Final = re.compile(r"[A-Za-z0-9\-_.:+/=~@]{1,128}")


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
        field = Field(self._header, known)
        headers.put(field)
        exchange.keep(self._slot, field)

    def on_response(self, exchange: Exchange) -> None:
        """See ``Middleware.on_response``."""
        field = exchange.slot(self._slot)
        if self._respond and exchange.response is not None and isinstance(field, Field):
            exchange.response.headers.put(field)


class Ids:
    """Makes ids: 48 bits of milliseconds, 4 of version, 74 of chance and 2 of variant (RFC 9562 section 5.7).

    The system is asked for chance for two hundred ids at once; each digit is used for one id only.
    """

    def __init__(self) -> None:
        self._chance = ""
        self._at = 0
        self._millisecond = 0
        self._time = ""

    def make(self) -> str:
        """The next one."""
        now = time.time_ns() // 1_000_000
        if now != self._millisecond:
            self._millisecond = now
            self._time = now.to_bytes(6, "big").hex() + "7"
        at = self._at
        if at >= len(self._chance):
            self._chance = os.urandom(_AT_ONCE * _DIGITS // 2).hex()
            at = 0
        self._at = at + _DIGITS
        chance = self._chance
        variant = _VARIANTS[chance[at : at + 1]]
        return self._time + chance[at + 1 : at + 4] + variant + chance[at + 4 : at + 19]


_DIGITS: Final = 20  # of chance for one id; the last one is left over
_AT_ONCE: Final = 200  # ids
_VARIANTS: Final[dict[str, str]] = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_ids: Final = Ids()


def new_id() -> str:
    """A new id."""
    return _ids.make()


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("requestId", Options)(RequestId)
