"""errorPages: gives failed responses a page of their own, from templates in a folder or built in; no service is asked.

Who prefers JSON gets JSON, who speaks gRPC gets a gRPC status, all others get HTML. In ``folder`` the first of
``404.html``, ``4xx.html``, ``error.html`` is used (``.json`` likewise); where none is, a plain built-in page. In
templates ``{status}``, ``{reason}``, ``{cause}`` (why the router itself failed, empty for a server's own errors),
``{host}``, ``{path}`` and ``{requestId}`` are replaced, escaped for the kind of the page. A changed template is seen
within two seconds.

The status and all fields that do not describe the body stay. ``ownOnly: true`` leaves servers' own error responses
alone and replaces only what the router answers itself (502, 503, 504, refusals of other middlewares inside).

    labels:  edgerouter.http.middlewares.sorry.errorpages.status=502-504
             edgerouter.http.middlewares.sorry.errorpages.ownonly=true

    http:
      middlewares:
        sorry:
          errorPages:
            status: ["404", "500-599"]
"""

from __future__ import annotations

import json
import os
import re
from html import escape
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.body import Body
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.http.statuses import parse_statuses
from edgerouter.middlewares._fields import add_vary
from edgerouter.middlewares._kinds import GRPC, HTML, JSON, preferred_kind
from edgerouter.registry import middleware

_LOOK: Final = 2.0  # seconds between two looks at a file
_MOST: Final = 1 << 20  # bytes of a template
_WORD: Final = re.compile(r"\{(status|reason|cause|host|path|requestId)\}")
_OF_THE_BODY: Final = re.compile(
    r"(?i)content-(?!security-policy).*|etag|last-modified|accept-ranges|transfer-.*|trailer|digest"
)
# The status that gRPC clients make of an HTTP one (gRPC, "HTTP to gRPC Status Code Mapping").
_GRPC_STATUS: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_BUILT_IN: Final = {
    HTML: """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{status} {reason}</title>
<body style="font:1.1em/1.5 system-ui;max-width:34em;margin:20vh auto;padding:0 1em">
<h1>{status} {reason}</h1><p>{host}{path}</p><p><small>{cause} {requestId}</small></p>
""",
    JSON: '{"status":{status},"error":"{reason}","cause":"{cause}","requestId":"{requestId}"}\n',
}
_TYPES: Final = {HTML: "text/html; charset=utf-8", JSON: "application/json"}


class Options(Model, frozen=True):
    """Options of ``errorPages``."""

    # statuses whose responses get a page
    status: tuple[str, ...] = ("400-599",)
    # the folder with templates; empty: built-in pages
    folder: str = ""
    # only what the router answers itself
    own_only: bool = False


@middleware("errorPages", Options)
class ErrorPages(Middleware):
    """Pages are made when they are needed."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._statuses = parse_statuses("errorPages: status", options.status)
        if options.folder and not os.path.isdir(options.folder):
            raise ValueError(f"errorPages: folder: {options.folder} is no folder")
        self._templates = _Templates(options.folder, context)
        self._own_only = options.own_only

    def on_response(self, exchange: Exchange) -> None:
        """See ``Middleware.on_response``."""
        response = exchange.response
        if response is None or response.status not in self._statuses or (self._own_only and not exchange.cause):
            return
        kind = preferred_kind(exchange.request)
        old = response.body
        if kind == GRPC:
            exchange.response = _grpc(exchange, response.status)
        else:
            self._put(exchange, response, kind)
        if old is not None:
            old.abandon()

    def _put(self, exchange: Exchange, response: Response, kind: str) -> None:
        text = self._templates.find(kind, response.status)
        data = fill(text, kind, _words(exchange, response.status)).encode()
        headers = response.headers
        for name in {name for name, _ in headers.items() if _OF_THE_BODY.fullmatch(name)}:
            headers.remove(name)
        headers.set("Content-Type", _TYPES[kind])
        headers.set("X-Content-Type-Options", "nosniff")
        add_vary(headers, "Accept")
        response.body = Body.of(data)
        response.content_length = len(data)


class _Templates:
    """The files, read again when they change."""

    def __init__(self, folder: str, context: PluginContext) -> None:
        self._folder = folder
        self._now = context.now
        self._known: dict[tuple[str, int], tuple[float, str]] = {}
        self._texts: dict[str, tuple[int, str]] = {}

    def find(self, kind: str, status: int) -> str:
        """The template for a status."""
        if not self._folder:
            return _BUILT_IN[kind]
        now = self._now()
        known = self._known.get((kind, status))
        if known is None or now - known[0] > _LOOK:
            known = (now, self._look(kind, status))
            self._known[kind, status] = known
        return known[1]

    def _look(self, kind: str, status: int) -> str:
        for name in (str(status), f"{status // 100}xx", "error"):
            path = os.path.join(self._folder, f"{name}.{kind}")
            try:
                changed = os.stat(path).st_mtime_ns
                known = self._texts.get(path)
                if known is None or known[0] != changed:
                    with open(path, "rb") as file:
                        known = (changed, file.read(_MOST).decode("utf-8", "replace"))
                    self._texts[path] = known
            except OSError:
                continue
            return known[1]
        return _BUILT_IN[kind]


def _words(exchange: Exchange, status: int) -> dict[str, str]:
    request = exchange.request
    target = request.target.decode("latin-1")
    return {
        "status": str(status),
        "reason": reason(status),
        "cause": exchange.cause,
        "host": request.authority,
        "path": target if target.startswith("/") else request.path,
        "requestId": request.headers.get("X-Request-Id") or "",
    }


def fill(template: str, kind: str, words: dict[str, str]) -> str:
    """Replace the known words; what a client wrote cannot become part of the page's code."""
    encode = escape if kind == HTML else lambda text: json.dumps(text)[1:-1]
    return _WORD.sub(lambda found: encode(words[found.group(1)]), template)


def reason(status: int) -> str:
    """``Not Found`` for 404; ``Error`` for numbers that have no name."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _grpc(exchange: Exchange, status: int) -> Response:
    """A response of trailers only: gRPC's own errors are HTTP 200."""
    response = Response.text(200, "")
    response.headers.set("Content-Type", "application/grpc")
    response.headers.set("grpc-status", str(_GRPC_STATUS.get(status, 2)))
    message = f"HTTP {status} {reason(status)}" + f": {exchange.cause}" * bool(exchange.cause)
    response.headers.set("grpc-message", quote(message, safe=" :"))
    return response
