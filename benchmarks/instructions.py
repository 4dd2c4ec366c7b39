"""How many instructions does a proxied request take, beside nginx? Counted by callgrind, so the same on a busy machine.

User-space instructions of the process that serves (worker), for 2,000 keep-alive requests after a warm-up of 200; the
kernel's part is not in it. ``python benchmarks/instructions.py [--json FILE] [edgerouter flags ...]``.
"""

from __future__ import annotations

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

from _peers import Peer, free_port, running, start, start_upstream, wait_for
from _routes import edgerouter

WARM, COUNTED = 200, 2000
REQUEST = (
    "GET /api/v{0}/items/{1}?page=4 HTTP/1.1\r\nHost: host-{0}.bench.test\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.5\r\n"
    "Cookie: session={1:08x}; theme=dark\r\nReferer: http://bench.test/start\r\n\r\n"
)


def ask(port: int, number: int) -> None:
    """That many requests over one connection, one after another."""
    with socket.create_connection(("127.0.0.1", port)) as s:
        for i in range(number):
            s.sendall(REQUEST.format(i % 100, 70_000 + i).encode())
            data = b""
            while not data.endswith(b"forwarded\n"):
                data += s.recv(65536)


def total(pid: int) -> int:
    """Instructions counted so far, as callgrind's own dump of this moment says."""
    subprocess.run(["callgrind_control", "--dump", str(pid)], check=True, capture_output=True)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        files = sorted(pathlib.Path(FOLDER).glob(f"cg.{pid}.*"), key=lambda p: p.stat().st_mtime)
        found = re.search(r"^(?:totals|summary): (\d+)", files[-1].read_text(errors="replace"), re.M) if files else None
        if found:
            files[-1].rename(files[-1].with_suffix(".seen"))
            return int(found[1])
        time.sleep(0.1)
    raise SystemExit("callgrind wrote no dump")


def worker(peer: Peer) -> int:
    """The process that serves: the last of the tree."""
    return max(peer.pids())


def per_request(peer: Peer) -> float:
    """Instructions of one request, the fixed cost of a connection included."""
    ask(peer.port, WARM)
    pid = worker(peer)
    total(pid)
    ask(peer.port, COUNTED)
    return total(pid) / COUNTED


def under_callgrind(name: str, upstream: int, folder: pathlib.Path, extra: tuple[str, ...]) -> Peer:
    """Start a peer with its children under callgrind."""
    command = ["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={folder}/cg.%p"]
    port = free_port()
    if name == "nginx":
        plain = start("nginx", "hosts", 100, upstream, folder)
        plain.process.terminate()
        plain.process.wait()
        command += ["nginx", "-c", f"{folder}/nginx.conf", "-p", str(folder)]
        port = plain.port
    else:
        conf = folder / "edgerouter.yaml"
        conf.write_text(json.dumps(edgerouter("hosts", 100, upstream)))
        command += [sys.executable, "-m", "edgerouter", "--workers=1", f"--providers.file.filename={conf}"]
        command += [f"--entrypoints.web.address=127.0.0.1:{port}", "--entrypoints.traefik.address=127.0.0.1:0", *extra]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(port, process, "host-0.bench.test", seconds=180)
    return Peer(name, process, port)


FOLDER = ""


def main(arguments: list[str]) -> int:
    global FOLDER
    out = None
    if arguments[:1] == ["--json"]:
        out, arguments = arguments[1], arguments[2:]
    counts: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        FOLDER = folder
        upstream = stack.enter_context(running(start_upstream(pathlib.Path(folder))))
        for name in ("nginx", "edgerouter"):
            peer = under_callgrind(name, upstream.port, pathlib.Path(folder), tuple(arguments))
            with running(peer):
                counts[name] = per_request(peer)
            print(f"{name:12}{counts[name]:10.0f} instructions a request", flush=True)
    if out:
        pathlib.Path(out).write_text(json.dumps(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
