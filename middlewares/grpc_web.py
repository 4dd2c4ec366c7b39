"""grpcWeb: lets browsers speak gRPC: gRPC-Web requests become gRPC, and their responses gRPC-Web again.

Both forms are understood: ``application/grpc-web`` (binary) and ``application/grpc-web-text`` (base64). The response's
trailers, which browsers cannot read, are the last frame of its body; messages pass as they come. Preflight requests
that ask for ``x-grpc-web`` are answered here; ``allowOrigins`` says for whom (``*``: everybody). All other requests go
on as they are. The server gets HTTP/1.1 with trailers until HTTP/2 to servers is there.

    labels:  edgerouter.http.middlewares.web.grpcweb.alloworigins=https://app.acme.com

    http:
      middlewares:
        web:
          grpcWeb:
            allowOrigins: ["*"]
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from edgerouter.causes import CLIENT, declare
from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.errors import BadRequest
from edgerouter.http.body import BodyFilter
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.middlewares._fields import add_vary, media_type
from edgerouter.middlewares._pipe import Pipe, Work
from edgerouter.registry import middleware

_BAD: Final = declare(
    "BAD_REQUEST_GRPC_WEB",
    400,
    CLIENT,
    "The body of an application/grpc-web-text request is not base64, or ends within it.",
    "Mend the client; binary bodies need the Content-Type application/grpc-web.",
)
_WEB: Final = "application/grpc-web"
_TEXT: Final = "application/grpc-web-text"
_GRPC: Final = "application/grpc"
_PREFLIGHT_SECONDS: Final = "600"
_QUANTA: Final = re.compile(rb"[^=]+={0,2}")


class Options(Model, frozen=True):
    """Options of ``grpcWeb``."""

    # origins that may ask from a browser; * for all
    allow_origins: tuple[str, ...] = ()


@middleware("grpcWeb", Options)
class GrpcWeb(Middleware):
    """The form that the client speaks is kept: what its response must have."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._all = "*" in options.allow_origins
        self._origins = frozenset(origin.lower() for origin in options.allow_origins)
        self._slot = context.slot

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        if request.method == "OPTIONS":
            return self._preflight(request)
        kind = media_type(request.headers.get("Content-Type"))
        if request.method != "POST" or not kind.startswith(_WEB):
            return None
        form = _TEXT if kind.startswith(_TEXT) else _WEB
        exchange.keep(self._slot, (form, kind[len(form) :]))
        request.headers.set("Content-Type", f"{_GRPC}{kind[len(form) :]}")
        request.te_trailers = True
        return None

    def request_filter(self, exchange: Exchange) -> BodyFilter | None:
        """See ``Middleware.request_filter``."""
        kept = exchange.slot(self._slot)
        return _Decode() if isinstance(kept, tuple) and kept[0] == _TEXT else None

    def on_response(self, exchange: Exchange) -> None:
        """See ``Middleware.on_response``."""
        kept, response = exchange.slot(self._slot), exchange.response
        if not isinstance(kept, tuple) or response is None:
            return
        form, suffix = kept
        headers = response.headers
        self._allow(exchange.request, headers)
        if not media_type(headers.get("Content-Type")).startswith(_GRPC):
            return  # an error of somebody on the way, which browsers understand as it is
        headers.set("Content-Type", f"{form}{suffix}")
        headers.remove("Trailer")
        if response.body is not None:
            response.body = Pipe(response.body, _Encode(form == _TEXT)).start()

    def _preflight(self, request: Request) -> Response | None:
        headers = request.headers
        asked = ",".join(headers.get_all("Access-Control-Request-Headers"))
        names = {name.strip().lower() for name in asked.split(",")}
        if headers.get("Access-Control-Request-Method") != "POST" or "x-grpc-web" not in names:
            return None
        answer = Response.text(204, "")
        if self._allowed(request):
            answer.headers.set("Access-Control-Allow-Methods", "POST")
            answer.headers.set("Access-Control-Allow-Headers", asked)
            answer.headers.set("Access-Control-Max-Age", _PREFLIGHT_SECONDS)
        self._allow(request, answer.headers)
        return answer

    def _allowed(self, request: Request) -> bool:
        origin = request.headers.get("Origin")
        return origin is not None and (self._all or origin.lower() in self._origins)

    def _allow(self, request: Request, headers: Headers) -> None:
        """CORS fields for the response."""
        add_vary(headers, "Origin")
        if not self._allowed(request):
            return
        shown = {name.lower() for name, _ in headers.items()} | {"grpc-status", "grpc-message"}
        headers.set("Access-Control-Allow-Origin", request.headers.get("Origin") or "")
        headers.set("Access-Control-Allow-Credentials", "true")
        headers.set("Access-Control-Expose-Headers", ", ".join(sorted(shown - {"vary"})))


class _Decode(BodyFilter):
    """Base64 that may be padded in the middle: clients encode message by message."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        data = self._rest + data.translate(None, b"\r\n \t")
        whole = len(data) // 4 * 4
        self._rest = data[whole:]
        try:
            return b"".join(base64.b64decode(part, validate=True) for part in _QUANTA.findall(data[:whole]))
        except binascii.Error:
            raise BadRequest("grpcWeb: the body is no base64", _BAD) from None

    def end(self) -> bytes:
        if self._rest:
            raise BadRequest("grpcWeb: the base64 body ends too soon", _BAD)
        return b""


class _Encode(Work):
    """The body as it is, or in base64; then the trailers as a frame (gRPC-Web, "Message framing": bit 7 set)."""

    def __init__(self, text: bool) -> None:
        self.eats_trailers = True
        self._text = text

    def feed(self, data: bytes) -> bytes:
        return base64.b64encode(data) if self._text else data

    def end(self, trailers: Headers | None) -> bytes:
        if trailers is None:
            return b""
        lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in trailers.items()).encode("latin-1")
        return self.feed(b"\x80" + len(lines).to_bytes(4, "big") + lines)
