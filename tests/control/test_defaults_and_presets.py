"""Defaults of entry points that a router leaves out, ready-made middlewares, and the chain that requests pass."""

from __future__ import annotations

from typing import Any

import pytest

from edgerouter.config.decode import decode_dynamic
from edgerouter.config.labels import decode_labels
from edgerouter.config.static import EntryPoint, EntryPointHttp, StaticConfiguration
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Build, Inputs, build
from edgerouter.control.prepare import kinds
from edgerouter.control.presets import SNAPSHOT
from edgerouter.dashboard import shapes

MIDDLEWARES = {
    "auth": {"addPrefix": {"prefix": "/auth"}},
    "log": {"addPrefix": {"prefix": "/log"}},
    "own": {"addPrefix": {"prefix": "/own"}},
    "both": {"chain": {"middlewares": ["auth", "log"]}},
    "bad": {"addPrefix": {}},
}


def built(
    middlewares: list[str],
    defaults: tuple[str, ...] = (),
    demanded: tuple[str, ...] = (),
    entry_points: list[str] | None = None,
) -> Build:
    """A router with these middlewares; entry point ``web`` adds the others, ``bare`` nothing."""
    http = EntryPointHttp(middlewares=demanded, default_middlewares=defaults)
    points = {"web": EntryPoint(address=":80", http=http), "bare": EntryPoint(address=":81")}
    router = {
        "rule": "Host(`a`)",
        "service": "s",
        "middlewares": middlewares,
        "entryPoints": entry_points or ["web"],
    }
    services = {"s": {"loadBalancer": {"servers": [{"url": "http://10.0.0.1"}]}}}
    data = {"http": {"routers": {"r": router}, "services": services, "middlewares": MIDDLEWARES}}
    configuration, _ = decode_dynamic(data, kinds(), "test")
    static = StaticConfiguration(entry_points=points)
    return build(Inputs(static=static, snapshots={"file": Snapshot(configuration=configuration)}))


def steps(made: Build, name: str = "r@file") -> list[str]:
    return list(made.plan.entries[f"router:{name}"].middlewares)  # type: ignore[union-attr]


AUTH, LOG, OWN = "auth@file", "log@file", "own@file"


@pytest.mark.parametrize(
    ("middlewares", "defaults", "demanded", "expected"),
    [
        ([], (AUTH, LOG), (), [AUTH, LOG]),
        (["own"], (AUTH,), (LOG,), [LOG, AUTH, OWN]),
        (["!auth@default"], (AUTH, LOG), (), [LOG]),
        (["!auth"], (AUTH, LOG), (), [LOG]),
        (["!auth@file"], (AUTH, LOG), (), [LOG]),
        (["own", "!auth@default"], (AUTH, LOG), (), [LOG, OWN]),
        (["!*"], (AUTH, LOG), (), []),
        (["!*@default"], (AUTH, LOG), (OWN,), [OWN]),
        (["!auth@other"], (AUTH,), (), [AUTH]),
        (["!auth@default", "auth"], (AUTH, LOG), (), [LOG, AUTH]),
        (["!both@default"], ("both@file",), (), []),
        (["!log@default"], ("both@file",), (), [AUTH]),
        # what must be there stays, whatever a router says
        (["!auth@default"], (), (AUTH,), [AUTH]),
        (["!auth@file"], (LOG,), (AUTH,), [AUTH, LOG]),
        (["!*"], (LOG,), (AUTH,), [AUTH]),
        # a broken default is nobody's matter who leaves it out
        (["!bad@default"], ("bad@file",), (), []),
    ],
)
def test_what_a_router_has(
    middlewares: list[str], defaults: tuple[str, ...], demanded: tuple[str, ...], expected: list[str]
) -> None:
    made = built(middlewares, defaults, demanded)
    assert steps(made) == expected
    assert made.plan.entries["router:r@file"].refused == ""  # type: ignore[union-attr]


def test_a_broken_default_refuses_who_has_it() -> None:
    made = built([], ("bad@file",))
    assert "prefix is empty" in made.routers["r@file"].refused


