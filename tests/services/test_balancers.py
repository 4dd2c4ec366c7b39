"""p2c, hrw and leasttime: who is picked, how the fractions come out, who moves when a server goes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.house import House, count, exchange, server

from edgerouter.contracts.plugins import Balancer, Server
from edgerouter.registry import load
from edgerouter.services._hashing import Rendezvous, hashed, mixed

STRATEGIES = ["hrw", "leasttime", "p2c", "wrr"]


def balancer(name: str) -> Balancer:
    made: Balancer = load("balancers")[name].cls()
    made.start(0.0)
    return made


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nobody_one_down_and_zero(strategy: str) -> None:
    house = House()
    options = {"strategy": strategy}
    assert count(house.make("none@f", "loadBalancer", options, []), 2) == {"none": 2}
    assert count(house.make("one@f", "loadBalancer", options, [server("a")]), 3) == {"a": 3}
    zero = [server("a", 0), server("b"), server("c", up=False)]
    assert count(house.make("zero@f", "loadBalancer", options, zero), 5) == {"b": 5}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_server_that_went_down_is_not_chosen_even_before_refresh(strategy: str) -> None:
    a, b = server("a"), server("b")
    made = House().make("shop@f", "loadBalancer", {"strategy": strategy}, [a, b])
    a.up = False
    assert count(made, 4) == {"b": 4}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_after_a_failure_another_server_is_found(strategy: str) -> None:
    """What the engine does when a server refuses: it asks again until it gets one that was not tried."""
    made = House().make("shop@f", "loadBalancer", {"strategy": strategy}, [server("a"), server("b"), server("c")])
    for client in range(50):
        asked = exchange(client=f"10.0.0.{client}")
        tried = [made.choose(asked)]
        while len(tried) < 3:
            chosen = next((s for s in (made.choose(asked) for _ in range(200)) if s not in tried), None)
            assert chosen is not None
            tried.append(chosen)


# -- p2c --------------------------------------------------------------------------------------------------------------


def test_p2c_prefers_who_has_less_to_do() -> None:
    busy, idle = server("busy"), server("idle")
    busy.in_flight = 1
    assert {balancer("p2c").pick([busy, idle], exchange()) for _ in range(50)} == {idle}


def test_p2c_never_picks_the_busiest_of_three_and_the_others_evenly() -> None:
    servers = [server("a"), server("b"), server("c")]
    servers[1].in_flight = 9
    picked = Counter(balancer("p2c").pick(servers, exchange()) for _ in range(3000))
    assert picked[servers[1]] == 0
    assert min(picked[servers[0]], picked[servers[2]]) > 1200


def test_p2c_keeps_work_level() -> None:
    """Requests that last: nobody is ever far ahead of the others."""
    servers = [server(name) for name in "abcd"]
    made = balancer("p2c")
    for _ in range(4000):
        chosen = made.pick(servers, exchange())
        assert chosen is not None
        chosen.in_flight += 1
    assert max(s.in_flight for s in servers) - min(s.in_flight for s in servers) <= 12


# -- hrw --------------------------------------------------------------------------------------------------------------


def clients(number: int) -> list[str]:
    return [f"10.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(number)]


def chosen_by(servers: list[Server], number: int = 4000) -> dict[str, Server | None]:
    made = balancer("hrw")
    return {client: made.pick(servers, exchange(client=client)) for client in clients(number)}


def test_hrw_is_the_same_in_every_process() -> None:
    assert (hashed("10.0.0.1"), hashed("http://a:80")) == (1658825199, 2325054475)
    assert (mixed(1, 2), mixed(2**32 - 1, 2**32 - 1)) == (4267420835, 1244385455), "the same compiled or not"


def test_hrw_gives_a_client_its_server_and_all_servers_their_share() -> None:
    servers = [server(name) for name in "abcd"]
    assert chosen_by(servers) == chosen_by(list(reversed(servers))), "the order of servers does not count"
    shares = Counter(s.host for s in chosen_by(servers).values() if s is not None)
    assert all(850 < shares[name] < 1150 for name in "abcd"), shares


def test_hrw_shares_go_by_weight() -> None:
    shares = Counter(s.host for s in chosen_by([server("a", 3), server("b", 1)]).values() if s is not None)
    assert 2850 < shares["a"] < 3150


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(0, 5))
def test_hrw_only_clients_of_the_server_that_went_move(weights: list[int], gone: int) -> None:
    servers = [server(str(i), weight) for i, weight in enumerate(weights)]
    left = servers[gone % len(servers)]
    before, after = chosen_by(servers, 200), chosen_by([s for s in servers if s is not left], 200)
    assert all(after[client] is chosen for client, chosen in before.items() if chosen is not left)


def test_rendezvous_of_nobody() -> None:
    assert Rendezvous([]).best("10.0.0.1") == -1


# -- leasttime --------------------------------------------------------------------------------------------------------


def warmed(times: dict[str, float], weights: dict[str, int] | None = None) -> tuple[Balancer, list[Server]]:
    """A balancer that has measured each server once."""
    made = balancer("leasttime")
    servers = [server(name, (weights or {}).get(name, 1)) for name in times]
    for _ in servers:
        chosen = made.pick(servers, exchange())
        assert chosen is not None
        made.responded(chosen, times[chosen.host])
    return made, servers


def picks(made: Balancer, servers: list[Server], turns: int) -> Counter[str]:
    counted: Counter[str] = Counter()
    for _ in range(turns):
        chosen = made.pick(servers, exchange())
        assert chosen is not None
        counted[chosen.host] += 1
    return counted


def test_leasttime_asks_everybody_once_then_the_quickest() -> None:
    made, servers = warmed({"slow": 0.2, "quick": 0.01, "middling": 0.1})
    assert picks(made, servers, 150) == {"quick": 150}


def test_leasttime_counts_what_is_in_flight_and_the_weight() -> None:
    made, servers = warmed({"a": 0.01, "b": 0.03})
    servers[0].in_flight = 3
    assert picks(made, servers, 10) == {"b": 10}
    made, servers = warmed({"a": 0.01, "b": 0.03}, {"a": 1, "b": 4})
    assert picks(made, servers, 10) == {"b": 10}


def test_leasttime_takes_equals_in_turn() -> None:
    made, servers = warmed({"a": 0.01, "b": 0.01, "c": 0.01})
    assert picks(made, servers, 30) == {"a": 10, "b": 10, "c": 10}


def test_leasttime_forgets_beyond_a_hundred_samples() -> None:
    made, servers = warmed({"a": 5.0, "b": 0.02})
    for _ in range(100):
        made.responded(servers[0], 0.001)
    assert picks(made, servers, 10) == {"a": 10}, "the five seconds were the 101st sample from the end"


def test_leasttime_tries_a_slow_server_again_and_measures_it_anew() -> None:
    made, servers = warmed({"a": 5.0, "b": 0.02})
    assert picks(made, servers, 199) == {"b": 199}
    turns = picks(made, servers, 4)
    assert turns["a"] >= 1
    made.responded(servers[0], 0.001)
    assert picks(made, servers, 10) == {"a": 10}


def test_leasttime_is_not_drawn_to_a_server_that_fails_at_once() -> None:
    made, servers = warmed({"a": 0.05, "b": 0.05})
    made.failed(servers[0])
    assert picks(made, servers, 150) == {"b": 150}
    made.responded(servers[0], 0.01)
    assert picks(made, servers, 5) == {"a": 5}


def test_leasttime_does_not_send_a_crowd_to_a_new_server() -> None:
    made, servers = warmed({"a": 0.01, "b": 0.01})
    servers = [*servers, server("new")]
    for _ in range(30):
        chosen = made.pick(servers, exchange())
        assert chosen is not None
        chosen.in_flight += 1
    assert {s.host: s.in_flight for s in servers} == {"a": 10, "b": 10, "new": 10}


# -- highestRandomWeight ----------------------------------------------------------------------------------------------


def test_highest_random_weight_over_services() -> None:
    house = House()
    a = server("a")
    one = house.make("v1@f", "loadBalancer", {}, [a])
    house.make("v2@f", "loadBalancer", {}, [server("b")])
    shares = {"services": [{"name": "v1", "weight": 3}, {"name": "v2"}, {"name": "none", "weight": 9}]}
    shop = house.make("shop@f", "highestRandomWeight", shares)

    def chosen() -> dict[str, str]:
        return {client: shop.below(exchange(client=client)).name for client in clients(2000)}

    before = chosen()
    assert 1400 < Counter(before.values())["v1@f"] < 1600
    a.up = False
    one.refresh()
    assert set(chosen().values()) == {"v2@f"}
    a.up = True
    one.refresh()
    assert chosen() == before, "everybody returns"
    none = house.make("none@f", "highestRandomWeight", {"services": [{"name": "v1", "weight": 0}]})
    assert (none.below(exchange()) is none, none.available(), none.choose(exchange())) == (True, False, None)
