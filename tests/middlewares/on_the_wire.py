"""How tests of middlewares ask a real engine over real sockets: raw answers of servers in, what a client reads out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from live.toolbox import Reply, read_reply
from proxy_rig import Rig, RoundRobin, Serve

from edgerouter.contracts.plugins import Middleware

Seen = list[tuple[bytes, bytes]]


@contextlib.asynccontextmanager
async def running(
    *serves: Serve, steps: list[Middleware], services: dict[str, Serve] | None = None
) -> AsyncIterator[Rig]:
    """An engine with one route; ``services`` are others, by their qualified names."""
    rig = await Rig.start(*serves, steps=steps)
    try:
        for name, serve in (services or {}).items():
            server = await rig.add_upstream(serve)
            rig.servers.remove(server)
            rig.services[name] = RoundRobin(name, [server])
        yield rig
    finally:
        await rig.stop()


def request(method: str = "GET", target: str = "/", body: bytes = b"", **fields: str) -> bytes:
    """A request's bytes; ``X_Name`` stands for X-Name."""
    lines = {"Host": "acme.com", **{name.replace("_", "-"): value for name, value in fields.items()}}
    if body and "Transfer-Encoding" not in lines:
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body


def reply(status: int = 200, body: bytes = b"", **fields: str) -> bytes:
    """A server's answer with a length."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Text\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def chunked(*chunks: bytes, trailers: str = "", **fields: str) -> bytes:
    """A server's answer in chunks."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{lines}\r\n".encode()
    return head + body + f"0\r\n{trailers}\r\n".encode()


def serving(*replies: bytes, seen: Seen | None = None) -> Serve:
    """A server that reads each request with its body and gives the next reply, the last one again and again; the turn
    goes over all connections."""
    left = list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await body_of(head.lower(), reader)
            if seen is not None:
                seen.append((head, body))
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()

    return serve


async def body_of(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """The body of a request with this head, in lower case."""
    if b"\r\ncontent-length:" in head:
        return await reader.readexactly(int(head.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0]))
    data = b""
    if b"\r\ntransfer-encoding:" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            data += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    return data


async def asked(rig: Rig, raw: bytes) -> Reply:
    """The answer to one request on a connection of its own."""
    reader, writer = await rig.connect()
    try:
        writer.write(raw)
        async with asyncio.timeout(20):
            return await read_reply(reader, raw.split(b" ", 1)[0].decode())
    finally:
        writer.close()


def fields_of(head: bytes, name: str) -> list[str]:
    """All values of a field in a raw head."""
    lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    return [value.strip().decode() for key, _, value in lines if key.decode().lower() == name.lower()]
