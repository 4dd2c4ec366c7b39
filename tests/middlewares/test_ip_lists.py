"""ipAllowList, ipDenyList, ipWhiteList: who may pass, and every way to lie about an address."""

from __future__ import annotations

from typing import Any

import pytest
from steps import ask, make

from edgerouter.config.decode import decode_dynamic
from edgerouter.config.static import StaticConfiguration
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Inputs, build
from edgerouter.control.prepare import kinds

OFFICE = ["10.0.0.0/8", "192.168.1.7", "2001:db8::/32"]


def status(kind: str, options: dict[str, Any], peer: str, *forwarded: str) -> int:
    """What the client gets; 200: passed."""
    exchange = ask()
    for line in forwarded:
        exchange.request.headers.add("X-Forwarded-For", line)
    exchange.client_address = peer
    answer: Any = make(kind, options).on_request(exchange)
    if answer is None:
        assert exchange.cause == ""
        return 200
    assert exchange.cause == "ADDRESS_REFUSED"
    assert exchange.detail.startswith(f"{kind}: ")
    return int(answer.status)


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("192.168.1.7", True),
        ("192.168.1.8", False),
        ("2001:db8::1", True),
        ("2001:DB8:0:0::1", True),
        ("2001:db9::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("::10.1.2.3", False),
        ("", False),
        ("unix", False),
    ],
)
def test_the_peer(peer: str, allowed: bool) -> None:
    assert status("ipAllowList", {"sourceRange": OFFICE}, peer) == (200 if allowed else 403)
    assert status("ipWhiteList", {"sourceRange": OFFICE}, peer) == (200 if allowed else 403)
    unknown = peer in ("", "unix")
    assert status("ipDenyList", {"sourceRange": OFFICE}, peer) == (403 if allowed or unknown else 200)


@pytest.mark.parametrize(
    ("strategy", "forwarded", "allowed"),
    [
        # the field is the client's own as far as no trusted proxy wrote it: only the right end counts
        ({}, ["10.0.0.1"], False),
        ({"depth": 1}, ["10.0.0.1"], True),
        ({"depth": 1}, ["10.0.0.1, 8.8.8.8"], False),
        ({"depth": 2}, ["10.0.0.1, 8.8.8.8"], True),
        ({"depth": 2}, ["10.0.0.1, 6.6.6.6, 8.8.8.8"], False),
        ({"depth": 1}, [], False),
        ({"depth": 3}, ["10.0.0.1, 10.0.0.1"], False),
        # several lines are one list
        ({"depth": 1}, ["10.0.0.1", "8.8.8.8"], False),
        ({"depth": 2}, ["10.0.0.1", "8.8.8.8"], True),
        ({"depth": 1}, ["10.0.0.1,"], False),
        ({"depth": 1}, ["  10.0.0.1  "], True),
        # what is no address is in no range
        ({"depth": 1}, ["10.0.0.1:80"], False),
        ({"depth": 1}, ["010.0.0.1"], False),
        ({"depth": 1}, ["0x0a.0.0.1"], False),
        ({"depth": 1}, ["10.1"], False),
        ({"depth": 1}, ["167772161"], False),
        ({"depth": 1}, ["10.0.0.1 10.0.0.1"], False),
        ({"depth": 1}, ["10.0.0.1%8.8.8.8"], False),
        ({"depth": 1}, ['"10.0.0.1"'], False),
        ({"depth": 1}, ["\xb110.0.0.1"], False),
        ({"depth": 1}, ["::ffff:10.0.0.1"], True),
        ({"excludedIPs": ["8.8.8.8"]}, ["10.0.0.1, 8.8.8.8"], True),
        ({"excludedIPs": ["8.8.8.8"]}, ["10.0.0.1, 7.7.7.7, 8.8.8.8"], False),
        ({"excludedIPs": ["8.8.8.0/24"]}, ["6.6.6.6, 10.0.0.1, , 8.8.8.8, 8.8.8.9"], True),
        ({"excludedIPs": ["8.8.8.8"]}, ["8.8.8.8"], False),
        ({"excludedIPs": ["8.8.8.8"]}, [], False),
        ({"excludedIPs": ["8.8.8.8"]}, ["10.0.0.1, rubbish, 8.8.8.8"], False),
        ({"depth": 1, "excludedIPs": ["8.8.8.8"]}, ["10.0.0.1, 8.8.8.8"], False),
        ({"depth": 1, "ipv6Subnet": 32}, ["2001:db8:1:2::3"], True),
        ({"depth": 1, "ipv6Subnet": 16}, ["2001:db8:1:2::3"], False),
        ({"depth": 1, "ipv6Subnet": 64}, ["10.0.0.1"], True),
    ],
)
def test_the_strategy(strategy: dict[str, Any], forwarded: list[str], allowed: bool) -> None:
    options = {"sourceRange": OFFICE, "ipStrategy": strategy}
    assert status("ipAllowList", options, "9.9.9.9", *forwarded) == (200 if allowed else 403)


