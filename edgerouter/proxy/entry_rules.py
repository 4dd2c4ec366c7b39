"""What an entry point's static configuration changes or refuses in a request: semicolons in queries, underscores in
header names, encoded characters (Traefik's ``encodeQuerySemicolons``, ``underscoreHeadersStrategy``,
``encodedCharacters``)."""

from __future__ import annotations

from typing import Any, Final

from edgerouter.errors import BadRequest, EdgeError
from edgerouter.http.message import Request

_ESCAPES: Final = {
    "allow_encoded_slash": "%2F",
    "allow_encoded_back_slash": "%5C",
    "allow_encoded_null_character": "%00",
    "allow_encoded_semicolon": "%3B",
    "allow_encoded_percent": "%25",
    "allow_encoded_question_mark": "%3F",
    "allow_encoded_hash": "%23",
}


class EntryRules:
    """``http`` is ``config.static.EntryPointHttp``."""

    def __init__(self, http: Any) -> None:
        self._encode_semicolons = bool(http.encode_query_semicolons)
        self._underscores = str(http.underscore_headers_strategy)
        allowed = http.encoded_characters
        self._forbidden = [e for name, e in _ESCAPES.items() if allowed is not None and not getattr(allowed, name)]

    def on_entry(self, request: Request) -> EdgeError | None:
        """Edit the request before it is matched; an error is answered before any router is looked for."""
        if request.has_query and request.has_semicolon():
            request.query = request.query.replace(";", "%3B" if self._encode_semicolons else "&")
        if self._underscores != "keep":
            return self._on_underscores(request)
        return None

    def on_match(self, request: Request) -> EdgeError | None:
        """Refuse forbidden escapes in the path of a request that some router takes."""
        if self._forbidden and "%" in request.path:
            for escape in self._forbidden:
                if escape in request.path:
                    return BadRequest(f"the path holds {escape}", "BAD_REQUEST_ENCODED_CHARACTER")
        return None

    def _on_underscores(self, request: Request) -> EdgeError | None:
        names = {name for name, _ in request.headers.items() if "_" in name}
        if names and self._underscores == "reject":
            return BadRequest("a header name has an underscore", "BAD_REQUEST_UNDERSCORE")
        for name in names:
            request.headers.remove(name)
        return None
