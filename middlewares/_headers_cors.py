"""The CORS part of ``headers``: who may ask from where (Fetch standard, section "CORS protocol")."""

from __future__ import annotations

from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.middlewares._headers_options import Options
from edgerouter.middlewares._patterns import compile_pattern


class Cors:
    """``wanted``: some CORS option is set. Raises ValueError for a pattern that is none, and for what is no line."""

    def __init__(self, options: Options) -> None:
        self._options = options
        for option, listed in (
            ("accessControlAllowHeaders", options.access_control_allow_headers),
            ("accessControlAllowMethods", options.access_control_allow_methods),
            ("accessControlAllowOriginList", options.access_control_allow_origin_list),
            ("accessControlExposeHeaders", options.access_control_expose_headers),
        ):
            _check(option, listed)
        self._origins = options.access_control_allow_origin_list
        self._patterns = [
            compile_pattern("headers: accessControlAllowOriginListRegex", pattern)
            for pattern in options.access_control_allow_origin_list_regex
        ]
        self._credentials = options.access_control_allow_credentials
        self._expose = ",".join(options.access_control_expose_headers)
        self.wanted = bool(
            self._origins
            or self._patterns
            or self._credentials
            or self._expose
            or options.access_control_allow_headers
            or options.access_control_allow_methods
            or options.access_control_max_age
            or options.add_vary_header
        )

    def preflight(self, request: Request) -> Response | None:
        """Answer a preflight request, even from an origin that may not ask; None for all other requests."""
        if request.method != "OPTIONS":
            return None
        origin = request.headers.get("Origin")
        method = request.headers.get("Access-Control-Request-Method")
        if not origin or not method:
            return None
        options = self._options
        answer = Response.text(200, "")
        headers = answer.headers
        self._allow_credentials(headers)
        asked = ",".join(request.headers.get_all("Access-Control-Request-Headers"))
        self._allow(headers, "Access-Control-Allow-Headers", options.access_control_allow_headers, asked)
        self._allow(headers, "Access-Control-Allow-Methods", options.access_control_allow_methods, method)
        self._allow_origin(headers, origin)
        headers.set("Access-Control-Max-Age", str(options.access_control_max_age))
        return answer

    def mark(self, request: Request, headers: Headers) -> None:
        """Put the CORS fields into a response's headers."""
        self._allow_origin(headers, request.headers.get("Origin") or "")
        self._allow_credentials(headers)
        if self._expose:
            headers.set("Access-Control-Expose-Headers", self._expose)
        if self._options.add_vary_header:
            known = ",".join(headers.get_all("Vary"))
            if known != "Origin":
                headers.set("Vary", f"{known},Origin" if known else "Origin")

    def _allow_credentials(self, headers: Headers) -> None:
        if self._credentials:
            headers.set("Access-Control-Allow-Credentials", "true")

    def _allow(self, headers: Headers, name: str, allowed: tuple[str, ...], asked: str) -> None:
        """With credentials a browser takes ``*`` literally: then what was asked for is allowed by name."""
        value = ",".join(allowed)
        if value == "*" and self._credentials:
            value = asked
        if value:
            headers.set(name, value)

    def _allow_origin(self, headers: Headers, origin: str) -> None:
        value = self._allowed(origin)
        if value:
            headers.set("Access-Control-Allow-Origin", value)

    def _allowed(self, origin: str) -> str:
        if "*" in self._origins:
            return origin if self._credentials else "*"
        if origin and (origin in self._origins or any(pattern.search(origin) for pattern in self._patterns)):
            return origin
        return ""


def _check(option: str, listed: tuple[str, ...]) -> None:
    for item in listed:
        if any(character < " " or character == "\x7f" for character in item):
            raise ValueError(f"headers: {option}: {item!r} holds a line break or another control character")
