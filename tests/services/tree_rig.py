"""A tree of services in a real engine on real sockets: made from plain options, servers are little HTTP servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from proxy_rig import Rig
from services.house import House

from edgerouter.contracts.plugins import Service
from edgerouter.telemetry.records import SharedRecords

CLOSE = b"GET /a?b=c HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"


def post(body: bytes, chunked: bool = False) -> bytes:
    """A request with a body."""
    head = b"POST /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n"
    if chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


@dataclass
class Place:
    """One server: answers ``status`` with its name, once ``gate`` is open, and keeps (head, body) of each request."""

    name: str
    status: int = 200
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.seen.append((head, await _body(head.lower(), reader)))
            await self.gate.wait()
            name = self.name.encode()
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (self.status, len(name), name))
            await writer.drain()


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if b"transfer-encoding: chunked" in head:
        parts = []
        while size := int(await reader.readline(), 16):
            parts.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return b"".join(parts)
    _, found, rest = head.partition(b"content-length: ")
    return await reader.readexactly(int(rest.partition(b"\r\n")[0])) if found else b""


class Tree(House):
    """``await Tree.of(place, ...)`` makes a load balancer for each place, by its name; ``top`` makes the root."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self.rig = rig
        self.services = rig.services
        self.shared = SharedRecords()

    @classmethod
    async def of(cls, *places: Place) -> Tree:
        tree = cls(await Rig.start())
        for place in places:
            server = await tree.rig.add_upstream(place.serve)
            tree.make(f"{place.name}@f", "loadBalancer", {}, [server])
        return tree

    def record(self, name: str, shared_words: int, part_words: int) -> Any:
        """As a worker's records."""
        return self.shared.record(name, shared_words, part_words)

    def top(self, kind: str, options: dict[str, Any]) -> Service:
        """All requests go to this service, named ``top@f``."""
        made: Service = self.make("top@f", kind, options)
        table: Any = self.rig.engine.table
        table.route.service = made
        return made

    async def ask(self, raw: bytes = CLOSE) -> tuple[int, str]:
        """Status and body."""
        data = await self.rig.ask(raw)
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body.decode()
