"""Priorities, ties, sleeping and refused routers, entry points and TLS; building in slices; explanations."""

from __future__ import annotations

import time

import pytest

from edgerouter.contracts.plugins import Route, Service
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.routing.builder import TableBuilder
from edgerouter.routing.explain import explain
from edgerouter.routing.table import RoutingTable
from edgerouter.rules.compile import compile_rule

LARGEST = 2**63 - 1


def exchange(url: str = "http://a.test/x", entrypoint: str = "web", headers: str = "") -> Exchange:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    request = Request("GET", b"/", host, Headers(headers.encode()))
    request.scheme = scheme
    request.host = host
    request.path = slash + path
    found = Exchange(request)
    found.entrypoint = entrypoint
    return found


def route(name: str, rule: str, priority: int = 0, asleep: str = "", refused: str = "") -> Route:
    made = Route(name, rule, priority, None, [])
    made.asleep = asleep
    made.refused = refused
    return made


def table_of(*routes: Route, precedence: tuple[str, ...] = (), tls: bool = False) -> RoutingTable:
    builder = TableBuilder(None, precedence)
    for one in routes:
        builder.add(one, ("web",), tls, compile_rule(one.rule))
    return builder.finish()


def winner(table: RoutingTable, found: Exchange) -> str | None:
    matched = table.match(found)
    return None if matched is None else matched.name


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([route("short", "Host(`a.test`)"), route("long", "Host(`a.test`) && PathPrefix(`/`)")], "long"),
        ([route("one", "Host(`a.test`)", 5), route("two", "Host(`a.test`) && Path(`/x`)", 4)], "one"),
        ([route("low", "Host(`a.test`)", -5), route("lower", "Path(`/x`)", -6)], "low"),
        ([route("top", "PathPrefix(`/`)", LARGEST), route("next", "Host(`a.test`)", LARGEST - 1)], "top"),
        ([route("b@p", "Host(`a.test`)", 5), route("a@p", "Path(`/x`)", 5)], "a@p"),
        ([route("wide", "Host(`*.test`)", 50), route("exact", "Host(`a.test`)", 1)], "wide"),
        ([route("any", "HostRegexp(`.`)", 50), route("exact", "Host(`a.test`)", 1)], "any"),
        ([route("prefix", "PathPrefix(`/`)", 2), route("path", "Path(`/x`)", 1)], "prefix"),
        ([route("longest", "PathPrefix(`/x`)"), route("shorter", "PathPrefix(`/`)")], "longest"),
        ([route("umlaut", "Host(`a.test`) || Path(`/ü`)"), route("ascii", "Host(`a.test`) || Path(`/u`)")], "umlaut"),
        ([route("sleeping", "Host(`a.test`)", 9, asleep="stopped"), route("live", "Path(`/x`)", 1)], "live"),
        ([route("sleeping", "Host(`a.test`)", 9, asleep="stopped"), route("other", "Path(`/y`)")], "sleeping"),
        ([route("refused", "Host(`a.test`)", 9, refused="broken"), route("good", "Path(`/x`)", 1)], "refused"),
        ([route("good", "Host(`a.test`)", 9), route("refused", "Path(`/x`)", 1, refused="broken")], "good"),
    ],
)
def test_who_wins(routes: list[Route], expected: str) -> None:
    assert winner(table_of(*routes), exchange()) == expected
    assert winner(table_of(*reversed(routes)), exchange()) == expected


def test_ties_between_providers_follow_their_precedence() -> None:
    routes = [
        route("a@docker", "Host(`a.test`)"),
        route("b@file", "Host(`a.test`)"),
        route("a@consul", "Host(`a.test`)"),
    ]
    assert winner(table_of(*routes), exchange()) == "a@consul"
    assert winner(table_of(*routes, precedence=("file", "docker")), exchange()) == "b@file"
    assert winner(table_of(*routes, precedence=("kv", "docker")), exchange()) == "a@docker"


def test_entry_points_and_tls_are_apart() -> None:
    builder = TableBuilder()
    rule = compile_rule("PathPrefix(`/`)")
    builder.add(route("plain", rule.text), ("web", "other"), False, rule)
    builder.add(route("secure", rule.text), ("web",), True, rule)
    table = builder.finish()
    assert winner(table, exchange()) == "plain"
    assert winner(table, exchange(entrypoint="other")) == "plain"
    assert winner(table, exchange("https://a.test/x")) == "secure"
    assert winner(table, exchange("https://a.test/x", "other")) is None
    assert winner(table, exchange(entrypoint="third")) is None


