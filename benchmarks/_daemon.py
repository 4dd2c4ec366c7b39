"""A Docker daemon that plays recorded answers (``peers/docker.json``) on a Unix socket, for so many containers as told.

Its own process: what it costs is nobody's. ``GET /_show?COUNT`` changes how many there are, one start event for each.
``python _daemon.py SOCKET PORT``; PORT is where the containers' server listens.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import pathlib
import sys
import time
from urllib.parse import urlsplit

RECORDED = json.loads((pathlib.Path(__file__).parent / "peers" / "docker.json").read_text())


class Daemon:
    """``listed`` and ``inspected`` are made once for each container."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.listed: list[str] = []
        self.inspected: dict[str, str] = {}
        self.listeners: list[asyncio.StreamWriter] = []

    def show(self, count: int) -> None:
        """Let so many containers run, and tell who listens of each."""
        for at in range(len(self.listed), count):
            key = hashlib.sha256(b"%d" % at).hexdigest()
            self.listed.append(self._made("listed", key, f"c{at}"))
            self.inspected[key] = self._made("inspected", key, f"c{at}")
            event = {"Type": "container", "Action": "start", "Actor": {"ID": key}, "time": int(time.time())}
            line = json.dumps(event).encode() + b"\n"
            for listener in self.listeners:
                listener.write(b"%x\r\n%s\r\n" % (len(line), line))

    def _made(self, kind: str, key: str, name: str) -> str:
        text = json.dumps(RECORDED[kind])
        for variable, value in {"id": key, "short": key[:12], "name": name, "port": str(self.port)}.items():
            text = text.replace("{{" + variable + "}}", value)
        return text

    def answer(self, path: str, query: str) -> str | None:
        """The body; None: there is no such thing."""
        if path == "/_show":
            self.show(int(query))
            return "{}"
        if path.endswith("/containers/json"):
            return "[" + ",".join(self.listed) + "]"
        if "/containers/" in path:
            return self.inspected.get(path.split("/")[-2])
        return {"version": json.dumps(RECORDED["version"]), "networks": json.dumps(RECORDED["networks"])}.get(
            path.rpartition("/")[2]
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        while head := await reader.readuntil(b"\r\n\r\n"):
            target = urlsplit(head.split(b" ", 2)[1].decode())
            if target.path.endswith("/events"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
                self.listeners.append(writer)
                continue
            body = self.answer(target.path, target.query)
            status, data = ("200 OK", body.encode()) if body is not None else ("404 Not Found", b"{}")
            kind = "Content-Type: application/json"
            writer.write(f"HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)


async def main(path: str, port: int) -> None:
    daemon = Daemon(port)

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await daemon.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_unix_server(accepted, path) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
