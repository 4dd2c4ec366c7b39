"""Starting the peers, one core each, and reading what they cost from /proc."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from _routes import caddy, edgerouter, haproxy, nginx

HERE = pathlib.Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


class Peer:
    """A running proxy: its first process and where it listens."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int) -> None:
        self.name = name
        self.process = process
        self.port = port

    def pids(self) -> list[int]:
        """The process and all its descendants."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    todo += [int(c) for c in (task / "children").read_text().split()]
        return found

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree."""
        return sum(self.cpu_seconds_of(pid) for pid in self.pids())

    def cpu_seconds_of(self, pid: int) -> float:
        """User and system time of one process, 0 when it is gone."""
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / TICKS
        return 0.0

    def rss_mb(self) -> float:
        """Resident memory of the tree, in MB."""
        return sum(self.rss_mb_of(pid) for pid in self.pids())

    def rss_mb_of(self, pid: int) -> float:
        """Resident memory of one process, in MB; 0.0 when it is gone."""
        with contextlib.suppress(OSError):
            pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return 0.0


def free_port() -> int:
    """A TCP port of loopback that is free now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], host: str, path: str = "/", seconds: float = 60.0) -> None:
    """Until it answers ``host`` with 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"a peer ended with {process.returncode}: {process.args}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as s:
            s.settimeout(2)
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            if s.recv(64).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.05)
    raise SystemExit(f"no answer from {process.args}")


def launch(arguments: list[str], core: int, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program on one core."""
    pinned = ["taskset", "-c", str(core), *arguments]
    # Not from the checkout's root: ``python -m edgerouter`` must find the installed wheel.
    return subprocess.Popen(pinned, env=env, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def render(name: str, folder: pathlib.Path, **values: object) -> pathlib.Path:
    """A file of ``peers`` in the folder, its variables replaced."""
    text = (HERE / "peers" / name).read_text()
    for key, value in {**values, "dir": folder}.items():
        text = text.replace("{{" + key + "}}", str(value))
    path = folder / name
    path.write_text(text)
    return path


def start_upstream(folder: pathlib.Path) -> Peer:
    """The server behind all peers, on core 1 with the load."""
    port = free_port()
    conf = render("upstream.conf", folder, upstream=port)
    process = launch(["nginx", "-c", str(conf), "-p", str(folder)], 1)
    wait_for(port, process, "x")
    return Peer("upstream", process, port)


def start(name: str, kind: str, count: int, upstream: int, folder: pathlib.Path, extra: tuple[str, ...] = ()) -> Peer:
    """Start a peer on core 0 with ``count`` routes."""
    port = free_port()
    if name == "nginx":
        conf = render("nginx.conf", folder, upstream=upstream, routes=nginx(kind, count, port))
        process = launch(["nginx", "-c", str(conf), "-p", str(folder)], 0)
    elif name == "haproxy":
        conf = render("haproxy.cfg", folder, upstream=upstream, port=port, routes=haproxy(kind, count, str(folder)))
        process = launch(["haproxy", "-db", "-f", str(conf)], 0)
    elif name == "caddy":
        conf = render("Caddyfile", folder, routes=caddy(kind, count, port, upstream))
        env = {**os.environ, "GOMAXPROCS": "1"}
        process = launch(["caddy", "run", "--config", str(conf), "--adapter", "caddyfile"], 0, env)
    else:
        conf = folder / f"edgerouter-{kind}-{count}.yaml"
        conf.write_text(json.dumps(edgerouter(kind, count, upstream)))
        flags = [f"--entrypoints.web.address=127.0.0.1:{port}", "--entrypoints.traefik.address=127.0.0.1:0"]
        flags += [f"--providers.file.filename={conf}", *extra]
        if not any(flag.startswith("--workers=") for flag in extra):
            flags.append("--workers=1")
        process = launch([sys.executable, "-m", "edgerouter", *flags], 0)
    host, path = {"prefixes": ("one.bench.test", "/p0/")}.get(kind, ("host-0.bench.test", "/"))
    wait_for(port, process, host, path)
    return Peer(name, process, port)


def available(names: list[str]) -> list[str]:
    """Those whose program is there; the others are named."""
    found = [n for n in names if n == "edgerouter" or shutil.which(n)]
    for name in names:
        if name not in found:
            print(f"({name} is not on PATH: left out)")
    return found


@contextlib.contextmanager
def running(peer: Peer) -> Iterator[Peer]:
    """End it by its process id when done."""
    try:
        yield peer
    finally:
        peer.process.terminate()
        try:
            peer.process.wait(20)
        except subprocess.TimeoutExpired:
            peer.process.kill()
            peer.process.wait()