def test_a_router_without_a_readable_rule_reserves_nothing() -> None:
    builder = TableBuilder()
    builder.add(route("broken", "Host(", LARGEST, refused="bad rule"), ("web",), False, None)
    table = builder.finish()
    assert winner(table, exchange()) is None
    assert list(table.entries) == ["broken"]


def test_services_are_found_by_name() -> None:
    builder = TableBuilder()
    service = Service("app@file")
    builder.services["app@file"] = service
    table = builder.finish()
    assert table.service("app@file") is service
    assert table.service("app@docker") is None


def test_many_header_rules_of_one_host_are_told_apart_by_value() -> None:
    routes = [route(f"r{i}", f"Host(`a.test`) && Header(`X-Team`, `t{i}`)") for i in range(300)]
    table = table_of(*routes, route("rest", "Host(`a.test`)"))
    assert winner(table, exchange(headers="x-team: t299\r\n")) == "r299"
    assert winner(table, exchange(headers="X-Team: other\r\nX-Team: t7\r\n")) == "r7"
    assert winner(table, exchange()) == "rest"


def test_a_thousand_more_routers_are_built_in_small_steps_without_touching_the_rest() -> None:
    rules = [compile_rule(f"Host(`h{i}.test`) && PathPrefix(`/p{i % 7}`)") for i in range(1500)]
    routes = [route(f"r{i}", rule.text) for i, rule in enumerate(rules)]

    def build(previous: RoutingTable | None, count: int) -> tuple[RoutingTable, int, float]:
        started = time.process_time()
        builder = TableBuilder(previous)
        for i in range(count):
            builder.add(routes[i], ("web",), False, rules[i])
        steps = sum(1 for _ in builder.build_steps())
        return builder.finish(), steps, time.process_time() - started

    small, steps, _ = build(None, 500)
    assert steps >= 500 / 4
    large, steps, took = build(small, 1500)
    assert 1000 / 4 <= steps < 1000
    assert took < 0.5
    assert winner(large, exchange("http://h1499.test/p1x")) == "r1499"
    assert winner(small, exchange("http://h1499.test/p1x")) is None
    assert large.plain["web"].live.exact["h5.test"] is small.plain["web"].live.exact["h5.test"]


def test_explanation_lists_every_router_of_the_entry_point_with_its_reason() -> None:
    builder = TableBuilder()

    def add(name: str, rule: str, points: tuple[str, ...] = ("web",), tls: bool = False, asleep: str = "") -> None:
        builder.add(route(name, rule, asleep=asleep), points, tls, compile_rule(rule))

    add("won", "Host(`a.test`) && PathPrefix(`/x`)")
    add("lost", "Host(`a.test`)")
    add("near", "Host(`a.test`) && PathPrefix(`/y`) && Method(`GET`)")
    add("far", "Host(`b.test`) && PathPrefix(`/y`) && Method(`GET`)")
    add("alone", "Host(`b.test`)")
    add("secure", "Host(`a.test`)", tls=True)
    add("elsewhere", "Host(`a.test`)", ("other",))
    add("elsewhere and wrong", "Host(`b.test`)", ("other",))
    add("asleep", "Host(`a.test`) && PathPrefix(`/x`) && Method(`GET`)", asleep="stopped")
    builder.add(route("broken", "Host("), ("web",), False, None)
    found = explain(builder.finish(), exchange())
    assert found.winner == "won"
    outcomes = {trial.name: trial.outcome for trial in found.trials}
    assert outcomes == {
        "won": "won",
        "lost": "lost",
        "near": "near",
        "far": "failed",
        "alone": "failed",
        "secure": "other tls",
        "elsewhere": "other entrypoint",
        "asleep": "lost",
        "broken": "unreadable",
    }
    near = found.near()[0]
    assert near.reason == "does not hold: PathPrefix(`/y`)"
    assert [(verdict.text, verdict.holds) for verdict in near.verdicts] == [
        ("Host(`a.test`)", True),
        ("PathPrefix(`/y`)", False),
        ("Method(`GET`)", True),
    ]
    assert next(trial.reason for trial in found.trials if trial.name == "lost").endswith("but won comes first")
    assert [trial.name for trial in found.trials if trial.holds] == ["won", "elsewhere", "lost", "secure", "asleep"]


def test_explanation_without_a_winner() -> None:
    found = explain(table_of(route("only", "Host(`b.test`)")), exchange())
    assert (found.winner, [trial.outcome for trial in found.trials]) == ("", ["failed"])
