"""The page /metrics: golden text, promtool's opinion, series that vanish, internals, levels."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.registry import Collector

from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.telemetry.levels import Facts, Levels
from edgerouter.telemetry.memory import CounterMemory
from edgerouter.telemetry.prometheus import Exposition
from edgerouter.telemetry.reader import CounterReader, new_memory
from edgerouter.telemetry.recorder import Recorder
from edgerouter.telemetry.registry import Audience, MetricsRegistry

FACTS = Facts(
    entrypoints={1: "web"},
    routers={2: ("shop@docker", "shop@docker"), 4: ("api@internal", "api@internal")},
    services={3: "shop@docker", 5: "api@internal"},
    servers=(("shop@docker", "http://10.0.0.7:80", True), ("shop@docker", "http://10.0.0.8:80", False)),
    reloads=3,
    last_reload=1700000000.0,
    restarts=1,
)
GOLDEN = Path(__file__).parent / "golden_metrics.txt"


class World:
    """One worker's memory, a registry over it, and the facts that it is shown."""

    def __init__(self, levels: Levels) -> None:
        self.fd = new_memory(0)
        self.facts = FACTS
        reader = CounterReader()
        self.recorder = Recorder(CounterMemory(self.fd), None)
        reader.attach(0, self.fd)
        self.registry = MetricsRegistry(reader, lambda: self.facts, levels)
        self.exposition = Exposition(self.registry)

    def send(self, router: int = 2, service: int = 3, status: int = 200, tls: str = "", cause: str = "") -> None:
        exchange = Exchange(Request("GET", b"/", "h", Headers()))
        exchange.tls_version, exchange.tls_cipher = tls, "TLS_AES_128_GCM_SHA256" if tls else ""
        exchange.cause = cause
        self.recorder.record(exchange, 1, router, service, status, 10, 20, 0.25, False, True)

    def page(self, accept: str = "") -> str:
        return self.exposition.render(accept)[0].decode()

    def value(self, text: str) -> float:
        (line,) = [line for line in self.page().splitlines() if line.startswith(text)]
        return float(line.rpartition(" ")[2])


@pytest.fixture
def world() -> Iterator[World]:
    made = World(Levels(routers=True))
    yield made
    os.close(made.fd)


def fill(world: World) -> None:
    world.recorder.opened(1)
    world.recorder.begun()
    world.recorder.tick()
    world.send()
    world.send(tls="1.3")
    world.send(status=502, cause="CONNECT_REFUSED")
    world.send(router=0, service=0, status=404, cause="NO_ROUTE")
    world.send(router=4, service=5)


def test_the_page_is_as_recorded(world: World) -> None:
    fill(world)
    ours = "\n".join(line for line in world.page().splitlines() if "edgerouter_" in line) + "\n"
    assert ours == GOLDEN.read_text()


def test_promtool_has_nothing_to_say(world: World) -> None:
    fill(world)
    ran = subprocess.run(["promtool", "check", "metrics"], input=world.page(), text=True, capture_output=True)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
NAMES = ["shop@docker", 'quo"te@file', "back\\slash@file", "new\nline@file", "Grün, {a=b}@file", "100%s@file", "@file"]


@pytest.mark.parametrize(("read", "accept"), [(read_text, ""), (read_open_metrics, OPEN_METRICS)])
def test_parsers_read_back_what_was_counted(read: Callable[[str], Iterable[Metric]], accept: str) -> None:
    """Every sample of the registry, with the same labels and value, and nothing else of ours; whatever a name holds."""
    world = World(Levels(routers=True, internals=True))
    fill(world)
    for number, _ in enumerate(NAMES):
        for status in (200, 404, 502):
            world.send(router=10 + number, service=20 + number, status=status, tls="1.3")
    world.facts = Facts(
        entrypoints={1: 'we"b\\'},
        routers={10 + number: (name, name) for number, name in enumerate(NAMES)},
        services={20 + number: name for number, name in enumerate(NAMES)},
        servers=tuple((name, 'http://h/"', True) for name in NAMES),
    )
    families = list(read(world.page(accept)))
    os.close(world.fd)
    assert len({family.name for family in families}) == len(families)
    found = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("edgerouter_")
    }
    assert found == expected(world.registry)
    assert len(found) > 3 * len(NAMES) * 2 * 10


