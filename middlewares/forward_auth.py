"""forwardAuth: asks another server whether a request may pass.

A GET with the client's fields (or only ``authRequestHeaders``) goes to ``address``, with X-Forwarded-Method, -Proto,
-Host, -Uri and -For that say what was asked for by whom. A response with 2xx lets the request pass, with the fields
``authResponseHeaders`` of that response in place of the client's own of these names. Any other response is the answer.
An auth server that cannot be reached, or gives no answer within 30 seconds: 500, cause ``AUTH_SERVER_FAILED``.
Redirects are the client's matter.

``forwardBody`` sends the request's body along; it is held in memory meanwhile, so set ``maxBodySize``: a larger one is
answered 401, cause ``BODY_TOO_LARGE``. Bodies of the auth server's 2xx responses are thrown away.

    labels:  edgerouter.http.middlewares.sso.forwardauth.address=https://auth.acme.com/verify
             edgerouter.http.middlewares.sso.forwardauth.authresponseheaders=X-User,X-Groups

    http:
      middlewares:
        sso:
          forwardAuth:
            address: http://authelia:9091/api/authz/forward-auth
            authResponseHeaders: [Remote-User, Remote-Groups]
            addAuthCookiesToResponse: [session]
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final
from urllib.parse import urljoin

import msgspec

from edgerouter.config.dynamic import Model
from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.errors import BodyTooLarge, EdgeError
from edgerouter.http.body import Body
from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Request, Response
from edgerouter.middlewares._auth_headers import Adopted, cookies_of, copy_request_fields, put_cookies
from edgerouter.middlewares._endpoint import TLS, Endpoint, EndpointFailed, failed
from edgerouter.middlewares._patterns import compile_pattern
from edgerouter.proxy.collect import read_all
from edgerouter.registry import middleware

_NO_LIMIT: Final = 1 << 62
_THROWN_AWAY: Final = 65536  # bytes of a body that are read so that its connection can be used again


class Options(Model, frozen=True):
    """Options of ``forwardAuth``."""

    # URL of the auth server
    address: str = ""
    tls: TLS | None = None
    # true: believe the client's X-Forwarded-*; false: send none of them; absent: write the five anew, send the others
    trust_forward_header: bool | None = None
    # fields of the request that the auth server gets; all when absent
    auth_request_headers: tuple[str, ...] = ()
    # fields of its response that the server gets
    auth_response_headers: tuple[str, ...] = ()
    # pattern (RE2) of such fields
    auth_response_headers_regex: str = ""
    # cookies that its responses may set at the client
    add_auth_cookies_to_response: tuple[str, ...] = ()
    # field of its response that holds the user's name, for the access log
    header_field: str = ""
    # send the request's body to the auth server, too
    forward_body: bool = False
    # bytes of that body; larger ones are answered 401; -1: no limit
    max_body_size: int = -1
    # bytes of the auth server's body; a larger one is answered 401; -1: no limit
    max_response_body_size: int = -1
    # ask with the client's method instead of GET
    preserve_request_method: bool = False
    # leave relative Location fields of the auth server as they are
    preserve_location_header: bool = False
    # URL to which clients are sent (302) that the auth server answers 401
    auth_signin_url: str = msgspec.field(default="", name="authSigninURL")

    def warnings(self) -> tuple[str, ...]:
        """See ``config.effect.warnings``."""
        if self.forward_body and self.max_body_size < 0:
            return ("forwardBody holds whole bodies in memory; set maxBodySize",)
        return ()


@middleware("forwardAuth", Options)
class ForwardAuth(Middleware):
    """The auth server's word is final: whatever goes wrong on the way to it, the request does not pass."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        self._server = Endpoint("forwardAuth: address", options.address, options.tls)
        self._options = options
        self._wanted = frozenset(name.lower() for name in options.auth_request_headers)
        pattern = options.auth_response_headers_regex
        regex = compile_pattern("forwardAuth: authResponseHeadersRegex", pattern) if pattern else None
        self._adopted = Adopted(options.auth_response_headers, regex.search if regex is not None else None)
        self._cookies = frozenset(options.add_auth_cookies_to_response)
        self._slot = context.slot

    def on_request(self, exchange: Exchange) -> Awaitable[Response | None]:
        """See ``Middleware.on_request``."""
        return self._ask(exchange)

    def on_response(self, exchange: Exchange) -> None:
        """See ``Middleware.on_response``."""
        cookies = exchange.slot(self._slot)
        if isinstance(cookies, list) and exchange.response is not None:
            put_cookies(exchange.response, self._cookies, cookies)

    async def _ask(self, exchange: Exchange) -> Response | None:
        try:
            body = await self._body(exchange)
            response = await self._server.send(exchange, self._question(exchange, body))
            return await self._decide(exchange, response)
        except BodyTooLarge as error:
            exchange.cause = error.cause
            exchange.detail = f"forwardAuth: {error.message}"
            return Response.text(401, "")
        except (EndpointFailed, EdgeError) as error:
            return failed(exchange, "forwardAuth", error)

    async def _body(self, exchange: Exchange) -> bytes | None:
        request = exchange.request
        if not self._options.forward_body or request.body is None:
            return None
        most = self._options.max_body_size
        data = await read_all(request.body, _NO_LIMIT if most < 0 else most)
        whole = Body.of(data)
        whole.keep(len(data))
        request.body = whole
        return data

    def _question(self, exchange: Exchange, body: bytes | None) -> Request:
        server, options = self._server, self._options
        given = exchange.request
        method = given.method if options.preserve_request_method else "GET"
        headers = copy_request_fields(exchange, self._wanted, options.trust_forward_header)
        request = Request(method, b"", given.authority, headers)
        request.path, request.query, request.has_query = server.path, server.query, bool(server.query)
        if body is not None:
            request.body = Body.of(body)
        return request

    async def _decide(self, exchange: Exchange, response: Response) -> Response | None:
        if self._options.header_field:
            exchange.user = response.headers.get(self._options.header_field) or exchange.user
        if not 200 <= response.status < 300:
            return await self._answer(exchange, response)
        await self._throw_away(response)
        self._adopted.move(response.headers, exchange.request.headers)
        if self._cookies:
            exchange.keep(self._slot, cookies_of(response, self._cookies))
        return None

    async def _throw_away(self, response: Response) -> None:
        most = self._options.max_response_body_size
        if most >= 0:
            await read_all(response.body, most)
        elif response.body is not None:
            try:
                await read_all(response.body, _THROWN_AWAY)
            except EdgeError:
                response.body.abandon()

    async def _answer(self, exchange: Exchange, response: Response) -> Response:
        options = self._options
        exchange.cause = "UNAUTHORIZED" if response.status in (401, 403) else ""
        exchange.detail = f"forwardAuth: the auth server answered {response.status}"
        if options.auth_signin_url and response.status == 401:
            await self._throw_away(response)
            found = Response.text(302, "")
            found.headers.set("Location", options.auth_signin_url)
            return found
        if options.max_response_body_size >= 0 and response.body is not None:
            data = await read_all(response.body, options.max_response_body_size)
            response.body = Body.of(data)
        location = response.headers.get("Location")
        if location is not None and not options.preserve_location_header:
            response.headers.set("Location", urljoin(self._server.url, location))
        return response
