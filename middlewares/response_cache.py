"""responseCache: keeps responses in memory and answers from there, as RFC 9111 tells shared caches to.

What servers allow is kept for as long as they say (Cache-Control, Expires, or a tenth of the time since Last-Modified);
``defaultTtl`` is for those that say nothing, and only for requests without Cookie and Authorization. Never kept:
responses with Set-Cookie, to requests with a body or a Range, to requests with fields that make servers see another
URL or method (X-Original-URL, X-HTTP-Method-Override ...), and what the router itself answers. Variants are told apart
as Vary says; scheme, host, path, query and ``keyHeaders`` are the key. Successful requests with other methods drop
what is kept of their URL.

One request a key fills the store: others that come meanwhile wait for it. What is stale is revalidated with the
server; ``staleWhileRevalidate`` answers with it at once and asks the server meanwhile, ``staleIfError`` answers with it
when the server fails (both also as the server's directives, which go before the options). ``Age`` and ``Cache-Status``
(RFC 9211) say what happened. Each worker has a store of its own of ``maxBytes``, which the least recently used leaves
first; it lasts as long as the router and its middlewares do not change. What one worker drops because its URL was
changed counts for all. Bodies are not shared between workers on purpose: each answer would be copied out of memory that
several processes write, under locks that outlive a killed worker, to save one request a key and worker.

Put it outside of ``compress`` to keep compressed variants, inside to compress each time.

    labels:  edgerouter.http.middlewares.kept.responsecache.maxbytes=100000000
             edgerouter.http.middlewares.kept.responsecache.staleiferror=1h

    http:
      middlewares:
        kept:
          responseCache:
            defaultTtl: 10s
            staleWhileRevalidate: 30s
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final

from edgerouter.contracts.plugins import Middleware, PluginContext
from edgerouter.http.body import BodySink
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request, Response
from edgerouter.middlewares._cache_drops import Drops
from edgerouter.middlewares._cache_fill import Ask, Fill, Filling
from edgerouter.middlewares._cache_policy import Wishes, bypass, storable, unchanged
from edgerouter.middlewares._cache_store import Entry, Store
from edgerouter.middlewares._fields import media_type
from edgerouter.middlewares._response_cache_options import Options
from edgerouter.middlewares._slices import Tee, body_of
from edgerouter.registry import middleware
from edgerouter.telemetry.records import SharedRecords

__all__ = ["Options", "ResponseCache"]

_NAME: Final = "EdgeRouter"
_WAIT: Final = 30.0  # seconds that a request waits for another one's fill
_FORWARDED: Final = ("X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix")
_ERRORS: Final = (500, 502, 503, 504)
_CONDITIONS: Final = ("If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range")


class ResponseCache(Middleware):
    """What is kept of an exchange is an ``Ask``."""

    def __init__(self, options: Options, context: PluginContext) -> None:
        super().__init__()
        if options.max_bytes < 65536:
            raise ValueError("responseCache: maxBytes must be 65536 at least")
        if not 0 < options.max_entry_bytes <= options.max_bytes:
            raise ValueError("responseCache: maxEntryBytes must be more than 0, and maxBytes at most")
        self._options = options
        self._store = Store(options.max_bytes)
        self._filling = Filling()
        self._now = context.now
        name = f"responseCache\n{context.router}\n{context.name}\n"
        self._drops = Drops(context.shared or SharedRecords(), name, context.now)
        self._slot = context.slot
        self._tasks: set[asyncio.Task[None]] = set()

    # -- in -----------------------------------------------------------------------------------------------------

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """See ``Middleware.on_request``."""
        request = exchange.request
        key = self._key(request)
        if bypass(request):
            exchange.keep(self._slot, Ask(key, "bypass" if request.method in ("GET", "HEAD") else "method"))
            return None
        wishes = Wishes(request, self._options.ignore_client)
        answer = self._answer(exchange, request, key, wishes)
        if answer is not None:
            return answer
        if wishes.only_if_cached:
            return Response.text(504, "Gateway Timeout")  # RFC 9111 section 5.2.1.7
        if self._filling.busy(key, self._now()) and not wishes.no_cache:
            return self._wait(exchange, key, wishes)
        self._forward(exchange, key, wishes)
        return None

    async def _wait(self, exchange: Exchange, key: str, wishes: Wishes) -> Response | None:
        """Another request is filling this key."""
        try:
            async with asyncio.timeout(_WAIT):
                while self._filling.busy(key, self._now()):
                    await self._filling.wait(key)
                    answer = self._answer(exchange, exchange.request, key, wishes, collapsed=True)
                    if answer is not None:
                        return answer
        except TimeoutError:
            pass
        self._forward(exchange, key, wishes)
        return None

    def _answer(
        self, exchange: Exchange, request: Request, key: str, wishes: Wishes, collapsed: bool = False
    ) -> Response | None:
        """From the store, if something there may be used."""
        entry = self._find(key, request)
        if entry is None:
            return None
        age, lifetime = entry.age(self._now()), entry.freshness.lifetime
        if entry.freshness.strict and age >= lifetime:
            return None
        status = f"hit; ttl={round(lifetime - age)}"
        if not wishes.content_with(age, lifetime):
            served = lifetime <= age < lifetime + self._while_revalidate(entry)
            if wishes.no_cache or wishes.max_age is not None or not served or not self._renew(exchange, entry):
                return None
            status += "; detail=stale-while-revalidate"
        return self._made(request, entry, "fwd=uri-miss; collapsed" if collapsed else status)

    def _find(self, key: str, request: Request) -> Entry | None:
        """What is stored, and was not dropped by another worker since."""
        entry = self._store.find(key, request)
        if entry is not None and self._drops.since(key, entry.stored):
            self._store.forget(key)
            return None
        return entry

    def _while_revalidate(self, entry: Entry) -> float:
        own = entry.freshness.while_revalidate
        return float(self._options.stale_while_revalidate) if own is None else own

    def _forward(self, exchange: Exchange, key: str, wishes: Wishes) -> None:
        """Ask the server, for others too where the answer may be kept."""
        request = exchange.request
        entry = self._find(key, request)
        why = "uri-miss"
        if entry is not None:
            why = "request" if wishes.no_cache or wishes.max_age is not None else "stale"
        elif self._store.knows(key):
            why = "vary-miss"
        ask = Ask(key, why, entry)
        exchange.keep(self._slot, ask)
        if request.method != "GET" or wishes.no_store:
            return
        ask.stores = True
        ask.conditions = _take_conditions(request)
        if entry is not None:
            _validate(request, entry)
            ask.validates = True
        if not wishes.no_cache:
            ask.fill = self._filling.begin(key, self._now())

    # -- out ----------------------------------------------------------------------------------------------------

    def on_response(self, exchange: Exchange) -> None:
        """See ``Middleware.on_response``."""
        ask, response = exchange.slot(self._slot), exchange.response
        if not isinstance(ask, Ask) or response is None or response.status == 101:
            return
        if ask.why == "method":
            self._say(response.headers, "fwd=method")
            if 200 <= response.status < 400:
                self._store.forget(ask.key)  # RFC 9111 section 4.4
                self._drops.note(ask.key)
            return
        self._restore(exchange.request, ask)
        entry = ask.entry
        status = f"fwd={ask.why}; fwd-status={response.status}"
        if entry is not None and response.status == 304 and ask.validates:
            self._freshen(exchange, entry, response)
            exchange.response = self._made(exchange.request, entry, status)
        elif entry is not None and response.status in _ERRORS and self._forgives(entry):
            self._use_stale(exchange, entry, response, status)
        else:
            stored = ask.stores and self._begin_store(exchange, ask, response)
            self._say(response.headers, f"{status}; stored" if stored else status)
            if stored:
                if _is_here(response) and unchanged(exchange.request, response.headers):
                    exchange.response = _not_modified(response.headers)
                return  # the fill tells those who wait
        ask.done()

    def _begin_store(self, exchange: Exchange, ask: Ask, response: Response) -> bool:
        if exchange.cause or response.cause or media_type(response.headers.get("Content-Type")) == "text/event-stream":
            return False
        request = exchange.request
        fresh = storable(request, response, float(self._options.default_ttl), time.time())
        body = response.body
        length = 0 if body is None else body.length
        if fresh is None or length > self._options.max_entry_bytes:
            if ask.fill is not None:
                self._filling.pass_by(ask.key, self._now())
            return False
        fill = Fill(self._store, ask, request, response, fresh, self._options.max_entry_bytes, self._now)
        if body is None:
            fill.ended(None)
        elif body.ended and body.filters is None:
            data = body.take()
            fill.heard(data)
            fill.ended(body.trailers)
            body.hold(data)
        else:
            response.body = Tee(body, fill).start()
        return True

    def _freshen(self, exchange: Exchange, entry: Entry, response: Response) -> None:
        """RFC 9111 section 4.3.4: a 304 renews the stored fields."""
        for name in {name for name, _ in response.headers.items()}:
            if name.lower() not in ("content-length", "content-encoding", "content-type", "content-range"):
                values = response.headers.get_all(name)
                entry.headers.remove(name)
                for value in values:
                    entry.headers.add(name, value)
        said = Response(entry.status, entry.headers)
        fresh = storable(exchange.request, said, float(self._options.default_ttl), time.time())
        if fresh is None:
            self._store.drop(entry)
            return
        entry.freshness, entry.stored = fresh, self._now()

    def _forgives(self, entry: Entry) -> bool:
        own = entry.freshness.if_error
        grace = float(self._options.stale_if_error) if own is None else own
        return not entry.freshness.strict and entry.age(self._now()) < entry.freshness.lifetime + grace

    def _use_stale(self, exchange: Exchange, entry: Entry, response: Response, status: str) -> None:
        if response.body is not None:
            response.body.abandon()
        exchange.detail = f"a stale response was used: {exchange.cause or response.status} {exchange.detail}".strip()
        exchange.cause = ""
        exchange.response = self._made(exchange.request, entry, f"{status}; detail=stale-if-error")

    def on_end(self, exchange: Exchange) -> None:
        """See ``Middleware.on_end``."""
        ask = exchange.slot(self._slot)
        if isinstance(ask, Ask):
            ask.done()

    # -- renewing -----------------------------------------------------------------------------------------------

    def _renew(self, exchange: Exchange, entry: Entry) -> bool:
        """Ask the server in the background, once at a time; False where that cannot be done from here."""
        if entry.renewing:
            return True
        given = exchange.request
        request = Request("GET", given.target, given.authority, given.headers.copy(), given.version)
        request.path, request.query, request.has_query = given.path, given.query, given.has_query
        request.host, request.scheme, request.managed = given.host, given.scheme, given.managed
        _take_conditions(request)
        _validate(request, entry)
        awaited = exchange.fetch_inside(self, request)
        if awaited is None:
            return False
        entry.renewing = True
        task = asyncio.get_running_loop().create_task(self._renewed(entry, request, awaited))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _renewed(self, entry: Entry, request: Request, awaited: Awaitable[Response]) -> None:
        try:
            response = await awaited
            exchange = Exchange(request)
            exchange.response = response
            if response.status == 304:
                self._freshen(exchange, entry, response)
            elif response.status not in _ERRORS and not response.cause:
                _take_conditions(request)
                if self._begin_store(exchange, Ask(entry.key, "stale"), response):
                    if response.body is not None:
                        response.body.attach(BodySink())
                    return
                self._store.drop(entry)
            if response.body is not None:
                response.body.abandon()
        finally:
            entry.renewing = False

    # -- shapes -------------------------------------------------------------------------------------------------

    def _key(self, request: Request) -> str:
        """Scheme, host, path and query as the server will see them; what a trusted proxy says of them too."""
        parts = [request.scheme, request.authority.lower(), request.target_text()]
        headers = request.headers
        if request.managed:
            own = (request.authority, request.scheme, "")  # what the router says by itself: the same for all
            said = [headers.get(name) or "" for name in _FORWARDED]
            parts += [value for value in said if value not in own]
        parts += [",".join(headers.get_all(name)) for name in self._options.key_headers]
        return "\n".join(parts)

    def _made(self, request: Request, entry: Entry, status: str) -> Response:
        headers = entry.headers.copy()
        headers.set("Age", str(max(0, int(entry.age(self._now())))))
        self._say(headers, status)
        if entry.status == 200 and unchanged(request, headers):
            return _not_modified(headers)
        response = Response(entry.status, headers, body_of(entry.pieces, entry.length))
        response.content_length = entry.length
        return response

    def _say(self, headers: Headers, status: str) -> None:
        if self._options.cache_status:
            headers.add("Cache-Status", f"{_NAME}; {status}")

    def _restore(self, request: Request, ask: Ask) -> None:
        """What the client asked under which conditions is its own again."""
        if ask.conditions is not None:
            _take_conditions(request)
            for name, value in ask.conditions:
                request.headers.add(name, value)


def _is_here(response: Response) -> bool:
    """Has it come whole, so that saying 304 instead takes nothing from the store?"""
    return response.status == 200 and (response.body is None or response.body.ended)


def _take_conditions(request: Request) -> list[tuple[str, str]]:
    """Remove and return them: the store needs the whole response."""
    taken = [(name, value) for name in _CONDITIONS for value in request.headers.get_all(name)]
    for name, _ in taken:
        request.headers.remove(name)
    return taken


def _validate(request: Request, entry: Entry) -> None:
    """RFC 9111 section 4.3.1."""
    for field, condition in (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since")):
        value = entry.headers.get(field)
        if value is not None:
            request.headers.set(condition, value)


def _not_modified(headers: Headers) -> Response:
    """RFC 9110 section 15.4.5."""
    kept = Headers()
    for name, value in headers.items():
        if not name.lower().startswith("content-") or name.lower() == "content-location":
            kept.add(name, value)
    return Response(304, kept)


# A call, not a decorator: mypyc compiles decorated classes to ordinary ones.
middleware("responseCache", Options)(ResponseCache)
