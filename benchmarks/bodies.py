"""What do 200 slow readers of 50 MB each make a worker hold, through the middlewares that work on bodies?

All clients ask at once and read nothing until the worker grows no more; then all read everything. Printed: what a new
worker held beyond what it began with, while nobody read and while all did, its largest memory, and the seconds it took.
``python benchmarks/bodies.py [clients] [megabytes] [kind ...]``; kinds: plain gzip br zstd buffering cache misses.
"""

from __future__ import annotations

import json
import os
import pathlib
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack

from _peers import Peer, free_port, running, wait_for

MB = 1 << 20
PIECE = (b"".join(b"line %d: all work and no play makes Jack a dull boy\n" % n for n in range(4000)))[:131072]
KINDS = {
    "plain": ([], ""),
    "gzip": (["compress"], "Accept-Encoding: gzip\r\n"),
    "br": (["compress"], "Accept-Encoding: br\r\n"),
    "zstd": (["compress"], "Accept-Encoding: zstd\r\n"),
    "buffering": (["buffering"], ""),
    "cache": (["cache"], ""),
    "misses": (["cache"], ""),  # another resource for each client: as many fills
}


def serve(listener: socket.socket, size: int) -> None:
    """Answer each connection's only request with ``size`` bytes."""

    def answer(client: socket.socket) -> None:
        with client:
            try:
                path = client.recv(65536).split(b" ")[1]
                length = size if path.startswith(b"/big") else 2
                head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=60\r\n"
                client.sendall(f"{head}Content-Length: {length}\r\nConnection: close\r\n\r\n".encode())
                while length > 0:
                    client.sendall(PIECE[:length])
                    length -= len(PIECE)
            except (OSError, IndexError):  # who only looks whether somebody listens says nothing
                return

    while True:
        client, _ = listener.accept()
        threading.Thread(target=answer, args=(client,), daemon=True).start()


def start(folder: pathlib.Path, upstream: int, size: int) -> Peer:
    port = free_port()
    middlewares = {
        "compress": {"compress": {}},
        "buffering": {"buffering": {}},
        "cache": {"responseCache": {"maxEntryBytes": size, "maxBytes": 2 * size}},
    }
    routers = {
        kind: {"rule": f"Host(`{kind}.test`)", "service": "app", "middlewares": names}
        for kind, (names, _) in KINDS.items()
    }
    services = {"app": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{upstream}"}]}}}
    file = folder / "dynamic.yaml"
    file.write_text(json.dumps({"http": {"routers": routers, "services": services, "middlewares": middlewares}}))
    flags = [f"--entrypoints.web.address=127.0.0.1:{port}", f"--entrypoints.traefik.address=127.0.0.1:{free_port()}"]
    flags += ["--workers=1", f"--providers.file.filename={file}"]
    command = [sys.executable, "-m", "edgerouter", *flags]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=pathlib.Path(__file__).parent, stdout=quiet, stderr=quiet)
    wait_for(port, process, "plain.test")
    return Peer("edgerouter", process, port)


def resident(pid: int) -> int:
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settled(pid: int) -> int:
    """The most memory until it grew no more for two seconds."""
    highest, since = 0, time.monotonic()
    while time.monotonic() - since < 2.0:
        now = resident(pid)
        if now > highest + MB:
            highest, since = now, time.monotonic()
        time.sleep(0.02)
    return highest


def read_all(clients: list[socket.socket], pid: int) -> tuple[int, int]:
    """Read everything, all at once; bytes, and the most memory meanwhile."""
    selector = selectors.DefaultSelector()
    for client in clients:
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ)
    total = highest = turn = 0
    buffer = bytearray(262144)
    while selector.get_map():
        for key, _ in selector.select():
            count = key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
            total += count
            if not count:
                selector.unregister(key.fileobj)
        turn += 1
        if turn % 200 == 0:
            highest = max(highest, resident(pid))
    return total, highest


def run(peer: Peer, kind: str, clients: int, size: int) -> None:
    pid = next(pid for pid in peer.pids() if pid != peer.process.pid)
    before, began = resident(pid), time.monotonic()
    fields = KINDS[kind][1]
    sockets = []
    for number in range(clients):
        client = socket.create_connection(("127.0.0.1", peer.port))
        path = f"/big{number}" if kind == "misses" else "/big"
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {kind}.test\r\n{fields}Connection: close\r\n\r\n".encode())
        sockets.append(client)
    waiting = settled(pid)
    total, reading = read_all(sockets, pid)
    for client in sockets:
        client.close()
    seconds = time.monotonic() - began
    whole = clients * size if not fields else total
    if total < whole:
        raise SystemExit(f"{kind}: {total} bytes came, not {whole}")
    held, most = (waiting - before) / MB, (max(waiting, reading) - before) / MB
    peak = max(waiting, reading) / MB
    print(f"{kind:12}{clients:8}{total / MB:12.0f}{held:14.0f}{most:14.0f}{peak:14.0f}{seconds:9.1f}", flush=True)


def main(arguments: list[str]) -> int:
    numbers = [int(word) for word in arguments if word.isdigit()]
    kinds = [word for word in arguments if not word.isdigit()] or list(KINDS)
    clients, megabytes = [*numbers, *(200, 50)[len(numbers) :]]
    size = megabytes * MB
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    threading.Thread(target=serve, args=(listener, size), daemon=True).start()
    print(f"{clients} clients, {size // MB} MB each")
    print(f"{'':12}{'clients':>8}{'MB sent':>12}{'MB held':>14}{'MB at most':>14}{'MB resident':>14}{'seconds':>9}")
    for kind in kinds:  # a worker of its own each: what one leaves behind would hide what the next one needs
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            peer = stack.enter_context(running(start(pathlib.Path(folder), listener.getsockname()[1], size)))
            run(peer, kind, clients, size)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
