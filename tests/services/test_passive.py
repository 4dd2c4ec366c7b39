"""Passive health: how many failures, within what time, over how many workers, and who brings a server back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from services.house import count, exchange, server

from edgerouter.contracts.plugins import PluginContext, Server
from edgerouter.errors import BodyTooLarge, ConnectRefused
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Response
from edgerouter.services._load_balancer_options import HealthCheck, Options, PassiveHealthCheck
from edgerouter.services._passive import FailureRecord
from edgerouter.services.load_balancer import LoadBalancer
from edgerouter.telemetry.records import SharedRecords, create_records


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def memory() -> Iterator[int]:
    fd = create_records(workers=4)
    yield fd
    os.close(fd)


def worker(memory: int, slot: int, clock: Clock, checked: bool = False, **options: Any) -> LoadBalancer:
    """The service as one worker has it; each worker has server objects of its own."""
    given = Options(
        passive_health_check=PassiveHealthCheck(**options), health_check=HealthCheck(path="/") if checked else None
    )
    context = PluginContext("shop@file", "", "", lambda name: None, SharedRecords(memory, slot), clock, -1)
    return LoadBalancer(given, context, [server("a"), server("b")])


def answered(service: LoadBalancer, host: str, status: int) -> None:
    """One request that this server answered so."""
    asked: Exchange
    chosen: Server | None = None
    while chosen is None or chosen.host != host:
        asked = exchange()
        chosen = service.choose(asked)
    asked.response = Response(status, Headers())
    for step in service.steps or []:
        step.on_response(asked)


def test_one_failure_takes_a_server_out_in_all_workers_and_time_brings_it_back(memory: int) -> None:
    clock = Clock()
    workers = [worker(memory, slot, clock) for slot in range(4)]
    answered(workers[2], "a", 500)
    assert [count(each, 4) for each in workers] == [{"b": 4}] * 4
    clock.seconds += 9.9
    assert [count(each, 4) for each in workers] == [{"b": 4}] * 4
    clock.seconds += 0.2
    assert [count(each, 4) for each in workers] == [{"a": 2, "b": 2}] * 4


@pytest.mark.parametrize(("status", "out"), [(200, False), (404, False), (499, False), (500, True), (503, True)])
def test_which_answers_count(memory: int, status: int, out: bool) -> None:
    service = worker(memory, 0, Clock())
    answered(service, "a", status)
    assert (count(service, 4) == {"b": 4}) == out


def test_requests_without_an_answer_count_once(memory: int) -> None:
    service = worker(memory, 0, Clock(), max_failed_attempts=2)
    service.failed(service.servers[0], ConnectRefused("refused"))
    asked = exchange()
    service.choose(asked)
    asked.cause, asked.response = "CONNECT_REFUSED", Response(502, Headers())
    for step in service.steps or []:
        step.on_response(asked)
    assert count(service, 4) == {"a": 2, "b": 2}, "the 502 is ours, and was counted as it happened"
    service.failed(service.servers[0], ConnectRefused("refused"))
    assert count(service, 4) == {"b": 4}
    assert BodyTooLarge("").side == "downstream", "the engine tells only of upstream failures"


def test_failures_must_fall_into_one_window(memory: int) -> None:
    clock = Clock()
    workers = [worker(memory, slot, clock, max_failed_attempts=3) for slot in range(3)]
    for each in workers[:2]:
        answered(each, "a", 500)
    clock.seconds += 10.5
    answered(workers[2], "a", 500)
    assert count(workers[0], 4) == {"a": 2, "b": 2}
    clock.seconds += 1
    answered(workers[0], "a", 500)
    answered(workers[1], "a", 500)
    assert [count(each, 4) for each in workers] == [{"b": 4}] * 3, "three within ten seconds, on three workers"


def test_all_out_means_nobody_and_the_service_cannot_answer(memory: int) -> None:
    clock = Clock()
    one, other = worker(memory, 0, clock), worker(memory, 1, clock)
    answered(one, "a", 500)
    answered(one, "b", 500)
    assert (count(other, 2), other.available()) == ({"none": 2}, False)
    clock.seconds += 11
    assert other.available()
    assert count(other, 2) == {"a": 1, "b": 1}


def test_with_an_active_check_that_one_brings_it_back(memory: int) -> None:
    clock = Clock()
    service = worker(memory, 0, clock, checked=True)
    answered(service, "a", 500)
    clock.seconds += 100_000
    assert count(service, 4) == {"b": 4}
    control = FailureRecord(PassiveHealthCheck(), "shop@file", SharedRecords(memory), clock)
    assert (control.until("http://a:80") > 0, control.until("http://b:80")) == (True, 0)
    control.clear("http://a:80")
    assert count(service, 4) == {"a": 2, "b": 2}


def test_more_servers_than_places(memory: int) -> None:
    clock = Clock()
    record = FailureRecord(PassiveHealthCheck(), "many@file", SharedRecords(memory), clock)
    for number in range(200):
        clock.seconds += 0.01
        record.fail(f"http://{number}:80", False)
    out = [number for number in range(200) if record.until(f"http://{number}:80")]
    assert out == list(range(136, 200)), "the newest 64"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_failed_attempts": 0}, "maxFailedAttempts: expected 1 to 100, got 0"),
        ({"max_failed_attempts": 101}, "maxFailedAttempts"),
        ({"failure_window": 0}, "failureWindow: expected more than 0"),
    ],
)
def test_bad_options(memory: int, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        worker(memory, 0, Clock(), **options)
