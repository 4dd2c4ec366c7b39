"""What tests of services are made with: servers, exchanges, and a house of services as a worker has one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from edgerouter.config.types import decode_hook
from edgerouter.contracts.plugins import PluginContext, Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.registry import load


def exchange(cookie: str = "", client: str = "") -> Exchange:
    headers = Headers()
    if cookie:
        headers.add("Cookie", cookie)
    made = Exchange(Request("GET", b"/", "acme.com", headers))
    made.client_address = client
    return made


class House:
    """Services by name, made from plain options as a worker does it."""

    def __init__(self, worker_slot: int = 0) -> None:
        self.worker_slot = worker_slot
        self.services: dict[str, Service] = {}

    def make(self, name: str, kind: str, options: dict[str, Any], servers: list[Server] | None = None) -> Any:
        plugin = load("services")[kind]
        decoded = msgspec.convert(options, plugin.options, dec_hook=decode_hook)
        context = PluginContext(name, "", name, self.services.get, self, lambda: 0.0, 0)
        made = plugin.cls(decoded, context, servers or [])
        before = self.services.get(name)
        if before is not None:
            made.inherit(before)
        self.services[name] = made
        return made


def server(name: str, weight: int = 1, up: bool = True) -> Server:
    made = Server(f"http://{name}:80", "http", name, 80, weight)
    made.up = up
    return made


def count(service: Service, turns: int) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for _ in range(turns):
        chosen = service.choose(exchange())
        counted["none" if chosen is None else chosen.host] += 1
    return dict(counted)
