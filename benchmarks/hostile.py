"""Where do nginx and HAProxy do otherwise with hostile bytes? The requests of ``tests/proxy/hostile_table.py``.

Each is sent, alone on a connection, to EdgeRouter, nginx and HAProxy (the configurations below: one route, defaults,
keep-alive to the server), each before a server that records every byte. Printed is every row on which one of them
differs: the statuses that the client got, and the requests that the server saw. Only EdgeRouter can fail (exit code 1):
where it does not do what the table says. ``docs/hostile.md`` says why we differ.
``PYTHONSAFEPATH= python benchmarks/hostile.py [row ...]``.
"""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from typing import Any, NamedTuple

from _peers import Peer, available, free_port, running, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests" / "proxy"))
from hostile_table import FORWARDED, REFUSED
from raw_server import RawServer

QUIET = 0.7  # seconds without a byte after which a peer is believed to wait for more
SHORT = 44  # characters of an outcome that are printed
PEERS = ["edgerouter", "nginx", "haproxy"]
NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; proxy_http_version 1.1;
    upstream app {{ server 127.0.0.1:{upstream}; keepalive 16; }}
    server {{ listen 127.0.0.1:{port}; location / {{
        proxy_pass http://app; proxy_set_header Host $http_host; proxy_set_header Connection "";
    }} }}
}}
"""
HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend web
    bind 127.0.0.1:{port}
    default_backend app
backend app
    server s1 127.0.0.1:{upstream}
"""


class Outcome(NamedTuple):
    """``statuses`` of what the client got, ``requests`` that the server saw, ``fault``: what was no good request."""

    statuses: tuple[int, ...]
    requests: tuple[tuple[str, str, str, bytes], ...]
    fault: str

    def __str__(self) -> str:
        got = " ".join(map(str, self.statuses)) or "nothing"
        seen = ", ".join(f"{m} {t} at {h or '-'} +{len(b)}" for m, t, h, b in self.requests) or "-"
        return f"{got} | {seen}" + (f" | {self.fault}" if self.fault else "")


def start(name: str, upstream: int, folder: pathlib.Path) -> Peer:
    port, quiet = free_port(), subprocess.DEVNULL
    if name == "edgerouter":
        routes: dict[str, Any] = {
            "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "app"}},
            "services": {"app": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{upstream}"}]}}},
        }
        (folder / "routes.yaml").write_text(json.dumps({"http": routes}))
        command = [sys.executable, "-m", "edgerouter", f"--entrypoints.web.address=127.0.0.1:{port}"]
        command += ["--entrypoints.web.http.maxheaderbytes=65536", f"--providers.file.filename={folder}/routes.yaml"]
        command += ["--entrypoints.traefik.address=127.0.0.1:0", "--workers=1"]
    else:
        text = {"nginx": NGINX, "haproxy": HAPROXY}[name].format(dir=folder, upstream=upstream, port=port)
        (folder / name).write_text(text)
        command = [name, *(["-db"] if name == "haproxy" else ["-p", str(folder), "-c"]), str(folder / name)]
        if name == "haproxy":
            command.insert(2, "-f")
    process = subprocess.Popen(command, cwd=pathlib.Path(__file__).parent, stdout=quiet, stderr=quiet)
    return Peer(name, process, port)


async def sent(port: int, raw: bytes) -> bytes:
    """All that comes back until the peer closes or says nothing for a while."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    try:
        writer.write(raw)
        while piece := await _piece(reader):
            data += piece
    except ConnectionError:
        pass
    writer.close()
    return data


async def _piece(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(QUIET):
            return await reader.read(65536)
    except TimeoutError:
        return b""


async def outcome(port: int, server: RawServer, raw: bytes) -> Outcome:
    """What becomes of these bytes."""
    server.seen, server.faults = [], []
    data = await sent(port, raw)
    statuses = tuple(int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", data) if found != b"100")
    requests = tuple((s.method, s.target, s.host if s.all("host") else "", s.body) for s in server.seen if s.complete)
    return Outcome(statuses, requests, "; ".join(server.faults))


async def outcomes(name: str, folder: pathlib.Path, rows: dict[str, bytes]) -> dict[str, Outcome]:
    """One peer's, row by row."""
    server = RawServer()
    listener = await asyncio.start_server(server, "127.0.0.1", 0, limit=1 << 20)
    with ExitStack() as stack:
        peer = stack.enter_context(running(start(name, listener.sockets[0].getsockname()[1], folder)))
        await asyncio.to_thread(wait_for, peer.port, peer.process, "a.test")
        found = {row: await outcome(peer.port, server, raw) for row, raw in rows.items()}
        await asyncio.to_thread(stack.close)
    return found


def expected(row: str) -> Outcome:
    """What the table says of EdgeRouter."""
    if row in REFUSED:
        return Outcome((REFUSED[row].status,), (), "")
    return Outcome((200,) * len(FORWARDED[row].seen), tuple(FORWARDED[row].seen), "")


async def compare(rows: dict[str, bytes], names: list[str]) -> int:
    """Print the rows that differ; the number on which EdgeRouter is not as the table says."""
    with ExitStack() as stack:
        folders = [pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in names]
        for folder in folders:
            os.chmod(folder, 0o777)  # nginx's worker is somebody else
        every = await asyncio.gather(*(outcomes(n, f, rows) for n, f in zip(names, folders, strict=True)))
    wrong = 0
    for row in rows:
        found = [one[row] for one in every]
        if len(set(found)) > 1:
            print(f"{row:44}" + "".join(f"{str(one)[:SHORT]:{SHORT + 2}}" for one in found))
        if found[0] != expected(row):
            wrong += 1
            print(f"{row:44}NOT AS THE TABLE SAYS: {found[0]}, expected {expected(row)}", flush=True)
    differing = [row for row in rows if len({one[row] for one in every}) > 1]
    told = (pathlib.Path(__file__).parent.parent / "docs" / "hostile.md").read_text()
    unexplained = [row for row in differing if f"`{row}`" not in told]
    if unexplained:
        print(f"not explained in docs/hostile.md: {', '.join(unexplained)}")
    print(f"{len(rows)} rows, the same with all on {len(rows) - len(differing)}; wrong here: {wrong}")
    return wrong


def main(arguments: list[str]) -> int:
    rows = {name: row.raw for name, row in {**REFUSED, **FORWARDED}.items() if not arguments or name in arguments}
    names = available(PEERS)
    print(f"{'what the client got | what the server saw':44}" + "".join(f"{name:{SHORT + 2}}" for name in names))
    return min(asyncio.run(compare(rows, names)), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
