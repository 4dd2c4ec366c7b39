"""Sticky cookies: names, values, attributes, old forms, forgeries, and clients whose server is gone."""

from __future__ import annotations

from typing import Any

import pytest
from services.house import House, exchange, server

from edgerouter.contracts.plugins import Server, Service
from edgerouter.http.exchange import Exchange
from edgerouter.http.headers import Headers
from edgerouter.http.message import Response
from edgerouter.services._sticky import cookie_name, old_value_of, value_of

KEY = "0123456789abcdef0123456789abcdef"
A = "http://a:80"


def sticky(servers: list[Server] | None = None, strategy: str = "wrr", **cookie: Any) -> Service:
    options = {"sticky": {"cookie": {"name": "c", **cookie}}, "strategy": strategy}
    three = [server("a"), server("b"), server("c")] if servers is None else servers
    made: Service = House().make("shop@file", "loadBalancer", options, three)
    return made


def visit(service: Service, cookie: str = "") -> tuple[str, str]:
    """One exchange through the service: the server's name, and the Set-Cookie value that came back."""
    asked = exchange(cookie)
    chosen = service.choose(asked)
    return "" if chosen is None else chosen.host, set_cookie(service, asked)


def set_cookie(service: Service, asked: Exchange, cause: str = "") -> str:
    asked.response = Response(200, Headers())
    asked.cause = cause
    for step in service.steps or []:
        step.on_response(asked)
    return asked.response.headers.get("Set-Cookie") or ""


@pytest.mark.parametrize(
    ("given", "service", "expected"),
    [
        ("", "shop@file", "_8705d"),
        ("lb", "shop@file", "lb"),
        ("my cookie;x=1", "shop@file", "my_cookie_x_1"),
        ("grüße", "shop@file", "gr__e"),
    ],
)
def test_names(given: str, service: str, expected: str) -> None:
    assert cookie_name(given, service) == expected


def test_values_are_traefiks() -> None:
    assert value_of(A) == "677a0eb9011bcd58"
    assert old_value_of("a") == "af63dc4c8601ec8c", "FNV-1a's own test vector"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "; Path=/"),
        ({"path": ""}, ""),
        ({"path": "/shop", "domain": "a.test"}, "; Path=/shop; Domain=a.test"),
        ({"maxAge": 60}, "; Path=/; Max-Age=60"),
        ({"maxAge": -1}, "; Path=/; Max-Age=0"),
        ({"httpOnly": True, "secure": True}, "; Path=/; HttpOnly; Secure"),
        ({"sameSite": "lax"}, "; Path=/; SameSite=Lax"),
        ({"sameSite": "Strict"}, "; Path=/; SameSite=Strict"),
        ({"sameSite": "none", "secure": True}, "; Path=/; Secure; SameSite=None"),
    ],
)
def test_attributes(options: dict[str, Any], expected: str) -> None:
    host, cookie = visit(sticky([server("a")], **options))
    assert (host, cookie) == ("a", f"c={value_of(A)}{expected}")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sameSite": "maybe"}, "sticky.cookie.sameSite: 'maybe' is none of none, lax, strict"),
        ({"path": "/;Secure"}, "sticky.cookie.path"),
        ({"domain": "a\r\nSet-Cookie: x"}, "sticky.cookie.domain"),
        ({"key": "short"}, "sticky.cookie.key: write at least 16 characters"),
    ],
)
def test_what_no_browser_takes_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        sticky(**options)


@pytest.mark.parametrize("options", [{}, {"key": KEY}])
@pytest.mark.parametrize("strategy", ["wrr", "p2c", "hrw", "leasttime"])
def test_a_client_stays_and_is_not_told_again(options: dict[str, Any], strategy: str) -> None:
    made = sticky(strategy=strategy, **options)
    first, cookie = visit(made)
    again = [visit(made, f"other=1; {cookie.partition(';')[0]}") for _ in range(20)]
    assert again == [(first, "")] * 20
    assert visit(sticky(strategy=strategy, **options), cookie.partition(";")[0]) == (first, ""), "after a restart too"


@pytest.mark.parametrize(
    "value", [old_value_of("http://b:80"), "http://b:80", '"http://b:80"'], ids=["fnv", "1.x", "quoted"]
)
def test_old_values_are_read_and_written_anew(value: str) -> None:
    for _ in range(5):
        host, cookie = visit(sticky(), f"c={value}")
        assert (host, cookie.partition(";")[0]) == ("b", f"c={value_of('http://b:80')}")