@pytest.mark.parametrize(
    ("middlewares", "defaults", "demanded", "message"),
    [
        (["!auth@default"], (), (AUTH,), "entry point 'web' demands 'auth@default' of every router: it stays"),
        (["!atuh@default"], (AUTH,), (), "no entry point of the router adds 'atuh@default' by default"),
        (["!auth"], (), (), "no entry point of the router adds 'auth' by default"),
        (["!*"], (), (), None),
    ],
)
def test_what_cannot_be_left_out_is_told(
    middlewares: list[str], defaults: tuple[str, ...], demanded: tuple[str, ...], message: str | None
) -> None:
    made = built(middlewares, defaults, demanded)
    view = made.routers["r@file"]
    assert list(view.errors) == ([message] if message else [])
    assert (view.status, view.refused) == ("warning" if message else "enabled", "")
    hints = [problem.hint for problem in made.problems if problem.path == "http.routers.r.middlewares"]
    assert all(hints) and len(hints) == len(view.errors)


def test_it_counts_for_the_entry_points_that_have_it() -> None:
    made = built(["!auth@default"], (AUTH, LOG), (), ["bare", "web"])
    assert made.routers["r@file"].errors == ()
    assert (steps(made), steps(made, "web-r@file")) == ([], [LOG])


def test_labels_may_not_drop_what_the_owner_demands() -> None:
    labels = {
        "traefik.http.routers.x.rule": "Host(`a`)",
        "traefik.http.routers.x.service": "s",
        "traefik.http.routers.x.middlewares": "!auth@file,!log@default",
        "traefik.http.services.s.loadbalancer.server.url": "http://10.0.0.1",
    }
    found = decode_labels(labels, kinds())
    file, _ = decode_dynamic({"http": {"middlewares": MIDDLEWARES}}, kinds(), "file")
    http = EntryPointHttp(middlewares=(AUTH,), default_middlewares=(LOG,))
    static = StaticConfiguration(entry_points={"web": EntryPoint(address=":80", http=http)})
    snapshots = {"docker": Snapshot(configuration=found.configuration), "file": Snapshot(configuration=file)}
    made = build(Inputs(static=static, snapshots=snapshots, guard=frozenset({"docker"})))
    assert steps(made, "x@docker") == [AUTH]


def test_the_chain_says_where_everything_comes_from() -> None:
    made = built(["own", "!log@default"], ("both@file",), ("request-id@preset",))
    shape = shapes.router(made.routers["r@file"])
    assert shape["middlewares"] == ["request-id@preset", "both@file", "own@file"], "no word of what is left out"
    chain = shape["chain"]
    origin = "default of entryPoint web"
    assert chain == [
        {"name": "request-id@preset", "type": "requestid", "origin": "entryPoint web"},
        {"name": "auth@file", "type": "addprefix", "origin": origin, "via": ["both@file"]},
        {"name": "log@file", "type": "addprefix", "origin": origin, "via": ["both@file"], "leftOut": True},
        {"name": "own@file", "type": "addprefix", "origin": "router"},
    ]
    assert made.middlewares["auth@file"].used_by == ("r@file",)
    assert made.middlewares["both@file"].used_by == ("r@file",)
    assert made.middlewares["log@file"].used_by == ()


def test_a_service_s_own_steps_are_in_the_chain() -> None:
    service = {"loadBalancer": {"servers": [{"url": "http://10.0.0.1"}]}, "middlewares": ["own"]}
    router = {"rule": "Host(`a`)", "service": "s", "middlewares": ["auth"]}
    data: dict[str, Any] = {"http": {"routers": {"r": router}, "services": {"s": service}, "middlewares": MIDDLEWARES}}
    configuration, _ = decode_dynamic(data, kinds(), "test")
    made = build(Inputs(static=StaticConfiguration(), snapshots={"file": Snapshot(configuration=configuration)}))
    origins = [(link.name, link.origin) for link in made.routers["r@file"].chain]
    assert origins == [(AUTH, "router"), (OWN, "service s@file")]


PRESETS = sorted(SNAPSHOT.configuration.http.middlewares)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_work(name: str) -> None:
    made = built([f"{name}@preset"])
    assert [problem.path for problem in made.problems] == ["http.middlewares.bad.addPrefix"]
    assert made.routers["r@file"].errors == ()
    assert steps(made) and made.middlewares[f"{name}@preset"].used_by == ("r@file",)


def test_presets_that_nobody_names_are_nowhere() -> None:
    made = built(["own"])
    assert not [name for name in (*made.plan.entries, *made.middlewares) if "@preset" in name]
    missing = built(["compres@preset"])
    assert "did you mean 'compress'?" in missing.routers["r@file"].refused
