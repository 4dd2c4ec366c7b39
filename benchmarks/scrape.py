"""What does a scrape of /metrics cost the control process, with ever more services, each with a series in two workers?

CPU milliseconds of one page (the median of five), its lines, and what prometheus-client needs for the same samples.
``python benchmarks/scrape.py [services ...]``.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edgerouter.telemetry.levels import Facts, Levels
from edgerouter.telemetry.memory import TRAFFIC, CounterMemory
from edgerouter.telemetry.prometheus import Exposition
from edgerouter.telemetry.reader import CounterReader, new_memory
from edgerouter.telemetry.registry import Audience, MetricsRegistry

WORKERS = 2


def main(arguments: list[str]) -> int:
    print("services  series of         lines     MB   CPU ms   prometheus-client ms")
    for count in [int(word) for word in arguments] or [100, 1000, 10_000]:
        for routers in (False, True):
            row(count, routers)
    return 0


def row(count: int, routers: bool) -> None:
    """One line of the table."""
    registry, fds = filled(count, routers)
    exposition = Exposition(registry)
    page = exposition.render("")[0]
    ours = statistics.median(cpu(lambda: exposition.render("")) for _ in range(5))
    library = CollectorRegistry(auto_describe=False)
    library.register(Library(registry))
    theirs = cpu(lambda: generate_latest(library))
    kinds = "routers, services" if routers else "services"
    print(
        f"{count:8,}  {kinds:17} {page.count(b'%c' % 10):7,} {len(page) / 1e6:5.1f} {ours:8.0f} {theirs:8.0f}",
        flush=True,
    )
    for fd in fds:
        os.close(fd)


def filled(count: int, routers: bool) -> tuple[MetricsRegistry, list[int]]:
    """Counters of so many services, as two workers would have them."""
    reader = CounterReader()
    fds = [new_memory(worker) for worker in range(WORKERS)]
    for worker, fd in enumerate(fds):
        memory = CounterMemory(fd)
        reader.attach(worker, fd)
        for key in range(1, count + 1):
            memory.add(TRAFFIC | 1 << 8 | 200 << 24, 1, key, key, 10, 1000, 0.002 * (key % 7), 0)
    names = {key: f"service-{key}@docker" for key in range(1, count + 1)}
    facts = Facts(entrypoints={1: "web"}, routers={key: (name, name) for key, name in names.items()}, services=names)
    return MetricsRegistry(reader, lambda: facts, Levels(routers=routers)), fds


class Library(Collector):
    """The same samples through prometheus-client's families."""

    def __init__(self, registry: MetricsRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for sample in self._registry.samples(Audience()):
            names, values = list(sample.labels), list(sample.labels.values())
            if sample.kind == "histogram":
                made = families.get(sample.name) or HistogramMetricFamily(sample.name, "help", labels=names)
                made.add_metric(values, [(str(bound), count) for bound, count in sample.buckets], sample.value)
            else:
                made = families.get(sample.name) or CounterMetricFamily(sample.name, "help", labels=names)
                made.add_metric(values, sample.value)
            families[sample.name] = made
        yield from families.values()


def cpu(work: Callable[[], object]) -> float:
    """CPU milliseconds of this thread."""
    began = time.thread_time()
    work()
    return (time.thread_time() - began) * 1000


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
