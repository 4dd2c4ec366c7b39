"""respond: answers every request itself, with a fixed status, fields and text; no server is asked.

The text is sent as it is written. HEAD gets the same without the text. Without a ``body`` the answer is empty.

    labels:  edgerouter.http.middlewares.gone.respond.status=410
             edgerouter.http.middlewares.gone.respond.body=This page has moved to https://acme.com

    http:
      middlewares:
        robots:
          respond:
            body: "User-agent: *\\nDisallow: /\\n"
            headers: {Cache-Control: max-age=3600}
"""

from __future__ import annotations

from typing import Final

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.body import Body
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import CODEC_FIELDS, Headers
from edgerouter.http.message import Response
from edgerouter.registry import middleware

_BODILESS: Final = (204, 304)


class Options(Model, frozen=True):
    """Options of ``respond``."""

    # the status, 200 to 599
    status: int = 200
    # the text; empty: none
    body: str = ""
    # the text's media type; left out where there is no text
    content_type: str = "text/plain; charset=utf-8"
    # further fields of the answer
    headers: dict[str, str] = {}


@middleware("respond", Options)
class Respond(Middleware):
    """What is sent is made once."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if not 200 <= options.status <= 599:
            raise ValueError(f"respond: status: {options.status} ends no request; write 200 to 599")
        if options.body and options.status in _BODILESS:
            raise ValueError(f"respond: status {options.status} has no body; leave body out or take another status")
        self._status = options.status
        self._body = options.body.encode()
        self._headers = answer_fields("respond", options.headers)
        if self._body:
            self._headers.insert(0, ("Content-Type", options.content_type))
            answer_fields("respond", {"Content-Type": options.content_type})

    def on_request(self, exchange: Exchange) -> Response:
        """See ``Middleware.on_request``."""
        body = Body.of(self._body) if self._body else None
        response = Response(self._status, Headers.of(self._headers), body)
        response.content_length = len(self._body)
        return response


def answer_fields(who: str, given: dict[str, str]) -> list[tuple[str, str]]:
    """The fields as pairs, checked; raises ValueError that says what is wrong with one."""
    for name, value in given.items():
        if name.lower() in CODEC_FIELDS:
            raise ValueError(f"{who}: headers: {name} is the router's own to write; leave it out")
        try:
            Headers().set(name, value)
        except ValueError:
            raise ValueError(f"{who}: headers: {name!r}: {value!r} is no header field") from None
    return list(given.items())
