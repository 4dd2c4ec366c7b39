"""From 1,000 containers' start events to their routes: how long? And what do 100 containers cost while nothing happens?

The daemon is a program of ours that plays answers recorded from a real one. The clock runs from the first start event
until every worker serves the last container's route; all others are asked then. Less than 2 s is wanted. Idle: CPU of
all the router's processes together, in percent of one core; less than 1 is wanted.
``python benchmarks/containers.py [containers] [idle containers] [idle seconds]``.
"""

from __future__ import annotations

import contextlib
import http.client
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

from _peers import HERE, Peer, free_port, running, start_upstream, wait_for

WORKERS = 2
SETTLED = 5.0  # seconds after the last change, before idleness is measured


class Daemon:
    """The recorded daemon's process."""

    def __init__(self, folder: pathlib.Path, port: int) -> None:
        self.socket = folder / "docker.sock"
        self.process = subprocess.Popen([sys.executable, str(HERE / "_daemon.py"), str(self.socket), str(port)])
        deadline = time.monotonic() + 30
        while not self.socket.exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    def show(self, count: int) -> None:
        """Let so many containers run."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self.socket))
            asked.sendall(f"GET /_show?{count} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
            asked.recv(100)

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait()


def main(arguments: list[str]) -> int:
    many, few, seconds = [int(text) for text in arguments] + [1000, 100, 60][len(arguments) :]
    with tempfile.TemporaryDirectory(prefix="er-c-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        upstream = stack.enter_context(running(start_upstream(folder)))
        for question, count in ((burst, many), (idle, few)):
            place = folder / question.__name__
            place.mkdir()
            daemon = Daemon(place, upstream.port)
            try:
                with running(router(daemon)) as peer:
                    question(daemon, peer, count, seconds)
            finally:
                daemon.end()
    return 0


def router(daemon: Daemon) -> Peer:
    """The router, before there is any container."""
    port, own = free_port(), free_port()
    flags = [f"--entrypoints.web.address=127.0.0.1:{port}", f"--entrypoints.traefik.address=127.0.0.1:{own}"]
    flags += [f"--providers.docker.endpoint=unix://{daemon.socket}", f"--workers={WORKERS}", "--ping=true"]
    process = subprocess.Popen([sys.executable, "-m", "edgerouter", *flags], cwd=HERE, stdout=subprocess.DEVNULL)
    wait_for(own, process, "localhost", "/ping")
    return Peer("edgerouter", process, port)


def burst(daemon: Daemon, peer: Peer, count: int, seconds: int) -> None:
    """So many containers at once."""
    before, began = {pid: peer.cpu_seconds_of(pid) for pid in peer.pids()}, time.monotonic()
    daemon.show(count)
    until_live(peer, count - 1)
    took = time.monotonic() - began
    each = ", ".join(f"{peer.cpu_seconds_of(pid) - cpu:.2f}" for pid, cpu in before.items())
    for at in range(count):
        assert status(peer, at) == 200, at
    print(
        f"{count:,} containers, from their events until all are served: {took:.2f} s  (CPU s of each process: {each})"
    )


def idle(daemon: Daemon, peer: Peer, count: int, seconds: int) -> None:
    """So many containers, and nothing happens."""
    daemon.show(count)
    until_live(peer, count - 1)
    time.sleep(SETTLED)
    before = {pid: peer.cpu_seconds_of(pid) for pid in peer.pids()}
    time.sleep(seconds)
    spent = [peer.cpu_seconds_of(pid) - cpu for pid, cpu in before.items()]
    share = 100 * sum(spent) / seconds
    each = ", ".join(f"{1000 * cpu:.0f}" for cpu in spent)
    print(f"{count:,} containers, idle for {seconds} s: {share:.2f} % of one core  (CPU ms of each process: {each})")


def until_live(peer: Peer, at: int) -> None:
    """Until the route of that container answers, again and again: each connection may meet another worker."""
    well = 0
    while well < 10 * WORKERS:
        well = well + 1 if status(peer, at) == 200 else 0
        if not well:
            time.sleep(0.02)


def status(peer: Peer, at: int) -> int:
    """What the container's route answers."""
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=10)
    try:
        connection.request("GET", "/shop/x", headers={"Host": f"c{at}.bench.test"})
        return connection.getresponse().status
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
