"""How many instructions does a proxied request take, beside nginx? Counted by callgrind, so the same on a busy machine.

User-space instructions of the process that serves (the worker): the difference between a run with many keep-alive
requests and one with few, so that start and stop cancel out. The kernel's part is not in it.
``python benchmarks/instructions.py [--json FILE] [edgerouter flags ...]``.
"""

from __future__ import annotations

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack

from _peers import Peer, free_port, running, start, start_upstream, wait_for
from _routes import edgerouter

FEW, MANY = 500, 2500
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


def command(name: str, upstream: int, folder: pathlib.Path, extra: list[str]) -> tuple[list[str], int]:
    """How the peer is started, and its port."""
    if name == "nginx":
        plain = start("nginx", "hosts", 100, upstream, folder)
        plain.process.terminate()
        plain.process.wait()
        return ["nginx", "-c", f"{folder}/nginx.conf", "-p", str(folder)], plain.port
    port = free_port()
    conf = folder / "edgerouter.yaml"
    conf.write_text(json.dumps(edgerouter("hosts", 100, upstream)))
    flags = [f"--entrypoints.web.address=127.0.0.1:{port}", "--entrypoints.traefik.address=127.0.0.1:0"]
    flags += ["--workers=1", f"--providers.file.filename={conf}", "--experimental.patience=60", *extra]
    return [sys.executable, "-m", "edgerouter", *flags], port


def counted(name: str, upstream: int, number: int, extra: list[str]) -> int:
    """Instructions of the serving process from start to end, with ``number`` requests in between."""
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = pathlib.Path(name_of_folder)
        folder.chmod(0o777)  # nginx's worker is another user, and callgrind writes as that user
        arguments, port = command(name, upstream, folder, extra)
        tool = ["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={folder}/cg.%p"]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([*tool, *arguments], cwd=pathlib.Path(__file__).parent, stdout=quiet, stderr=quiet)
        peer = Peer(name, process, port)
        with running(peer):
            wait_for(port, process, "host-0.bench.test", seconds=180)
            ask(port, number)
        totals = [total(path) for path in folder.glob("cg.*") if path.name != f"cg.{process.pid}"]
        return max(totals)


def total(path: pathlib.Path) -> int:
    """The sum that a finished callgrind file ends with."""
    found = re.findall(r"^(?:totals|summary): (\d+)", path.read_text(errors="replace"), re.M)
    return int(found[-1]) if found else 0


def main(arguments: list[str]) -> int:
    out = None
    if arguments[:1] == ["--json"]:
        out, arguments = arguments[1], arguments[2:]
    counts: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        upstream = stack.enter_context(running(start_upstream(pathlib.Path(folder))))
        for name in ("nginx", "edgerouter"):
            few, many = (counted(name, upstream.port, n, arguments) for n in (FEW, MANY))
            counts[name] = (many - few) / (MANY - FEW)
            print(f"{name:12}{counts[name]:10.0f} instructions a request", flush=True)
    if out:
        pathlib.Path(out).write_text(json.dumps(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
