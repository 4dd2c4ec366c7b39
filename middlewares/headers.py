"""headers: sets and deletes fields of requests and responses, answers CORS preflights, adds security fields.

``customRequestHeaders`` and ``customResponseHeaders`` replace a field, or delete it where the value is empty. ``Host``
sets the request's host; ``X-Forwarded-For`` with an empty value keeps the client's address from the server. Fields that
frame a message or belong to one connection (Content-Length, Transfer-Encoding, Connection ...) are the router's own:
they are left out.

With a CORS option, preflight requests (OPTIONS with Origin and Access-Control-Request-Method) are answered here. With
``allowedHosts``, other hosts are answered 500, cause ``BAD_HOST``. On responses, custom fields win over CORS fields,
and both over security fields.

    labels:  edgerouter.http.middlewares.mark.headers.customrequestheaders.X-Script-Name=test
             edgerouter.http.middlewares.mark.headers.stsseconds=31536000

    http:
      middlewares:
        mark:
          headers:
            customResponseHeaders:
              X-Powered-By: ""
            accessControlAllowOriginList: [https://acme.com]
"""

from __future__ import annotations

from typing import Final

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Field, Headers
from edgerouter.http.message import Request, Response
from edgerouter.middlewares._headers_cors import Cors
from edgerouter.middlewares._headers_options import Options
from edgerouter.middlewares._headers_secure import Secure
from edgerouter.proxy.failures import answer
from edgerouter.proxy.phases import ON_REQUEST, ON_RESPONSE, phases_of
from edgerouter.registry import middleware

__all__ = ["HeadersStep", "Options"]

_OWN: Final = frozenset(
    ("connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)


class HeadersStep(Middleware):
    """In: preflight, custom fields, host check. Out: security fields, CORS fields, custom fields."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if options == Options():
            raise ValueError("headers: nothing is set; write e.g. customRequestHeaders: {X-Name: value}")
        self._cors = Cors(options)
        self._secure = Secure(options)
        self._request = _fields(options.custom_request_headers, "customRequestHeaders")
        self._response = _fields(options.custom_response_headers, "customResponseHeaders")
        self._hides_peer = any(edit.name.lower() == "x-forwarded-for" and not edit.value for edit in self._request)
        self._slot = context.slot
        if not (self._cors.wanted or self._secure.wanted):  # then a half without custom fields has nothing to do
            idle = (0 if self._request else ON_REQUEST) | (0 if self._response else ON_RESPONSE)
            self.phases = phases_of(self) & ~idle

    def on_request(self, exchange: Exchange) -> Response | None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        if self._cors.wanted:
            allowed = self._cors.preflight(request)
            if allowed is not None:
                return allowed
        if self._secure.wanted:
            exchange.keep(self._slot, self._secure.is_tls(request))
        self._edit_request(exchange, request)
        if not self._secure.wanted or not self._secure.refuses(request):
            return None
        detail = f"headers: the host {request.authority!r} is not among allowedHosts"
        refusal = answer(exchange, 500, "BAD_HOST", detail, "Bad Host")
        self._edit_response(request, refusal.headers)
        return refusal

    def on_response(self, exchange: Exchange) -> None:
        """See ``Middleware.on_response``."""
        response = exchange.response
        if response is None:
            return
        if self._secure.wanted:
            self._secure.mark(exchange.slot(self._slot) is True, response.headers)
        self._edit_response(exchange.request, response.headers)

    def _edit_request(self, exchange: Exchange, request: Request) -> None:
        for edit in self._request:
            if edit.is_host:
                request.authority = edit.value or request.authority
            else:
                edit.apply(request.headers)
        if self._hides_peer:
            exchange.forwarded_for = False

    def _edit_response(self, request: Request, headers: Headers) -> None:
        if self._cors.wanted:
            self._cors.mark(request, headers)
        for edit in self._response:
            edit.apply(headers)


class Edit:
    """A field to set, or to remove where the value is empty. Raises ValueError for what is no field."""

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value
        self.is_host = name.lower() == "host"
        self._field = Field(name, value)

    def apply(self, headers: Headers) -> None:
        """To one message."""
        if self.value:
            headers.put(self._field)
        else:
            headers.remove(self.name)


def _fields(given: dict[str, str], option: str) -> list[Edit]:
    """Return what to set, checked once here so that it cannot fail at a request; raises ValueError."""
    edits: list[Edit] = []
    for name, value in given.items():
        try:
            edits.append(Edit(name, value))
        except ValueError:
            raise ValueError(
                f"headers: {option}: {name!r}: {value!r} is no header field; a name holds letters, digits and hyphens,"
                " a value one line"
            ) from None
        if name.lower() == "host" and any(not "!" <= character <= "~" for character in value):
            raise ValueError(f"headers: {option}: Host: {value!r} is no host; write its name in ASCII (punycode)")
    return [edit for edit in edits if edit.name.lower() not in _OWN]


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("headers", Options)(HeadersStep)
