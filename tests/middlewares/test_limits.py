"""rateLimit and inFlightReq with the clock in hand: who passes, who waits, who is told to come back when."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from steps import Clock, answered, ask, make

from edgerouter.http.exchange import Exchange
from edgerouter.http.message import Response
from edgerouter.middlewares._bucket import SECOND, Rate, go_duration
from edgerouter.telemetry.records import DEFAULT_SIZE, SharedRecords, create_records


def request(peer: str = "1.2.3.4", host: str = "acme.com", **headers: str) -> Exchange:
    exchange = ask(host=host, headers=headers)
    exchange.client_address = peer
    return exchange


def go(step: Any, exchange: Exchange | None = None) -> Any:
    """200: passes; 0: waits; else the answer's status."""
    answer = step.on_request(exchange or request())
    if answer is None:
        return 200
    if isinstance(answer, Response):
        return answer.status
    answer.close()
    return 0


def test_a_burst_and_then_the_rate() -> None:
    clock = Clock()
    limit = make("rateLimit", {"average": 10, "burst": 5}, now=clock)
    assert [go(limit) for _ in range(7)] == [200] * 5 + [429] * 2
    clock.seconds += 0.1
    assert [go(limit), go(limit)] == [200, 429]
    clock.seconds += 0.04
    assert go(limit) == 429, "60 ms until the next token: longer than half of 100"
    clock.seconds += 0.02
    assert [go(limit), go(limit)] == [0, 429], "40 ms: waits, and has the token"
    clock.seconds += 60
    assert [go(limit) for _ in range(6)] == [200] * 5 + [429], "never more than a burst"


@pytest.mark.parametrize(
    ("options", "wait", "retry_after", "retry_in"),
    [
        ({"average": 1, "period": "1m"}, 0.0, "60", "1m0s"),
        ({"average": 1, "period": "1m"}, 0.5, "60", "59.5s"),
        ({"average": 1, "period": "1m"}, 59.4, "1", "600ms"),
        ({"average": 1, "period": "2h"}, 0.0, "7200", "2h0m0s"),
        ({"average": 100, "burst": 1}, 0.0, "1", "10ms"),
    ],
)
def test_the_refusal(options: dict[str, Any], wait: float, retry_after: str, retry_in: str) -> None:
    clock = Clock()
    limit: Any = make("rateLimit", options, now=clock)
    assert go(limit) == 200
    clock.seconds += wait
    exchange = request()
    answer = limit.on_request(exchange)
    assert (answer.status, answer.body.take()) == (429, b"Too Many Requests")
    assert (answer.headers.get("Retry-After"), answer.headers.get("X-Retry-In")) == (retry_after, retry_in)
    assert answer.headers.get("RateLimit") is None
    assert exchange.cause == "RATE_LIMITED"
    assert exchange.detail == f"rateLimit: the next token comes in {retry_in}"


def test_who_is_one_client() -> None:
    by_address = {"average": 1, "period": "1h"}
    by_field = {**by_address, "sourceCriterion": {"requestHeaderName": "X-User"}}
    by_host = {**by_address, "sourceCriterion": {"requestHost": True}}
    by_depth = {**by_address, "sourceCriterion": {"ipStrategy": {"depth": 1, "ipv6Subnet": 64}}}
    limit = make("rateLimit", by_address)
    assert [go(limit, request(peer)) for peer in ("a", "b", "a", "b")] == [200, 200, 429, 429]
    limit = make("rateLimit", by_field)
    assert [go(limit, request("a", **{"X-User": user})) for user in ("a", "b", "A", "a")] == [200, 200, 200, 429]
    assert [go(limit, request(peer)) for peer in ("a", "b")] == [200, 429], "without the field: one client"
    limit = make("rateLimit", by_host)
    assert [go(limit, request(host=host)) for host in ("a.b", "c.d", "A.B:80")] == [200, 200, 429]
    limit = make("rateLimit", by_depth)
    seen = [request("p", **{"X-Forwarded-For": f"9.9.9.9, {one}"}) for one in ("2001:db8::1", "2001:db8::2", "1.1.1.1")]
    assert [go(limit, exchange) for exchange in seen] == [200, 429, 200]


def test_no_limit_and_no_burst() -> None:
    assert [go(make("rateLimit", {})) for _ in range(100)] == [200] * 100
    limit: Any = make("rateLimit", {"average": 5, "burst": 0})
    answer = limit.on_request(request())
    assert (answer.status, answer.body.take()) == (429, b"No bursty traffic allowed")


def test_the_draft_fields() -> None:
    clock = Clock()
    limit: Any = make("rateLimit", {"average": 2, "period": "10s", "burst": 3, "rateLimitHeaders": True}, now=clock)
    rows = []
    for _ in range(4):
        exchange = request()
        answer = limit.on_request(exchange)
        if answer is None:
            limit.on_response(answered(exchange))
            answer = exchange.response
        rows.append((answer.status, answer.headers.get("RateLimit")))
        assert answer.headers.get("RateLimit-Policy") == '"default";q=3;w=15'
    assert rows == [
        (200, '"default";r=2;t=5'),
        (200, '"default";r=1;t=10'),
        (200, '"default";r=0;t=15'),
        (429, '"default";r=0;t=15'),
    ]


