"""What the API says of services below others is what workers do: every tree with every set of servers down."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import msgspec
import pytest

from edgerouter.config.decode import decode_dynamic
from edgerouter.config.static import StaticConfiguration
from edgerouter.contracts.messages import Delta
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Build, Inputs, build
from edgerouter.control.health_trees import with_children
from edgerouter.control.prepare import kinds
from edgerouter.control.view import ServiceView
from edgerouter.dashboard import shapes
from edgerouter.net.pool import TransportSettings
from edgerouter.telemetry.records import SharedRecords
from edgerouter.worker.assemble import Assembly

LEAVES = ("a", "b", "c")
URLS = {(f"{name}@file", f"http://127.0.0.{number}:9") for number, name in enumerate(LEAVES, 1)}
ALL_DOWN = [frozenset(chosen) for count in range(4) for chosen in combinations(sorted(URLS), count)]


def weighted(*children: Any) -> dict[str, Any]:
    return {"weighted": {"services": [{"name": name, "weight": weight} for name, weight in children]}}


TREES: dict[str, dict[str, Any]] = {
    "weighted": {"top": weighted(("a", 1), ("b", 9))},
    "a weight of 0 takes no part": {"top": weighted(("a", 1), ("b", 0))},
    "highestRandomWeight": {"top": {"highestRandomWeight": {"services": [{"name": "a"}, {"name": "b"}]}}},
    "failover": {"top": {"failover": {"service": "a", "fallback": "b"}}},
    "mirroring": {"top": {"mirroring": {"service": "a", "mirrors": [{"name": "b", "percent": 10}]}}},
    "three deep": {
        "top": {"failover": {"service": "middle", "fallback": "c"}},
        "middle": {"mirroring": {"service": "low", "mirrors": [{"name": "c"}]}},
        "low": weighted(("a", 1), ("b", 1)),
    },
    "a child without servers": {
        "top": weighted(("a", 1), ("empty", 1)),
        "empty": {"loadBalancer": {}},
    },
}


def built(services: dict[str, Any]) -> Build:
    leaves = {
        name: {"loadBalancer": {"servers": [{"url": url}]}} for (_, url), name in zip(sorted(URLS), LEAVES, strict=True)
    }
    configuration, problems = decode_dynamic({"http": {"services": {**leaves, **services}}}, kinds(), "file")
    assert problems == []
    return build(Inputs(static=StaticConfiguration(), snapshots={"file": Snapshot(configuration=configuration)}))


def shown(made: Build, down: frozenset[tuple[str, str]]) -> dict[str, ServiceView]:
    """The view with what health checks found."""
    return with_children({name: _with_servers(view, down) for name, view in made.services.items()})


def _with_servers(view: ServiceView, down: frozenset[tuple[str, str]]) -> ServiceView:
    servers = tuple(msgspec.structs.replace(s, up=(view.name, s.url) not in down) for s in view.servers)
    return msgspec.structs.replace(view, servers=servers)


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
async def test_people_are_told_what_workers_do(tree: dict[str, Any]) -> None:
    made = built(tree)
    assembly = Assembly({"": TransportSettings()}, SharedRecords())
    for _ in assembly.note(Delta(generation=1, entries=tuple(made.plan.entries.values()))):
        pass
    await assembly.table()
    current = assembly.services.current
    for down in ALL_DOWN:
        assembly.services.judge(down, URLS - down)
        for view in shown(made, down).values():
            for child in view.children:
                assert child.up == current[child.name].available(), (view.name, child, down)
                assert bool(child.reason) != child.up


async def test_a_parent_says_which_of_its_services_is_down_and_why() -> None:
    views = shown(
        built(TREES["three deep"]), frozenset({("a@file", "http://127.0.0.1:9"), ("b@file", "http://127.0.0.2:9")})
    )
    assert shapes.service(views["low@file"])["serverStatus"] == {"a@file": "DOWN", "b@file": "DOWN"}
    top = shapes.service(views["top@file"])
    assert top["serverStatus"] == {"middle@file": "DOWN", "c@file": "UP"}
    assert top["serverReasons"] == {
        "middle@file": "none of its services can answer: low@file: none of its services can answer: "
        "a@file: its server is down; b@file: its server is down"
    }
    assert "serverReasons" not in shapes.service(views["a@file"])


@pytest.mark.parametrize(
    ("services", "child", "reason"),
    [
        ({"top": weighted(("gone", 1), ("a", 1))}, "gone@file", "there is no such service"),
        ({"top": weighted(("bad", 1)), "bad": {"loadBalancer": {"servers": [{"url": "ftp://x"}]}}}, "bad@file",
         "it is broken: 'ftp://x' is not a server's address"),
        ({"top": weighted(("up", 1)), "up": weighted(("top", 1))}, "up@file",
         "it is broken: service 'top@file' contains itself"),
    ],
)  # fmt: skip
def test_what_is_broken_below(services: dict[str, Any], child: str, reason: str) -> None:
    views = shown(built(services), frozenset())
    found = shapes.service(views["top@file"])
    assert found["serverStatus"][child] == "DOWN" and found["serverReasons"][child].startswith(reason)
