"""What does a gigabyte of bodies cost, in responses of 64 KB and of 10 MB, beside nginx in the same run?

CPU seconds of the whole process tree per 10^9 bytes, 20 keep-alive connections, rounds alternating.
``python benchmarks/gigabytes.py [rounds] [seconds]``.
"""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack

from _peers import Peer, available, running, start, start_upstream

SIZES = {"64k": 65536, "10m": 10_000_000}


def cost(peer: Peer, name: str, seconds: int) -> float:
    """CPU seconds per gigabyte; raises SystemExit when a response failed."""
    before = peer.cpu_seconds()
    url = f"http://127.0.0.1:{peer.port}/{name}"
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c20", f"-d{seconds}s", "-H", "Host: host-0.bench.test", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"{peer.name}: {out}")
    requests = next(int(line.split()[0]) for line in out.splitlines() if "requests in" in line)
    return (peer.cpu_seconds() - before) / max(requests * SIZES[name], 1) * 1e9


def main(arguments: list[str]) -> int:
    rounds = int(arguments[0]) if arguments else 5
    seconds = int(arguments[1]) if len(arguments) > 1 else 4
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = pathlib.Path(folder)
        path.chmod(0o755)  # the server's workers are another user, and read its files
        for name, size in SIZES.items():
            (path / name).write_bytes(b"0123456789abcdef" * (size // 16))
        upstream = stack.enter_context(running(start_upstream(path)))
        names = available(["nginx", "edgerouter"])
        peers = [stack.enter_context(running(start(n, "hosts", 1, upstream.port, path))) for n in names]
        print(f"{'':12}{'body':>6}{'CPU s/GB':>10}{'x nginx':>9}")
        for name in SIZES:
            costs = [[cost(peer, name, seconds) for peer in peers] for _ in range(rounds)]
            for i, peer in enumerate(peers):
                ratio = statistics.median(row[i] / row[0] for row in costs)
                print(f"{peer.name:12}{name:>6}{statistics.median(row[i] for row in costs):10.2f}{ratio:9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