async def test_a_short_wait_is_waited() -> None:
    clock = Clock()
    limit: Any = make("rateLimit", {"average": 20, "burst": 1}, now=clock)
    assert limit.on_request(request()) is None
    clock.seconds += 0.03
    began = asyncio.get_running_loop().time()
    waiting = limit.on_request(request())
    assert waiting is not None and await waiting is None
    assert asyncio.get_running_loop().time() - began > 0.005


@pytest.fixture
def memory() -> Iterator[int]:
    fd = create_records(DEFAULT_SIZE, workers=4)
    yield fd
    os.close(fd)


def test_four_workers_are_one_limit(memory: int) -> None:
    clock = Clock()
    options = {"average": 1, "period": "1m", "burst": 1}
    workers = [make("rateLimit", options, SharedRecords(memory, slot), clock) for slot in range(4)]
    assert [go(worker) for worker in workers] == [200, 429, 429, 429]
    elsewhere = make("rateLimit", options, SharedRecords(memory, 0), clock, router="other@file")
    assert go(elsewhere) == 200, "each router counts for itself"
    again = make("rateLimit", options, SharedRecords(memory, 2), clock)
    assert go(again) == 429, "an instance made anew goes on counting"
    changed = make("rateLimit", {**options, "burst": 2}, SharedRecords(memory, 2), clock)
    assert [go(changed) for _ in range(3)] == [200, 200, 429]


def test_a_hundred_a_second_is_so_however_it_is_spread(memory: int) -> None:
    for spread in ([0], [0, 1, 2, 3]):
        clock = Clock()
        clock.seconds += len(spread) * 1000
        limits = [make("rateLimit", {"average": 100}, SharedRecords(memory, slot), clock) for slot in spread]
        passed = 0
        for turn in range(10_000):
            clock.seconds += 0.001
            passed += go(limits[turn % len(limits)]) in (0, 200)
        assert 950 <= passed <= 1050, (spread, passed)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (250_000_000, "250ms"),
        (1_500_000_000, "1.5s"),
        (60 * SECOND, "1m0s"),
        (3661 * SECOND + 1, "1h1m1.000000001s"),
    ],
)
def test_go_durations(nanoseconds: int, text: str) -> None:
    assert go_duration(nanoseconds) == text


def test_the_longest_wait() -> None:
    assert Rate(100, 1.0, 1).most_wait == SECOND // 200
    assert Rate(1, 60.0, 1).most_wait == SECOND // 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"average": -1}, "average: -1 is less than 0"),
        ({"average": 1, "period": 0}, "period must be more than 0"),
        ({"average": 1, "burst": -1}, "burst: -1 is less than 0"),
        ({"average": 1, "redis": {"endpoints": ["redis"]}}, "redis.endpoints: 'redis' is no address; write host:port"),
        ({"average": 1, "redis": {"endpoints": []}}, "redis.endpoints: '' is no address"),
        (
            {"average": 1, "sourceCriterion": {"requestHost": True, "requestHeaderName": "X"}},
            "rateLimit: sourceCriterion: keep one of ipStrategy, requestHeaderName and requestHost",
        ),
    ],
)
def test_bad_rates(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make("rateLimit", options)
    assert message in str(caught.value)


# -- inFlightReq ------------------------------------------------------------------------------------------------------


def test_in_flight_is_given_back_once(memory: int) -> None:
    step: Any = make("inFlightReq", {"amount": 2}, SharedRecords(memory, 0))
    one, two, three = request(), request(), request()
    assert [go(step, one), go(step, two)] == [200, 200]
    assert go(step, one) == 200, "a retry comes by again and is one request"
    answer = step.on_request(three)
    assert (answer.status, answer.body.take()) == (429, b"max connections reached: 2")
    assert (three.cause, three.detail) == (
        "TOO_MANY_IN_FLIGHT",
        "inFlightReq: 2 requests are under way already",
    )
    for ended in (three, one):
        step.on_end(ended)
    assert [go(step, request()), go(step, request())] == [200, 429]


def test_in_flight_across_four_workers(memory: int) -> None:
    workers: list[Any] = [make("inFlightReq", {"amount": 1}, SharedRecords(memory, slot)) for slot in range(4)]
    asked = [request() for _ in workers]
    assert [go(worker, one) for worker, one in zip(workers, asked, strict=True)] == [200, 429, 429, 429]
    assert go(workers[3], request(host="other.com")) == 200, "without a criterion each host counts for itself"
    SharedRecords(memory, 1).zero_gauges(0)
    assert go(workers[1]) == 200, "the worker that held it is dead"
    SharedRecords(memory, 0).record("unrelated", 1, 1)


def test_in_flight_criteria_and_options() -> None:
    step = make("inFlightReq", {"amount": 1, "sourceCriterion": {"ipStrategy": {}}})
    assert [go(step, request(peer)) for peer in ("a", "b", "a")] == [200, 200, 429]
    assert go(make("inFlightReq", {})) == 429, "amount 0 lets none pass"
    with pytest.raises(ValueError, match="amount: -1 is less than 0"):
        make("inFlightReq", {"amount": -1})
