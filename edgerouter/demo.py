"""``make run``: a router to look at within a minute. A demo service, a sample route, the dashboard, and Docker where
there is a socket. Not part of the product's configuration: it writes a file and starts ``edgerouter`` with flags."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import signal
import socket
import sys
import tempfile
from importlib.resources import files

DOCKER_SOCKET = "/var/run/docker.sock"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The demo service: says what it received."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode("latin-1").split("\r\n")
            await _skip_body(reader, lines[1:-2])
            text = json.dumps({"service": "demo", "request": lines[0], "headers": lines[1:-2]}, indent=2) + "\n"
            head_out = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            writer.write((head_out + text).encode())
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        pass
    finally:
        writer.close()


async def _skip_body(reader: asyncio.StreamReader, fields: list[str]) -> None:
    """Read a request's body to its end: the next request follows on the same connection."""
    named = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    left = int(named.get("content-length", "0"))
    while left > 0:
        left -= len(await reader.readexactly(min(left, 65536)))
    if "transfer-encoding" in named:
        while size := int(await reader.readuntil(b"\r\n"), 16):  # the router sends no extensions
            await reader.readexactly(size + 2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass


def _free_port(*wanted: int) -> int:
    """Return the first of the ports that can be bound on 127.0.0.1."""
    for port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit(f"edgerouter: none of the ports {wanted} is free on 127.0.0.1")


def _docker_flags() -> list[str]:
    usable = os.access(DOCKER_SOCKET, os.R_OK | os.W_OK)
    return ["--providers.docker=true", "--providers.docker.exposedbydefault=false"] if usable else []


async def _run() -> int:
    service = await asyncio.start_server(_answer, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{service.sockets[0].getsockname()[1]}"
    web, admin = _free_port(80, 8000, 8001, 0), _free_port(8080, 8081, 8082, 0)
    with tempfile.TemporaryDirectory(prefix="edgerouter-demo-") as folder:
        sample = files("edgerouter.config").joinpath("samples", "demo.yaml").read_text()
        path = pathlib.Path(folder) / "demo.yaml"
        path.write_text(sample.replace("http://127.0.0.1:9000", address))
        docker = _docker_flags()
        print(f"demo route   http://127.0.0.1:{web}/demo      (a sample service; its configuration: {path})")
        print(f"dashboard    http://127.0.0.1:{admin}/dashboard/")
        print(f"metrics      http://127.0.0.1:{admin}/metrics")
        found = "watched: label containers with edgerouter.enable=true" if docker else "no socket that can be used"
        print(f"docker       {found}")
        print("stop with Ctrl-C", flush=True)
        router = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "edgerouter",
            f"--entrypoints.web.address=127.0.0.1:{web}",
            f"--entrypoints.traefik.address=127.0.0.1:{admin}",
            "--api.insecure=true",
            f"--providers.file.filename={path}",
            *docker,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, router.terminate)
        return await router.wait()


def main() -> int:
    """Run until the router ends; Ctrl-C reaches it as well, and it drains."""
    try:
        return asyncio.run(_run())
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