def expected(registry: MetricsRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    values = {}
    for sample in registry.samples(Audience()):
        labels = frozenset(sample.labels.items())
        if sample.kind != "histogram":
            values[sample.name, labels] = sample.value
            continue
        values[f"{sample.name}_sum", labels] = sample.value
        values[f"{sample.name}_count", labels] = sample.buckets[-1][1]
        for bound, count in sample.buckets:
            le = "+Inf" if bound == float("inf") else repr(bound)
            values[f"{sample.name}_bucket", labels | {("le", le)}] = count
    return values


class Client(Collector):
    """The registry's samples as prometheus-client's own families."""

    def __init__(self, registry: MetricsRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for sample in self._registry.samples(Audience()):
            names, values = list(sample.labels), list(sample.labels.values())
            if sample.kind == "histogram":
                family: Metric = HistogramMetricFamily(sample.name, "help", labels=names)
                family.add_metric(values, [(str(bound), count) for bound, count in sample.buckets], sample.value)
            else:
                family = CounterMetricFamily(sample.name, "help", labels=names)
                family.add_metric(values, sample.value)
            yield family


def test_a_page_of_many_services_costs_a_fraction_of_what_the_client_library_would_need() -> None:
    """Twelvefold when measured; CPU time, so that a busy machine does not matter."""
    world = World(Levels())
    many = 2000
    for number in range(1, many + 1):
        world.send(router=number, service=number)
    names = {number: f"service-{number}@docker" for number in range(1, many + 1)}
    world.facts = Facts(entrypoints={1: "web"}, routers={k: (n, n) for k, n in names.items()}, services=names)
    library = CollectorRegistry(auto_describe=False)
    library.register(Client(world.registry))
    ours = min(cpu(world.page) for _ in range(3))
    theirs = cpu(lambda: generate_latest(library))
    os.close(world.fd)
    assert ours < theirs / 4


def cpu(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def test_openmetrics_is_negotiated(world: World) -> None:
    fill(world)
    page, kind = Exposition(world.registry).render("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text") and page.endswith(b"# EOF\n")
    assert Exposition(world.registry).render("text/plain")[1].startswith("text/plain")


def test_a_vanished_router_is_shown_once_more_and_its_entry_point_keeps_the_sum(world: World) -> None:
    fill(world)
    before = world.value('edgerouter_entrypoint_requests_total{code="200"')
    assert 'router="shop@docker"' in world.page()
    world.facts = Facts(entrypoints={1: "web"})
    assert 'router="shop@docker"' in world.page()
    gone = world.page()
    assert 'router="shop@docker"' not in gone and 'service="shop@docker"' not in gone
    assert world.value('edgerouter_entrypoint_requests_total{code="200"') >= before


@pytest.mark.parametrize(
    ("levels", "present", "absent"),
    [
        (
            Levels(),
            ["edgerouter_entrypoint_requests", "edgerouter_service_requests"],
            ["edgerouter_router_", "@internal"],
        ),
        (Levels(entrypoints=False), ["edgerouter_service_requests"], ["edgerouter_entrypoint_requests"]),
        (Levels(services=False), ["edgerouter_entrypoint_requests"], ["edgerouter_service_requests"]),
        (Levels(routers=True, internals=True), ['router="api@internal"'], []),
    ],
)
def test_levels(levels: Levels, present: list[str], absent: list[str]) -> None:
    world = World(levels)
    fill(world)
    page = world.page()
    os.close(world.fd)
    assert [text for text in present if text not in page] == []
    assert [text for text in absent if text in page] == []


def test_internal_routers_do_not_count_for_the_entry_point(world: World) -> None:
    fill(world)
    assert world.value('edgerouter_entrypoint_requests_total{code="200"') == 2
