"""The load: wrk on core 1, requests drawn from a printed seed, counted and checked."""

from __future__ import annotations

import pathlib
import socket
import subprocess

from _peers import Peer

HERE = pathlib.Path(__file__).parent


class Result:
    """One run: requests, CPU microseconds of the peer per request, requests a second, latencies in microseconds."""

    def __init__(self, requests: int, cpu_us: float, rate: float, p50: int, p99: int, size: float) -> None:
        self.requests = requests
        self.cpu_us = cpu_us
        self.rate = rate
        self.p50 = p50
        self.p99 = p99
        self.size = size


def body(peer: Peer) -> bytes:
    """The body that a request through ``peer`` gets."""
    with socket.create_connection(("127.0.0.1", peer.port), 5) as s:
        s.sendall(b"GET /x HTTP/1.1\r\nHost: host-0.bench.test\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := s.recv(65536):
            data += chunk
    return data.partition(b"\r\n\r\n")[2]


def run(
    peer: Peer, seconds: int, seed: int, kind: str, count: int, connections: int = 50, scheme: str = "http"
) -> Result:
    """Load ``peer`` and return what it cost; raises SystemExit when anything failed."""
    before = peer.cpu_seconds()
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "mix.lua")]
    command += [f"{scheme}://127.0.0.1:{peer.port}/", "--", str(seed), kind, str(count)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu = peer.cpu_seconds() - before
    line = next(x for x in out.splitlines() if x.startswith("RESULT"))
    requests, duration, size, errors, bad, p50, p99, _ = (int(x) for x in line.split()[1:])
    if errors or bad:
        raise SystemExit(f"{peer.name}: {errors} errors, {bad} responses that were not 2xx\n{out}")
    return Result(requests, cpu * 1e6 / requests, requests / duration * 1e6, p50, p99, size / requests)
