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

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.registry import middleware

_ESCAPES: Final = {
    "allow_encoded_slash": "%2F",
    "allow_encoded_back_slash": "%5C",
    "allow_encoded_null_character": "%00",
    "allow_encoded_semicolon": "%3B",
    "allow_encoded_percent": "%25",
    "allow_encoded_question_mark": "%3F",
    "allow_encoded_hash": "%23",
}


class Options(Model, frozen=True):
    """Options of ``encodedCharacters``."""

    # let %2F pass, a slash
    allow_encoded_slash: bool = False
    # let %5C pass, a backslash
    allow_encoded_back_slash: bool = False
    # let %00 pass, the null character
    allow_encoded_null_character: bool = False
    # let %3B pass, a semicolon
    allow_encoded_semicolon: bool = False
    # let %25 pass, a percent sign
    allow_encoded_percent: bool = False
    # let %3F pass, a question mark
    allow_encoded_question_mark: bool = False
    # let %23 pass, a hash
    allow_encoded_hash: bool = False


@middleware("encodedCharacters", Options)
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
