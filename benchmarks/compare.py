"""What does one proxied HTTP/1.1 request cost, beside nginx, HAProxy and Caddy, in the same run?

100 hosts, varied paths and cookies, 50 keep-alive connections, one core for the proxy (control process included), the
other for load and upstream. CPU per request is the figure that repeats; the machine's noise hits all alike, because the
rounds alternate. ``python benchmarks/compare.py [rounds] [seconds] [peer ...]``.
"""

from __future__ import annotations

import pathlib
import statistics
import sys
import tempfile
from contextlib import ExitStack

import _load
from _peers import available, running, start, start_upstream

SEED = 20261121
ROUTES = 100


def main(arguments: list[str]) -> int:
    rounds = int(arguments[0]) if arguments else 5
    seconds = int(arguments[1]) if len(arguments) > 1 else 4
    names = available(arguments[2:] or ["nginx", "haproxy", "caddy", "traefik", "edgerouter"])
    print(f"{rounds} rounds of {seconds} s, {ROUTES} hosts, 50 connections, seed {SEED}")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = pathlib.Path(folder)
        upstream = stack.enter_context(running(start_upstream(path)))
        peers = [stack.enter_context(running(start(n, "hosts", ROUTES, upstream.port, path))) for n in names]
        bodies = {_load.body(p) for p in peers}
        if len(bodies) != 1:
            raise SystemExit(f"the peers do not give the same body: {bodies}")
        results: dict[str, list[_load.Result]] = {n: [] for n in names}
        for number in range(rounds + 1):
            for peer in peers:
                result = _load.run(peer, seconds if number else 1, SEED + number, "hosts", ROUTES)
                if number:
                    results[peer.name].append(result)
        sizes = {p.name: p.rss_mb() for p in peers}
    table(results, sizes)
    return 0


def table(results: dict[str, list[_load.Result]], sizes: dict[str, float]) -> None:
    base = [r.cpu_us for r in results.get("nginx", [])]
    print(f"{'':12}{'CPU us/req':>11}{'x nginx':>9}{'req/s':>9}{'p50 us':>8}{'p99 us':>8}{'RSS MB':>8}{'bytes':>7}")
    for name, runs in results.items():
        cpu = statistics.median(r.cpu_us for r in runs)
        ratio = statistics.median(r.cpu_us / b for r, b in zip(runs, base, strict=True)) if base else 0.0
        rate, p50, p99 = (statistics.median(getattr(r, f) for r in runs) for f in ("rate", "p50", "p99"))
        print(f"{name:12}{cpu:11.1f}{ratio:9.2f}{rate:9.0f}{p50:8.0f}{p99:8.0f}{sizes[name]:8.0f}{runs[-1].size:7.0f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
