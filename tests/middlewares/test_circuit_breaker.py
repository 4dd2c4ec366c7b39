"""The breaker's three states, one worker and four, step by step with the clock in hand."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from steps import Clock, answered, ask, make

from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Request, Response
from edgerouter.middlewares.circuit_breaker import RECOVERING, STANDBY, TRIPPED
from edgerouter.telemetry.records import SharedRecords, create_records

ERRORS = {"expression": "NetworkErrorRatio() > 0.5"}


def go(breaker: Any, status: int = 200, clock: Clock | None = None, seconds: float = 0.0) -> int:
    """One exchange through the breaker; the status that its client gets."""
    exchange = ask()
    answer = breaker.on_request(exchange)
    if answer is not None:
        return int(answer.status)
    if clock is not None:
        clock.seconds += seconds
    breaker.on_response(answered(exchange, status))
    return status


def settle(breaker: Any, clock: Clock, *statuses: int) -> list[int]:
    """Exchanges far enough apart for a check after each."""
    got = []
    for status in statuses:
        clock.seconds += 0.11
        got.append(go(breaker, status))
    return got


def test_life() -> None:
    clock = Clock()
    breaker: Any = make("circuitBreaker", ERRORS, now=clock)
    assert settle(breaker, clock, 200, 502, 200, 504) == [200, 502, 200, 504]
    assert breaker.state() == STANDBY
    assert settle(breaker, clock, 502) == [502]
    assert breaker.state() == TRIPPED
    assert settle(breaker, clock, 200, 200) == [503, 503]
    clock.seconds += 10
    got = [go(breaker) for _ in range(5) if setattr(clock, "seconds", clock.seconds + 0.1) is None]
    assert breaker.state() == RECOVERING
    assert got.count(200) == 0, "a growing share: at first nobody"
    while breaker.state() == RECOVERING:
        clock.seconds += 0.1
        got.append(go(breaker))
    assert 40 <= got.count(200) <= 60 and len(got) >= 100
    assert got[60:].count(200) > 2 * got[:40].count(200)
    assert breaker.state() == STANDBY
    assert settle(breaker, clock, 200, 200) == [200, 200]


def test_recovery_fails() -> None:
    clock = Clock()
    breaker: Any = make("circuitBreaker", ERRORS, now=clock)
    settle(breaker, clock, 502)
    clock.seconds += 10.1
    statuses = []
    while breaker.state() != TRIPPED or not statuses:
        clock.seconds += 0.2
        statuses.append(go(breaker, 502))
    assert statuses.count(502) == 1, "one failure is enough: the window began anew when the breaker tripped"


def test_the_answer_while_tripped() -> None:
    clock = Clock()
    breaker: Any = make("circuitBreaker", {**ERRORS, "responseCode": 429}, now=clock)
    settle(breaker, clock, 504)
    exchange = ask()
    answer = breaker.on_request(exchange)
    assert (answer.status, answer.body.take()) == (429, b"Too Many Requests")
    assert exchange.cause == "BREAKER_OPEN"
    assert exchange.detail == "circuit breaker circuitBreaker@file is tripped for another 10.0 s"


def test_another_service_answers_while_tripped() -> None:
    class Asking(Exchange):
        async def fetch(self, service: str, request: Request) -> Response:  # type: ignore[override]
            return Response.text(200, f"{service} {request.path}")

    clock = Clock()
    breaker: Any = make("circuitBreaker", {**ERRORS, "fallbackService": "spare@file"}, now=clock)
    settle(breaker, clock, 504)
    exchange = Asking(ask(target="/x").request)
    response = asyncio.run(breaker.on_request(exchange))
    assert response.body.take() == b"spare@file /x"
    assert exchange.cause == "" and "tripped" in exchange.detail


def test_the_window_forgets_after_ten_seconds() -> None:
    clock = Clock()
    breaker: Any = make("circuitBreaker", {"expression": "RequestThreshold() > 4"}, now=clock)
    settle(breaker, clock, 200, 200, 200, 200)
    clock.seconds += 10
    settle(breaker, clock, 200)
    assert breaker.state() == STANDBY
    settle(breaker, clock, 200, 200, 200, 200)
    assert breaker.state() == TRIPPED


def test_the_expression_is_looked_at_once_a_period() -> None:
    clock = Clock()
    breaker: Any = make("circuitBreaker", {"expression": "RequestThreshold() > 2", "checkPeriod": "5s"}, now=clock)
    assert [go(breaker) for _ in range(10)] == [200] * 10
    assert breaker.state() == STANDBY
    clock.seconds += 5
    go(breaker)
    assert breaker.state() == TRIPPED


def test_latency_is_measured_by_the_breaker() -> None:
    clock = Clock()
    breaker: Any = make("circuitBreaker", {"expression": "LatencyAtQuantileMS(50.0) > 400"}, now=clock)
    go(breaker, clock=clock, seconds=0.2)
    go(breaker, clock=clock, seconds=0.5)
    assert breaker.state() == STANDBY
    go(breaker, clock=clock, seconds=0.5)
    assert breaker.state() == TRIPPED


def test_responses_that_come_while_tripped_are_not_counted() -> None:
    clock = Clock()
    breaker: Any = make("circuitBreaker", ERRORS, now=clock)
    late = ask()
    breaker.on_request(late)
    settle(breaker, clock, 502)
    clock.seconds += 9.9
    breaker.on_response(answered(late, 502))
    clock.seconds += 10
    assert go(breaker) in (200, 503)
    assert breaker.state() == RECOVERING


@pytest.fixture
def memory() -> Iterator[int]:
    fd = create_records(8 << 20, workers=4)
    yield fd
    os.close(fd)


def test_four_workers_are_one_breaker(memory: int) -> None:
    """No worker sees more than 3 responses; together they pass 10, and all are tripped."""
    clock = Clock()
    options = {"expression": "RequestThreshold() > 10 && ResponseCodeRatio(500, 600, 0, 600) > 0.5"}
    workers: list[Any] = [make("circuitBreaker", options, SharedRecords(memory, slot), clock) for slot in range(4)]
    for turn in range(10):
        clock.seconds += 0.11
        go(workers[turn % 4], 500)
    assert {worker.state() for worker in workers} == {STANDBY}
    clock.seconds += 0.11
    go(workers[2], 500)
    assert {worker.state() for worker in workers} == {TRIPPED}
    assert [go(worker) for worker in workers] == [503] * 4
    clock.seconds += 10.1
    go(workers[3])
    assert {worker.state() for worker in workers} == {RECOVERING}
    clock.seconds += 10.1
    assert go(workers[0]) == 200
    assert {worker.state() for worker in workers} == {STANDBY}


def test_the_same_options_find_the_state_again_others_do_not(memory: int) -> None:
    clock = Clock()
    before: Any = make("circuitBreaker", ERRORS, SharedRecords(memory, 0), clock)
    settle(before, clock, 502)
    again: Any = make("circuitBreaker", ERRORS, SharedRecords(memory, 1), clock)
    other: Any = make("circuitBreaker", {**ERRORS, "responseCode": 504}, SharedRecords(memory, 1), clock)
    elsewhere: Any = make("circuitBreaker", ERRORS, SharedRecords(memory, 1), clock, router="api@file")
    assert (again.state(), other.state(), elsewhere.state()) == (TRIPPED, STANDBY, STANDBY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expression is empty; write"),
        ({"expression": "NetworkErrorRatio() >"}, "character 22"),
        ({**ERRORS, "checkPeriod": "0s"}, "checkPeriod must be more than 0"),
        ({**ERRORS, "fallbackDuration": "-1s"}, "fallbackDuration must be more than 0"),
        ({**ERRORS, "recoveryDuration": "0"}, "recoveryDuration must be more than 0"),
        ({**ERRORS, "responseCode": 99}, "99 is no status"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("circuitBreaker", options)
