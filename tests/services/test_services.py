"""loadBalancer, weighted, ping and noop as the worker makes them: by registry, options, context and servers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from services.house import House, count, exchange, server

from edgerouter.config.effect import warnings
from edgerouter.config.types import decode_hook
from edgerouter.contracts.plugins import Server, Service
from edgerouter.registry import load


@pytest.mark.parametrize(
    ("servers", "turns", "expected"),
    [
        ([], 2, {"none": 2}),
        ([server("a")], 3, {"a": 3}),
        ([server("a"), server("b"), server("c")], 9, {"a": 3, "b": 3, "c": 3}),
        ([server("a", 99), server("b", 1)], 1000, {"a": 990, "b": 10}),
        ([server("a", 0), server("b", 1)], 5, {"b": 5}),
        ([server("a", -1), server("b", 1)], 5, {"b": 5}),
        ([server("a", 0)], 2, {"none": 2}),
        ([server("a", up=False), server("b")], 5, {"b": 5}),
        ([server("a", up=False)], 2, {"none": 2}),
    ],
)
def test_load_balancer(servers: list[Server], turns: int, expected: dict[str, int]) -> None:
    assert count(House().make("shop@file", "loadBalancer", {}, servers), turns) == expected


def test_it_names_itself_even_when_nothing_can_be_chosen() -> None:
    asked = exchange()
    assert House().make("shop@file", "loadBalancer", {}).choose(asked) is None
    assert asked.service == "shop@file"


def test_health_changes_take_effect() -> None:
    a, b = server("a"), server("b")
    made = House().make("shop@file", "loadBalancer", {}, [a, b])
    a.up = False
    assert count(made, 4) == {"b": 4}, "a server that went down is not chosen, even before refresh"
    b.up = False
    made.refresh()
    assert (count(made, 2), made.available()) == ({"none": 2}, False)
    a.up = True
    made.refresh()
    assert (count(made, 2), made.available()) == ({"a": 2}, True)


def test_fenced_servers_get_no_new_clients() -> None:
    a, b = server("a"), server("b")
    a.fenced = True
    assert count(House().make("shop@file", "loadBalancer", {}, [a, b]), 3) == {"b": 3}


COOKIE = {"sticky": {"cookie": {"name": "c"}}}


@pytest.mark.parametrize(
    ("options", "servers", "lone"),
    [
        ({}, [server("a")], "a"),
        ({"strategy": "p2c"}, [server("a")], "a"),
        ({}, [server("a"), server("b", up=False)], "a"),
        ({}, [server("a"), server("b", 0)], "a"),
        ({}, [server("a"), server("b")], None),
        ({}, [server("a", up=False)], None),
        ({}, [], None),
        ({"passHostHeader": False}, [server("a")], None),
        (COOKIE, [server("a")], None),
        ({"strategy": "leasttime"}, [server("a")], None),
    ],
)
def test_a_lone_server_is_one_that_nobody_needs_to_be_asked_about(
    options: dict[str, Any], servers: list[Server], lone: str | None
) -> None:
    made = House().make("shop@file", "loadBalancer", options, servers)
    assert (None if made.lone is None else made.lone.host) == lone


def test_a_server_is_lone_only_while_it_is() -> None:
    a, b = server("a"), server("b")
    made = House().make("shop@file", "loadBalancer", {}, [a, b])
    for up, lone in [((True, False), a), ((False, False), None), ((False, True), b), ((True, True), None)]:
        a.up, b.up = up
        made.refresh()
        assert made.lone is lone


def test_options_reach_the_service() -> None:
    options = {"passHostHeader": False, "responseForwarding": {"flushInterval": "50ms"}}
    assert House().make("shop@file", "loadBalancer", options).pass_host_header is False
    assert House().make("shop@file", "loadBalancer", {}).pass_host_header is True


def test_an_unknown_strategy_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"strategy: no balancer is named 'roundest'; write one of .*wrr"):
        House().make("shop@file", "loadBalancer", {"strategy": "roundest"})


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("loadBalancer", {}, []),
        ("loadBalancer", {"sticky": {"cookie": {}}}, []),
        ("loadBalancer", {"sticky": {}}, ["sticky names no cookie"]),
        ("loadBalancer", {"sticky": {"cookie": {"sameSite": "none"}}}, ["sticky.cookie: browsers drop"]),
        ("loadBalancer", {"sticky": {"cookie": {"sameSite": "none", "secure": True}}}, []),
        ("weighted", {"sticky": {"cookie": {"sameSite": "None"}}}, ["sticky.cookie: browsers drop"]),
    ],
)
def test_what_hardly_works_as_meant_is_named(kind: str, options: dict[str, Any], expected: list[str]) -> None:
    decoded = msgspec.convert(options, load("services")[kind].options, dec_hook=decode_hook)
    said = warnings(decoded)
    assert len(said) == len(expected)
    assert all(sentence.startswith(start) for sentence, start in zip(said, expected, strict=True))


def test_a_new_list_of_servers_keeps_the_place_in_the_cycle() -> None:
    """The list is replaced every 30 requests; the canary still gets one of a hundred."""
    house = House()
    counted: Counter[str] = Counter()
    for _ in range(100):
        made = house.make("shop@file", "loadBalancer", {}, [server("a", 99), server("b", 1)])
        counted.update(count(made, 30))
    assert counted["b"] == 30


def weighted(house: House, *shares: tuple[str, int]) -> Service:
    made: Service = house.make(
        "shop@file", "weighted", {"services": [{"name": name, "weight": weight} for name, weight in shares]}
    )
    return made


def test_weighted_over_services() -> None:
    house = House()
    shop = weighted(house, ("v1", 99), ("v2", 1))
    assert (count(shop, 2), shop.available()) == ({"none": 2}, False)
    house.make("v1@file", "loadBalancer", {}, [server("a"), server("b")])
    house.make("v2@file", "loadBalancer", {}, [server("c")])
    assert count(shop, 1000) == {"a": 495, "b": 495, "c": 10}
    asked = exchange()
    leaf = shop.below(asked)
    assert leaf is house.services["v1@file"]
    assert leaf.choose(asked) is not None and asked.service == "v1@file"


def test_weighted_leaves_out_who_cannot_answer_and_takes_back_who_can() -> None:
    house = House()
    a, b = server("a"), server("b")
    one = house.make("v1@file", "loadBalancer", {}, [a])
    house.make("v2@file", "loadBalancer", {}, [b])
    shop = weighted(house, ("v1", 50), ("v2", 50))
    assert count(shop, 10) == {"a": 5, "b": 5}
    a.up = False
    one.refresh()
    assert count(shop, 10) == {"b": 10}
    a.up = True
    one.refresh()
    assert count(shop, 10) == {"a": 5, "b": 5}
    del house.services["v1@file"]
    assert count(shop, 4) == {"b": 4}


def test_weight_zero_gets_nothing() -> None:
    house = House()
    house.make("v1@file", "loadBalancer", {}, [server("a")])
    house.make("v2@docker", "loadBalancer", {}, [server("b")])
    assert count(weighted(house, ("v1", 0), ("v2@docker", 1)), 3) == {"b": 3}
    assert count(weighted(house, ("v1", 0)), 3) == {"none": 3}


def test_weighted_in_weighted_and_a_circle_ends() -> None:
    house = House()
    house.make("v1@file", "loadBalancer", {}, [server("a")])
    house.make("v2@file", "loadBalancer", {}, [server("b")])
    house.make("both@file", "weighted", {"services": [{"name": "v1"}, {"name": "v2"}]})
    assert count(weighted(house, ("both", 1), ("v1", 1)), 8) == {"a": 6, "b": 2}
    itself = weighted(house, ("shop", 1))
    assert (count(itself, 2), itself.available()) == ({"none": 2}, False)


def test_switches_of_a_blue_green_release_are_exact() -> None:
    house = House()
    house.make("v1@file", "loadBalancer", {}, [server("a")])
    house.make("v2@file", "loadBalancer", {}, [server("b")])
    assert count(weighted(house, ("v1", 99), ("v2", 1)), 1000) == {"a": 990, "b": 10}
    assert count(weighted(house, ("v1", 50), ("v2", 50)), 1000) == {"a": 500, "b": 500}
    assert count(weighted(house, ("v1", 0), ("v2", 100)), 1000) == {"b": 1000}


@pytest.mark.parametrize("kind", ["ping", "noop"])
def test_services_with_servers_do_not_answer_themselves(kind: str) -> None:
    assert House().make("shop@file", "loadBalancer", {}).answer(exchange()) is None
    made = House().make(f"{kind}@internal", kind, {})
    assert (made.available(), made.choose(exchange())) == (True, None)


def test_internal_services_answer() -> None:
    ping = House().make("ping@internal", "ping", {})
    answered = ping.answer(exchange())
    assert (answered.status, answered.body.take()) == (200, b"OK")
    ping.terminating = True
    assert ping.answer(exchange()).status == 503
    teapot = House().make("noop@internal", "noop", {}).answer(exchange())
    assert (teapot.status, teapot.body.take()) == (418, b"I'm a teapot")
