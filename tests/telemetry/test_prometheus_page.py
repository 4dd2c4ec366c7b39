"""The page /metrics: golden text, promtool's opinion, series that vanish, internals, levels."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.telemetry.memory import CounterMemory
from edgerouter.telemetry.prometheus import Exposition
from edgerouter.telemetry.reader import CounterReader, new_memory
from edgerouter.telemetry.recorder import Recorder
from edgerouter.telemetry.registry import Facts, Levels, MetricsRegistry

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
