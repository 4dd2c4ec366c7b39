"""What does an idle connection cost in memory? Keep-alive connections after one request each, and WebSockets.

Resident memory of the router's whole process tree (one worker), before and after; a WebSocket is two connections, to
the client and to the server. At most 4 KB and 10 KB are wanted.
``python benchmarks/memory.py [connections] [websockets]``.
"""

from __future__ import annotations

import contextlib
import pathlib
import resource
import socket
import sys
import tempfile
import threading
import time

from _peers import Peer, running, start

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: host-0.bench.test\r\n\r\n"
UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
WARM = 200  # connections of each kind that come and go first: what is made once is not to be counted


def main(arguments: list[str]) -> int:
    connections = int(arguments[0]) if arguments else 10_000
    websockets = int(arguments[1]) if len(arguments) > 1 else 1_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    upstream = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=accept, args=(upstream,), daemon=True).start()
    port = int(upstream.getsockname()[1])
    for kind, request, count in (("idle keep-alive", GET, connections), ("idle WebSocket", UPGRADE, websockets)):
        # A fresh router for each: memory that another kind has given back would hide what this one takes.
        with tempfile.TemporaryDirectory() as folder:
            peer = start("edgerouter", "hosts", 1, port, pathlib.Path(folder))
            with running(peer):
                print(f"{kind:18}{count:8} open  {each(peer, request, count):8.0f} bytes each", flush=True)
    return 0


def each(peer: Peer, request: bytes, count: int) -> float:
    """Bytes that one of so many connections costs."""
    with contextlib.ExitStack() as stack:
        opened(stack, peer, request, WARM)
    before = settle(peer)
    with contextlib.ExitStack() as stack:
        opened(stack, peer, request, count)
        return (settle(peer) - before) * 1e6 / count


def opened(stack: contextlib.ExitStack, peer: Peer, request: bytes, count: int) -> None:
    """That many connections, each after one answer."""
    for _ in range(count):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", peer.port), 30))
        client.sendall(request)
        while not (answer := client.recv(4096)).startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")):
            raise SystemExit(f"not what was asked for: {answer!r}")


def settle(peer: Peer) -> float:
    """Resident MB once it no longer changes from one second to the next."""
    last = peer.rss_mb()
    for _ in range(15):
        time.sleep(1)
        now = peer.rss_mb()
        if abs(now - last) < 0.05:
            return now
        last = now
    return last


def accept(upstream: socket.socket) -> None:
    """Serve each connection in a thread of its own."""
    while True:
        client, _ = upstream.accept()
        threading.Thread(target=serve, args=(client,), daemon=True).start()


def serve(client: socket.socket) -> None:
    """Answer until the client leaves; a tunnel is kept open and silent."""
    with contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(SWITCH if b"Upgrade: websocket" in data else PLAIN)
    client.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