@pytest.mark.parametrize(
    ("strategy", "forwarded", "status_"),
    [
        ({"depth": 1}, ["8.8.8.8"], 200),
        ({"depth": 1}, ["10.0.0.1"], 403),
        ({"depth": 1}, [], 403),
        ({"depth": 2}, ["8.8.8.8"], 403),
        ({"depth": 1}, ["who knows"], 403),
    ],
)
def test_who_hides_from_a_deny_list_is_refused(strategy: dict[str, Any], forwarded: list[str], status_: int) -> None:
    assert status("ipDenyList", {"sourceRange": OFFICE, "ipStrategy": strategy}, "9.9.9.9", *forwarded) == status_


@pytest.mark.parametrize("kind", ["ipAllowList", "ipDenyList"])
def test_the_answer(kind: str) -> None:
    options = {"sourceRange": ["0.0.0.0/0"] if kind == "ipDenyList" else ["10.0.0.0/8"], "rejectStatusCode": 404}
    exchange = ask()
    exchange.client_address = "1.2.3.4"
    answer: Any = make(kind, options).on_request(exchange)
    assert (answer.status, answer.body.take()) == (404, b"Not Found")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("ipAllowList", {}, "ipAllowList: sourceRange is empty; write addresses or ranges"),
        ("ipDenyList", {}, "ipDenyList: sourceRange is empty"),
        ("ipWhiteList", {}, "ipWhiteList: sourceRange is empty"),
        ("ipAllowList", {"sourceRange": ["10.0.0.0/33"]}, "sourceRange: '10.0.0.0/33' is no address and no range"),
        ("ipAllowList", {"sourceRange": ["example.com"]}, "sourceRange: 'example.com' is no address"),
        ("ipAllowList", {"sourceRange": OFFICE, "rejectStatusCode": 999}, "rejectStatusCode: 999 is no status"),
        ("ipAllowList", {"sourceRange": OFFICE, "ipStrategy": {"depth": -1}}, "ipStrategy.depth: -1 is less than 0"),
        ("ipAllowList", {"sourceRange": OFFICE, "ipStrategy": {"ipv6Subnet": 129}}, "ipv6Subnet: 129 is no number"),
        (
            "ipAllowList",
            {"sourceRange": OFFICE, "ipStrategy": {"excludedIPs": ["x"]}},
            "excludedIPs: 'x' is no address",
        ),
    ],
)
def test_bad_options(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make(kind, options)
    assert message in str(caught.value)


def test_the_old_name_works_with_a_warning() -> None:
    data = {
        "http": {
            "routers": {"r": {"rule": "Host(`a`)", "service": "s", "middlewares": ["old"]}},
            "middlewares": {"old": {"ipWhiteList": {"sourceRange": OFFICE}}},
            "services": {"s": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
        }
    }
    configuration, problems = decode_dynamic(data, kinds(), "f.yml")
    built = build(Inputs(static=StaticConfiguration(), snapshots={"file": Snapshot(configuration=configuration)}))
    assert problems == []
    assert [(p.path, p.message, p.severity) for p in built.problems] == [
        ("http.middlewares.old.ipWhiteList", "ipWhiteList is the old name; write ipAllowList", "warning")
    ]
    assert built.routers["r@file"].status == "enabled"
