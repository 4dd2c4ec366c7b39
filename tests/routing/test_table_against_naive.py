"""The indexed table finds the same router as a plain walk over all rules, before and after changes."""

from __future__ import annotations

import random

import pytest

from edgerouter.contracts.plugins import Route
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Request
from edgerouter.routing.builder import TableBuilder
from edgerouter.routing.entry import Entry
from edgerouter.routing.explain import LOST, WON, explain, in_order
from edgerouter.routing.table import RoutingTable
from edgerouter.rules.compile import Rule, compile_rule

HOSTS = ["a.test", "b.test", "x.a.test", "y.a.test", "y.x.a.test", "test", ""]
PATHS = ["/", "/a", "/ab", "/abc", "/a/b", "/a/b/c", "/b", "/ba", "/a%20b", "*"]
METHODS = ["GET", "POST"]
CLAUSES = [
    *(f"Host(`{h}`)" for h in ["a.test", "b.test", "x.a.test", "*.a.test", "*.test", "*", "*.x.a.test"]),
    *(f"Path(`{p}`)" for p in ["/", "/a", "/ab", "/a b", "/a/b"]),
    *(f"PathPrefix(`{p}`)" for p in ["/", "/a", "/ab", "/abc", "/a/", "/a/b", "/b"]),
    *(f"Method(`{m}`)" for m in METHODS),
    *(f"Header(`{n}`, `{v}`)" for n in ["X-One", "x-two"] for v in ["1", "2"]),
    "HostRegexp(`^[xy]\\.`)",
    "PathRegexp(`b$`)",
    "Query(`q`)",
    "ClientIP(`10.0.0.0/8`)",
]


def random_rule(dice: random.Random, depth: int = 0) -> str:
    kind = dice.random()
    if depth > 3 or kind < 0.35:
        return dice.choice(CLAUSES)
    if kind < 0.45:
        return f"!{random_rule(dice, depth + 4)}" if dice.random() < 0.7 else f"!({random_rule(dice, depth + 1)})"
    glue = " && " if kind < 0.8 else " || "
    return "(" + glue.join(random_rule(dice, depth + 1) for _ in range(dice.randint(2, 3))) + ")"


def random_exchange(dice: random.Random) -> Exchange:
    fields = [(name, dice.choice("12")) for name in ("X-One", "X-Two") if dice.random() < 0.5]
    request = Request(dice.choice(METHODS), b"/", "", Headers.of(fields))
    request.host = dice.choice(HOSTS)
    request.path = dice.choice(PATHS)
    request.query = dice.choice(["", "q", "q=1", "q="])
    request.scheme = dice.choice(["http", "https"])
    exchange = Exchange(request)
    exchange.entrypoint = dice.choice(["web", "other", "none"])
    exchange.client_address = dice.choice(["10.1.2.3", "192.0.2.1", "::ffff:10.1.2.3"])
    return exchange


class Router:
    def __init__(self, dice: random.Random, name: str) -> None:
        self.rule: Rule | None = compile_rule(random_rule(dice))
        self.route = Route(name, self.rule.text, dice.choice([0, 0, 1, 2, 3, -1, 2**63 - 1]), None, [])
        self.route.refused = dice.choice(["", "", "", "broken"])
        self.route.asleep = dice.choice(["", "", "", "stopped"])
        self.tls = dice.random() < 0.5
        self.entry_points = dice.choice([("web",), ("other",), ("web", "other")])
        if dice.random() < 0.1:
            self.rule = None

    def fits(self, exchange: Exchange) -> bool:
        return (
            self.rule is not None
            and exchange.entrypoint in self.entry_points
            and (exchange.request.scheme == "https") == self.tls
            and self.rule.predicate.test(exchange)
        )


def naive(routers: list[Router], exchange: Exchange) -> Route | None:
    def order(router: Router) -> tuple[bool, int, str]:
        route = router.route
        return (bool(route.asleep), -(route.priority or len(route.rule.encode())), route.name)

    fitting = sorted((router for router in routers if router.fits(exchange)), key=order)
    return fitting[0].route if fitting else None


def build(routers: list[Router], previous: RoutingTable | None) -> RoutingTable:
    builder = TableBuilder(previous)
    for router in routers:
        builder.add(router.route, router.entry_points, router.tls, router.rule)
    return builder.finish()


def names(route: Route | None) -> str:
    return "" if route is None else route.name


@pytest.mark.parametrize("seed", range(25))
def test_same_winner_as_a_walk_over_all_rules(seed: int) -> None:
    dice = random.Random(seed)
    routers = [Router(dice, f"r{i}@p") for i in range(dice.randint(1, 60))]
    table: RoutingTable | None = None
    winners = 0
    for generation in range(4):
        before, routers_before = table, list(routers)
        table = build(routers, before)
        ordered = in_order(table)
        for _ in range(100):
            exchange = random_exchange(dice)
            expected = naive(routers, exchange)
            winners += expected is not None
            assert names(table.match(exchange)) == names(expected)
            told = explain(table, exchange, ordered, 1)
            holding = [trial.name for trial in told.trials if trial.outcome in (WON, LOST)]
            assert told.winner == names(expected) == (holding[0] if holding else "")
        dice.shuffle(routers)
        routers = routers[: len(routers) // 2] + [Router(dice, f"g{generation}-{i}@p") for i in range(10)]
        build(routers, table)  # abandoned: the table in use must not notice
        for _ in range(20):
            exchange = random_exchange(dice)
            assert names(table.match(exchange)) == names(naive(routers_before, exchange))
    assert winners


def test_removing_all_routers_leaves_nothing_behind() -> None:
    dice = random.Random(7)
    table = build([Router(dice, f"r{i}@p") for i in range(200)], None)
    table = build([], table)
    assert not table.entries
    for sections in (table.plain, table.secure):
        for section in sections.values():
            assert section.live.empty()
            assert section.asleep is None or section.asleep.empty()


def test_a_router_that_did_not_change_keeps_its_entry() -> None:
    dice = random.Random(8)
    routers = [Router(dice, f"r{i}@p") for i in range(20)]
    first = build(routers, None)
    second = build(routers, first)
    for name, entry in first.entries.items():
        assert second.entries[name] is entry
    routers[3].route.asleep = "" if routers[3].route.asleep else "stopped"
    third = build(routers, second)
    changed = [name for name, entry in second.entries.items() if third.entries[name] is not entry]
    assert changed == ["r3@p"]
    assert isinstance(third.entries["r3@p"], Entry)
