"""What somebody asks about a request -> the exchange that routing would see: the very parser, the very entry rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from edgerouter.config.static import EntryPoint, parse_address
from edgerouter.errors import EdgeError
from edgerouter.http.exchange import Exchange
from edgerouter.proxy.entry_rules import EntryRules
from edgerouter.wire import http1

_PORTS: Final = {"http": 80, "https": 443}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request, as somebody would send it. ``headers`` are ``Name: value`` lines; ``entry_point`` "" means by port;
    ``note`` is said with the answer."""

    url: str
    method: str = "GET"
    headers: tuple[str, ...] = ()
    entry_point: str = ""
    client: str = "127.0.0.1"
    note: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """``exchange`` None: the request would be refused before any router is looked at, and ``refused`` says why."""

    entry_point: str
    exchange: Exchange | None
    refused: str = ""
    note: str = ""


def ask(question: Question, points: Mapping[str, EntryPoint], defaults: Iterable[str]) -> Asked:
    """Make the exchange. Raises ValueError that says what cannot be asked."""
    url = question.url if "://" in question.url else f"http://{question.url}"
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.netloc:
        raise ValueError(f"expected a URL such as http://shop.example.com/path, got {question.url!r}")
    port = parts.port or _PORTS[parts.scheme]
    name, other_port = _point(question, port, points, defaults)
    note = "; ".join(filter(None, (question.note, other_port)))
    try:
        exchange = _exchange(question, url, points[name])
    except EdgeError as error:
        return Asked(
            entry_point=name, exchange=None, refused=f"{error.status} {error.cause}: {error.message}", note=note
        )
    exchange.entrypoint = name
    exchange.client_address = question.client
    return Asked(entry_point=name, exchange=exchange, note=note)


def _point(question: Question, port: int, points: Mapping[str, EntryPoint], defaults: Iterable[str]) -> tuple[str, str]:
    if question.entry_point:
        if question.entry_point not in points:
            raise ValueError(f"there is no entry point {question.entry_point!r}; there is {', '.join(points)}")
        return question.entry_point, ""
    by_port = [name for name, point in points.items() if parse_address(point.address).port == port]
    if by_port:
        return by_port[0], ""
    name = next((name for name in defaults if name in points), next(iter(points)))
    return name, f"no entry point listens on port {port}: explained as on {name}; name another one with --entrypoint"


def _exchange(question: Question, url: str, point: EntryPoint) -> Exchange:
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    lines = [line for line in question.headers if not line.lower().startswith("host:")]
    host = next((line.partition(":")[2].strip() for line in question.headers if line.lower().startswith("host:")), "")
    head = [f"{question.method} {target} HTTP/1.1", f"Host: {host or parts.netloc.rpartition('@')[2]}", *lines, "", ""]
    data = "\r\n".join(head)
    if any(letter in question.method + target + "".join(question.headers) for letter in "\r\n"):
        raise ValueError("a line break stands in the method, the URL or a header")
    settings = point.http
    limits = http1.Limits(max_head_bytes=int(settings.max_header_bytes), sanitize_path=bool(settings.sanitize_path))
    request = http1.RequestParser(limits, parts.scheme).parse(data.encode("utf-8", "surrogateescape"))
    if request is None:
        raise ValueError("this is no whole request")
    error = EntryRules(settings).on_entry(request)
    if error is not None:
        raise error
    return Exchange(request)
