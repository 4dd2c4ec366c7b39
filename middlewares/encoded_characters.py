"""encodedCharacters: refuses requests whose path holds percent-encoded characters that servers read differently.

Some servers decode ``%2F`` before they look at a path, some after: what one takes for a file's name is a path for the
other. All of the seven are refused unless they are allowed here (the entry point's option of the same name allows all
unless told otherwise): 400 without a body, cause ``BAD_REQUEST_ENCODED_CHARACTER``. The query is not looked at.

    labels:  edgerouter.http.middlewares.plain.encodedcharacters.allowencodedslash=true

    http:
      middlewares:
        plain:
          encodedCharacters:
            allowEncodedSlash: true
"""

from __future__ import annotations

from typing import Final

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._encoded_characters_options import Options
from edgerouter.registry import middleware

__all__ = ["EncodedCharacters", "Options"]

_ESCAPES: Final = {
    "allow_encoded_slash": "%2F",
    "allow_encoded_back_slash": "%5C",
    "allow_encoded_null_character": "%00",
    "allow_encoded_semicolon": "%3B",
    "allow_encoded_percent": "%25",
    "allow_encoded_question_mark": "%3F",
    "allow_encoded_hash": "%23",
}


class EncodedCharacters(Middleware):
    """A request's path is normalised: escapes are in capitals, and none stands for a character that needs none."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._forbidden = tuple(escape for name, escape in _ESCAPES.items() if not getattr(options, name))

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        path = exchange.request.path
        if "%" not in path:
            return None
        for escape in self._forbidden:
            if escape in path:
                exchange.cause = "BAD_REQUEST_ENCODED_CHARACTER"
                exchange.detail = f"encodedCharacters: the path holds {escape}"
                return Response.text(400, "")
        return None


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("encodedCharacters", Options)(EncodedCharacters)
