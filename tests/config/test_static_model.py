"""The static model's questions: addresses, effective and default entry points."""

from __future__ import annotations

import pytest

from edgerouter.config.static import (
    Address,
    Api,
    EntryPoint,
    Metrics,
    Ping,
    Prometheus,
    StaticConfiguration,
    default_entry_points,
    effective_entry_points,
    parse_address,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":80", Address("", 80)),
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("[::1]:443", Address("::1", 443)),
        ("[::1]:443/tcp", Address("::1", 443)),
        (":53/udp", Address("", 53, "udp")),
        (":53/UDP", Address("", 53, "udp")),
        ("localhost:0", Address("localhost", 0)),
    ],
)
def test_address(text: str, expected: Address) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("80", "[host]:port"),
        ("", "[host]:port"),
        (":", "[host]:port"),
        (":http", "[host]:port"),
        (":-1", "[host]:port"),
        (":٣", "[host]:port"),
        (":65536", "0 to 65535"),
        ("::1:80", "brackets"),
        ("[127.0.0.1]:80", "brackets"),
        ("a b:80", "brackets"),
        (":80/quic", "/tcp or /udp"),
        (":80/", "/tcp or /udp"),
    ],
)
def test_bad_address(text: str, part: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert part in str(caught.value)


OFF = Metrics(prometheus=None)


@pytest.mark.parametrize(
    ("static", "expected"),
    [
        (StaticConfiguration(), {"http": ":80", "traefik": ":8080"}),
        (StaticConfiguration(ping=None), {"http": ":80", "traefik": ":8080"}),
        (StaticConfiguration(metrics=OFF), {"http": ":80", "traefik": ":8080"}),
        (StaticConfiguration(ping=None, metrics=OFF), {"http": ":80"}),
        (StaticConfiguration(ping=None, metrics=OFF, api=Api()), {"http": ":80"}),
        (StaticConfiguration(ping=None, metrics=OFF, api=Api(insecure=True)), {"http": ":80", "traefik": ":8080"}),
        (StaticConfiguration(ping=Ping(manual_routing=True), metrics=OFF), {"http": ":80"}),
        (
            StaticConfiguration(
                entry_points={"web": EntryPoint(address=":1")},
                ping=Ping(entry_point="web"),
                metrics=Metrics(prometheus=Prometheus(entry_point="web")),
            ),
            {"web": ":1"},
        ),
        (StaticConfiguration(entry_points={"traefik": EntryPoint(address=":9")}), {"traefik": ":9"}),
    ],
)
def test_effective_entry_points(static: StaticConfiguration, expected: dict[str, str]) -> None:
    assert {name: point.address for name, point in effective_entry_points(static).items()} == expected


def test_default_entry_points() -> None:
    points = {"web": EntryPoint(address=":1"), "dns": EntryPoint(address=":53/udp"), "b": EntryPoint(address=":2")}
    assert default_entry_points(StaticConfiguration(entry_points=points)) == ("web", "b")
    points["b"] = EntryPoint(address=":2", as_default=True)
    assert default_entry_points(StaticConfiguration(entry_points=points)) == ("b",)
