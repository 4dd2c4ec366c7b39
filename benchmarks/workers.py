"""What do two workers cost a request, compared with one, and do they share the connections evenly?

200 keep-alive connections; both routers may use both cores. ``python benchmarks/workers.py [rounds] [seconds]``.
"""

from __future__ import annotations

import os
import pathlib
import statistics
import sys
import tempfile
from contextlib import ExitStack

import _load
from _peers import Peer, running, start, start_upstream

SEED, ROUTES, CONNECTIONS = 20261121, 100, 200


def shares(peer: Peer, before: dict[int, float]) -> list[float]:
    """Each worker's part of the CPU time since ``before``, the control process left out."""
    spent = {pid: used - before.get(pid, 0.0) for pid, used in times(peer).items() if pid != peer.process.pid}
    whole = sum(spent.values()) or 1.0
    return [used / whole for used in spent.values()]


def times(peer: Peer) -> dict[int, float]:
    """CPU seconds by process."""
    return {pid: peer.cpu_seconds_of(pid) for pid in peer.pids()}


def main(arguments: list[str]) -> int:
    rounds = int(arguments[0]) if arguments else 5
    seconds = int(arguments[1]) if len(arguments) > 1 else 4
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = pathlib.Path(folder)
        upstream = stack.enter_context(running(start_upstream(path)))
        peers = []
        for count in (1, 2):
            extra = (f"--workers={count}",)
            peers.append(stack.enter_context(running(start("edgerouter", "hosts", ROUTES, upstream.port, path, extra))))
        for pid in peers[1].pids() + peers[0].pids():
            os.sched_setaffinity(pid, {0, 1})
        costs: list[list[float]] = []
        parts: list[list[float]] = []
        for number in range(rounds + 1):
            before = times(peers[1])
            row = [_load.run(p, seconds, SEED + number, "hosts", ROUTES, CONNECTIONS).cpu_us for p in peers]
            if number:
                costs.append(row)
                parts.append(sorted(shares(peers[1], before)))
    one, two = (statistics.median(row[i] for row in costs) for i in (0, 1))
    ratio = statistics.median(row[1] / row[0] for row in costs)
    print(f"one worker {one:.1f} us a request, two {two:.1f}: {ratio:.2f} x")
    print("share of each worker, by round: " + "  ".join(" ".join(f"{100 * p:.0f} %" for p in row) for row in parts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