@pytest.mark.parametrize(
    "value",
    [
        value_of("http://b:80"),
        old_value_of("http://b:80"),
        "http://b:80",
        f"{value_of('http://b:80')}.",
        f"{value_of('http://b:80')}.AAAAAAAAAAAAAAAAAAAA",
        "",
        "=",
        "c" * 5000,
    ],
)
def test_a_forged_value_is_ignored(value: str) -> None:
    made = sticky(key=KEY)
    hosts = [visit(made, f"c={value}")[0] for _ in range(3)]
    assert sorted(hosts) == ["a", "b", "c"], "each takes its turn, as without a cookie"


def test_a_signature_is_for_one_service_and_one_key() -> None:
    def cookie(name: str, key: str) -> str:
        options = {"sticky": {"cookie": {"name": "c", "key": key}}}
        return visit(House().make(name, "loadBalancer", options, [server("a")]))[1]

    values = {cookie("shop@file", KEY), cookie("other@file", KEY), cookie("shop@file", KEY[::-1])}
    assert len(values) == 3 and cookie("shop@file", KEY) in values


def test_unsigned_values_count_while_clients_still_have_them() -> None:
    host, cookie = visit(sticky(key=KEY, acceptUnsigned=True), f"c={value_of('http://b:80')}")
    assert host == "b" and len(cookie.partition(";")[0]) == len("c=") + 16 + 1 + 20


def test_whose_server_is_gone_or_down_gets_another_and_a_new_cookie() -> None:
    a, b = server("a"), server("b")
    made = sticky([a, b])
    a.up = False
    made.refresh()
    host, cookie = visit(made, f"c={value_of(A)}")
    assert (host, cookie.partition(";")[0]) == ("b", f"c={value_of('http://b:80')}")
    host, _ = visit(sticky([server("x")]), f"c={value_of(A)}")
    assert host == "x"
    a.up, a.weight = True, 0
    made.refresh()
    assert visit(made, f"c={value_of(A)}")[0] == "b", "weight 0 means nobody"


def test_a_fenced_server_keeps_its_own_clients_only() -> None:
    a, b = server("a"), server("b")
    a.fenced = True
    made = sticky([a, b])
    assert {visit(made)[0] for _ in range(5)} == {"b"}
    assert visit(made, f"c={value_of(A)}") == ("a", "")


def test_a_tied_client_whose_server_fails_is_sent_to_another() -> None:
    made = sticky()
    asked = exchange(f"c={value_of(A)}")
    tried = [made.choose(asked), made.choose(asked), made.choose(asked)]
    assert tried[0] is not None and tried[0].host == "a"
    assert {s.host for s in tried[1:] if s is not None} & {"b", "c"}
    assert set_cookie(made, asked).startswith("c=")


def test_no_cookie_for_a_failure() -> None:
    made = sticky()
    asked = exchange()
    made.choose(asked)
    assert set_cookie(made, asked, "CONNECT_REFUSED") == ""


def shop(house: House, **cookie: Any) -> Service:
    options = {"services": [{"name": "v1"}, {"name": "v2@docker"}], "sticky": {"cookie": {"name": "r", **cookie}}}
    made: Service = house.make("shop@file", "weighted", options)
    return made


def test_weighted_and_the_load_balancer_below_have_a_cookie_each() -> None:
    house = House()
    inner = {"sticky": {"cookie": {"name": "s"}}}
    for name in ("v1@file", "v2@docker"):
        house.make(name, "loadBalancer", inner, [server(f"{name[:2]}-{n}") for n in "abc"])
    made = shop(house)
    asked = exchange()
    leaf = made.below(asked)
    chosen = leaf.choose(asked)
    assert chosen is not None
    outer_cookie, inner_cookie = set_cookie(made, asked), set_cookie(leaf, asked)
    assert outer_cookie == f"r={value_of('v1' if leaf.name == 'v1@file' else 'v2@docker')}; Path=/"
    assert inner_cookie == f"s={value_of(chosen.url)}; Path=/"
    both = "; ".join(c.partition(";")[0] for c in (outer_cookie, inner_cookie))
    for _ in range(9):
        again = exchange(both)
        assert made.below(again) is leaf
        assert leaf.choose(again) is chosen
        assert set_cookie(made, again) == set_cookie(leaf, again) == ""


def test_a_child_that_cannot_answer_is_left_and_come_back_to() -> None:
    house = House()
    a = server("a")
    one = house.make("v1@file", "loadBalancer", {}, [a])
    two = house.make("v2@docker", "loadBalancer", {}, [server("b")])
    made = shop(house)
    a.up = False
    one.refresh()
    asked = exchange(f"r={value_of('v1')}")
    assert made.below(asked) is two
    assert set_cookie(made, asked) == f"r={value_of('v2@docker')}; Path=/"
    a.up = True
    one.refresh()
    assert made.below(exchange(f"r={value_of('v1')}")) is one
    assert made.below(exchange(f"r={value_of('v1@file')}")) is one, "a name with its provider is read too"
