"""What do 10,000 routers cost a request, compared with 10? Three tables, beside nginx's own growth in the same run.

hosts: 10,000 hosts. prefixes: one host with 10,000 PathPrefix rules. mixed: 9,000 hosts and 1,000 wildcards, Paths,
Headers and Methods. The load is uniform over all routes; each router has its own service and its own metrics series.
``python benchmarks/routes.py [rounds] [seconds]``.
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
FEW, MANY = 10, 10_000


def main(arguments: list[str]) -> int:
    rounds = int(arguments[0]) if arguments else 3
    seconds = int(arguments[1]) if len(arguments) > 1 else 4
    names = available(["nginx", "edgerouter"])
    print(f"{rounds} rounds of {seconds} s, 50 connections, seed {SEED}; CPU us a request")
    print(f"{'table':10}{'peer':12}{FEW:>8}{MANY:>8}{'growth':>8}")
    for kind in ("hosts", "prefixes", "mixed"):
        for name in names:
            few, many = measure(name, kind, rounds, seconds)
            print(f"{kind:10}{name:12}{few:8.1f}{many:8.1f}{many - few:8.1f}", flush=True)
    return 0


def measure(name: str, kind: str, rounds: int, seconds: int) -> tuple[float, float]:
    """Medians of alternating rounds over both sizes."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two, ExitStack() as stack:
        upstream = stack.enter_context(running(start_upstream(pathlib.Path(one))))
        few = stack.enter_context(running(start(name, kind, FEW, upstream.port, pathlib.Path(one))))
        many = stack.enter_context(running(start(name, kind, MANY, upstream.port, pathlib.Path(two))))
        costs: tuple[list[float], list[float]] = ([], [])
        _load.run(few, 1, SEED, kind, FEW)
        _load.run(many, 3, SEED, kind, MANY)
        for number in range(rounds):
            costs[0].append(_load.run(few, seconds, SEED + number, kind, FEW).cpu_us)
            costs[1].append(_load.run(many, seconds, SEED + number, kind, MANY).cpu_us)
        return statistics.median(costs[0]), statistics.median(costs[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
