"""The load that the compiler learns from: setup.py runs it between compiling with counters and compiling by them.

``python _training.py TREE``, where TREE holds the package whose library counts. It needs what a build has and nothing
more: no uvloop, no middlewares, two ports of loopback. Server, load and the server behind are threads of one process,
which must end of itself: the counts are written then. The same requests each time, a few seconds.
"""

from __future__ import annotations

import asyncio
import pathlib
import socket
import sys
import threading
from typing import Any

HOSTS, ROUNDS, CONNECTIONS = 50, 2000, 4
PATIENCE = 60.0  # seconds without which a machine is taken for one that cannot train
COMMON = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.5\r\n"
    "Cookie: session={1:08x}; theme=dark\r\nReferer: http://training.test/start\r\n"
)
GET = "GET /api/v{0}/items/{1}?page=4 HTTP/1.1\r\nHost: host-{0}.training.test\r\n" + COMMON + "\r\n"
POST = "POST /api/v{0}/items HTTP/1.1\r\nHost: host-{0}.training.test\r\n" + COMMON + "Content-Length: 64\r\n\r\n"
FIELDS = b"Server: training\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\n" + FIELDS + b"Content-Length: 8\r\n\r\ntrained\n"
CHUNKED = b"HTTP/1.1 200 OK\r\n" + FIELDS + b"Transfer-Encoding: chunked\r\n\r\n8\r\ntrained\n\r\n0\r\n\r\n"


def configuration(upstream: int) -> dict[str, Any]:
    """A host, a service and a path each, as most people have them."""
    servers = {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{upstream}"}]}}
    rules = {f"r{i}": f"Host(`host-{i}.training.test`)" + " && PathPrefix(`/api`)" * (i % 2) for i in range(HOSTS)}
    routers = {name: {"rule": rule, "service": f"s{name}"} for name, rule in rules.items()}
    return {"http": {"routers": routers, "services": {f"s{name}": servers for name in rules}}}


def answer(connection: socket.socket) -> None:
    """The server behind: one answer a head, a chunked one to what is posted."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
        while b"\r\n\r\n" in data:
            head, _, data = data.partition(b"\r\n\r\n")
            posted = head.startswith(b"POST")
            while posted and len(data) < 64:
                data += connection.recv(65536)
            data = data[64:] if posted else data
            connection.sendall(CHUNKED if posted else PLAIN)


def serve_behind(listening: socket.socket) -> None:
    while True:
        threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()


def load(port: int) -> None:
    """Raises when an answer is missing or wrong."""
    connections = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(CONNECTIONS)]
    for i in range(ROUNDS):
        posts = i % 16 == 0
        for k, connection in enumerate(connections):
            text = (POST if posts else GET).format((i + k) % HOSTS, 70_000 + i).encode()
            connection.sendall(text + b"x" * 64 * posts)
        for connection in connections:
            data = b""
            while not data.endswith(b"0\r\n\r\n" if posts else b"trained\n"):
                chunk = connection.recv(65536)
                if not chunk or not (data + chunk).startswith(b"HTTP/1.1 200 "[: len(data + chunk)]):
                    raise RuntimeError(f"answered by {(data + chunk)[:80]!r}")
                data += chunk
    for connection in connections:
        connection.close()


async def train() -> None:
    """Serve until the load has had its answers."""
    import _worker

    from edgerouter import is_compiled, registry

    if not is_compiled():
        raise RuntimeError("there is no library in the tree")
    services = {name: plugin.options for name, plugin in registry.load("services").items()}
    with socket.create_server(("127.0.0.1", 0)) as behind, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
        free.close()
        threading.Thread(target=serve_behind, args=(behind,), daemon=True).start()
        wanted = _worker.plan_of(configuration(behind.getsockname()[1]), {"services": services, "middlewares": {}})
        serving = asyncio.create_task(_worker.serve(port, wanted, "", {}))
        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread(listens, port):
                await asyncio.sleep(0.05)
            await asyncio.to_thread(load, port)
        serving.cancel()


def listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.path[:0] = [str(pathlib.Path(sys.argv[1]).resolve()), str(pathlib.Path(__file__).resolve().parent)]
    asyncio.run(train())
