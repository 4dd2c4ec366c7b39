"""How many instructions does a proxied request take, beside nginx, and what do a log, middlewares, 10,000 routers add?

User-space instructions of the process that serves, counted by callgrind between a first and a last request on one
keep-alive connection, so the same on a busy machine; the kernel's part is not in it. The router's row is a worker's
own parts in one process (``_worker.py``).
``python benchmarks/instructions.py [--json FILE] [row ...]``; rows: nginx plain log six routers.
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

ROUTES, FEW, MANY, ALL = 100, 10, 2000, 10_000
REQUEST = (
    "GET /api/v{0}/items/{1}?page=4 HTTP/1.1\r\nHost: host-{0}.bench.test\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.5\r\n"
    "Cookie: session={1:08x}; theme=dark\r\nReferer: http://bench.test/start\r\n\r\n"
)
ROWS = {
    "plain": (ROUTES, []),
    "log": (ROUTES, ["{folder}/access.log"]),
    "six": (ROUTES, ["six"]),
    "routers": (ALL, []),
}
MOST = {"log": 1.10, "six": 1.20, "routers": 1.05}  # times the plain row


def ask(connection: socket.socket, first: int, number: int, hosts: int) -> None:
    """That many requests over the connection, one after another."""
    for i in range(first, first + number):
        connection.sendall(REQUEST.format(i % hosts, 70_000 + i).encode())
        data = b""
        while not data.endswith(b"forwarded\n"):
            data += connection.recv(65536)


def command(row: str, upstream: int, folder: pathlib.Path) -> tuple[list[str], int]:
    """How the row's server is started, and its port."""
    if row == "nginx":
        plain = start("nginx", "hosts", ROUTES, upstream, folder)
        plain.process.terminate()
        plain.process.wait()
        conf = folder / "nginx.conf"
        conf.write_text(conf.read_text().replace("daemon off;", "daemon off; master_process off;"))
        return ["nginx", "-c", str(conf), "-p", str(folder)], plain.port
    port = free_port()
    count, extra = ROWS[row]
    words = [word.format(folder=folder) for word in extra]
    script = pathlib.Path(__file__).with_name("_worker.py")
    return [sys.executable, str(script), str(port), str(upstream), "hosts", str(count), *words], port


def counted(row: str, upstream: int, number: int = MANY) -> float:
    """Instructions of one request, on average over ``number``, after each host was asked for once."""
    hosts = ROWS[row][0] if row in ROWS else ROUTES
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        arguments, port = command(row, upstream, folder)
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/cg"]
        with (folder / "out").open("wb") as out:
            process = subprocess.Popen([*tool, *arguments], cwd=folder, stdout=out, stderr=out)
        with running(Peer(row, process, port)):
            wait_for(port, process, "host-0.bench.test", seconds=600)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                ask(connection, 0, hosts, hosts)
                control(process, "-i", "on")
                ask(connection, 0, FEW, hosts)
                control(process, "-z")
                ask(connection, FEW, number, hosts)
                control(process, "-d")
        return total(folder / "cg.1") / number


def control(process: subprocess.Popen[bytes], *words: str) -> None:
    """Tell callgrind to start, zero or dump its counts."""
    subprocess.run(["callgrind_control", *words, str(process.pid)], check=True, capture_output=True, timeout=60)


def total(path: pathlib.Path, seconds: float = 30.0) -> int:
    """The sum that a finished callgrind file ends with."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        text = path.read_text(errors="replace") if path.exists() else ""
        found = re.findall(r"^(?:totals|summary): (\d+)", text, re.M)
        if found:
            return int(found[-1])
        time.sleep(0.1)
    raise SystemExit(f"callgrind wrote no counts to {path}")


def main(arguments: list[str]) -> int:
    out = ""
    if arguments[:1] == ["--json"]:
        out, arguments = arguments[1], arguments[2:]
    counts: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        upstream = stack.enter_context(running(start_upstream(pathlib.Path(folder))))
        for row in arguments or ["nginx", *ROWS]:
            counts[row] = counted(row, upstream.port)
            print(f"{row:10}{counts[row]:9.0f} instructions a request{beside(row, counts)}", flush=True)
    if out:
        pathlib.Path(out).write_text(json.dumps(counts))
    return 0


def beside(row: str, counts: dict[str, float]) -> str:
    """The row's ratio to what it is measured by."""
    if row in MOST and "plain" in counts:
        return f"  {counts[row] / counts['plain']:.3f} x plain (at most {MOST[row]:.2f})"
    if row == "plain" and "nginx" in counts:
        return f"  {counts[row] / counts['nginx']:.2f} x nginx"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
