"""``${env:...}`` and ``${file:...}``: what plugins get, what people see, and what labels may not name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgerouter.clients.references import Limits, Resolver, is_outside, references
from edgerouter.config.decode import decode_dynamic
from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import reveal_hook
from edgerouter.contracts.messages import Delta
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build import Build, Inputs, build
from edgerouter.control.prepare import kinds
from edgerouter.net.pool import TransportSettings
from edgerouter.telemetry.records import SharedRecords
from edgerouter.worker.assemble import Assembly

HIDDEN = "hunter2-Tr0ub4dor"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_TEST_KEY", HIDDEN)
    monkeypatch.delenv("EDGE_TEST_NONE", raising=False)


def made(provider: str, middlewares: dict[str, Any], limits: Limits | None = None, more: Any = None) -> Build:
    http = {
        "routers": {"r": {"rule": "Path(`/`)", "service": "s", "middlewares": list(middlewares)}, **(more or {})},
        "middlewares": middlewares,
        "services": {"s": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
    }
    configuration, problems = decode_dynamic({"http": http}, kinds(), provider)
    assert problems == []
    given = limits or Limits()
    snapshots = {provider: Snapshot(configuration=configuration)}
    return build(Inputs(static=StaticConfiguration(), snapshots=snapshots, guard=given.guard, roots=given.roots))


def headers(value: str) -> dict[str, Any]:
    return {"m": {"headers": {"customRequestHeaders": {"Authorization": value}}}}


async def route_of(built: Build) -> Any:
    """The route that a worker makes of it."""
    assembly = Assembly({"": TransportSettings()}, SharedRecords())
    for _ in assembly.note(Delta(generation=1, entries=tuple(built.plan.entries.values()))):
        pass
    await assembly.table()
    (route,) = [made.route for made in assembly.routes.made.values() if made.route.name.startswith("r@")]
    return route


async def test_workers_get_the_value_and_nobody_sees_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{HIDDEN}\n")
    for reference in ("${env:EDGE_TEST_KEY}", f"${{file:{tmp_path}/token}}"):
        built = made("file", headers(f"Bearer {reference}!"))
        plan = msgspec.json.encode(list(built.plan.entries.values()), enc_hook=reveal_hook).decode()
        shown = f"{plan}{built.problems}{built.middlewares}{built.routers}"
        assert HIDDEN not in shown and reference in shown
        route = await route_of(built)
        assert route.refused == ""
        edit = route.steps[0]._request[0]
        assert (edit.name, edit.value) == ("Authorization", f"Bearer {HIDDEN}!")


async def test_secrets_may_be_references() -> None:
    built = made("file", {"m": {"apiKey": {"keys": ["ann:${env:EDGE_TEST_KEY}"]}}})
    route = await route_of(built)
    assert list(route.steps[0]._keys.all().values()) == ["ann"]
    assert HIDDEN not in repr(built)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("${env:EDGE_TEST_NONE}", "the router's environment has no EDGE_TEST_NONE"),
        ("${file:/nonexistent/x}", "${file:/nonexistent/x} cannot be read: No such file or directory"),
        ("${file:/}", "${file:/} is no ordinary file"),
        ("${file:/dev/zero}", "is no ordinary file"),
    ],
)
async def test_what_is_not_there_refuses_its_router_only(reference: str, message: str) -> None:
    other = {"good": {"rule": "Path(`/x`)", "service": "s"}}
    built = made("file", headers(reference), more=other)
    (problem,) = [problem for problem in built.problems if problem.path.startswith("http.middlewares.")]
    assert message in problem.message and problem.path == "http.middlewares.m.headers"
    assert message in built.plan.entries["router:r@file"].refused  # type: ignore[union-attr]
    assert built.routers["good@file"].status == "enabled"


def test_what_a_plugin_says_of_a_value_is_masked() -> None:
    built = made("file", {"m": {"redirectRegex": {"regex": "(${env:EDGE_TEST_KEY}", "replacement": "x"}}})
    (problem,) = [problem for problem in built.problems if problem.path.startswith("http.middlewares.")]
    assert "not a Go regular expression" in problem.message and "***" in problem.message
    assert HIDDEN not in repr(built)


LABELS = Limits(frozenset({"docker"}), {"docker": ""})


@pytest.mark.parametrize(
    ("limits", "reference", "message"),
    [
        (LABELS, "${env:EDGE_TEST_KEY}", "labels may not use the environment: ${env:EDGE_TEST_KEY}"),
        (LABELS, "${file:FOLDER/x}", "labels may not use files of the router's machine"),
        (Limits(frozenset({"docker"}), {"docker": "FOLDER"}), "${env:EDGE_TEST_KEY}", "may not use the environment"),
        (Limits(frozenset(), {"docker": ""}), "${file:FOLDER/x}", "may not use files"),
        (Limits(frozenset(), {"docker": "FOLDER"}), "${file:FOLDER/../FOLDER/x}", "may not use files"),
        (Limits(frozenset(), {"docker": "FOLDER"}), "${file:FOLDERx}", "may not use files"),
        (Limits(frozenset(), {"docker": "FOLDER"}), "${file:FOLDER/x}", ""),
        (Limits(frozenset(), {"docker": "FOLDER"}), "${env:EDGE_TEST_KEY}", ""),
        (LABELS, "$${env:EDGE_TEST_KEY}", ""),
    ],
)
def test_labels(limits: Limits, reference: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(HIDDEN)
    folder = str(tmp_path)
    roots = {name: root.replace("FOLDER", folder) for name, root in limits.roots.items()}
    built = made("docker", headers(reference.replace("FOLDER", folder)), Limits(limits.guard, roots))
    said = [problem for problem in built.problems if problem.path.startswith("http.middlewares.")]
    assert (message in said[0].message and said[0].hint.startswith("set providers.docker.")) if message else not said
    assert HIDDEN not in repr(built)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("$1 ${name} ${1}", "$1 ${name} ${1}"),
        ("${env:EDGE_TEST_KEY}", HIDDEN),
        ("a${env:EDGE_TEST_KEY}b${env:EDGE_TEST_KEY}", f"a{HIDDEN}b{HIDDEN}"),
        ("$${env:EDGE_TEST_KEY}", "${env:EDGE_TEST_KEY}"),
        ("${ENV:EDGE_TEST_KEY}", "${ENV:EDGE_TEST_KEY}"),
        ("${env:A\nB}", "${env:A\nB}"),
        ({"a": ["${env:EDGE_TEST_KEY}", 1, None]}, {"a": [HIDDEN, 1, None]}),
    ],
)
def test_the_text(text: Any, value: Any) -> None:
    assert Resolver().resolve(text) == value


def test_references_are_found_at_any_depth() -> None:
    assert list(references({"a": ["${env:A}", {"b": "x${file:/b}${env:C}"}], "c": 1, "d": "$${env:D}"})) == [
        ("env", "A"),
        ("file", "/b"),
        ("env", "C"),
    ]


def test_a_value_is_read_as_it_stands_but_for_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("${env:HOME}\nb\r\n")
    assert Resolver().resolve(f"${{file:{tmp_path}/x}}") == "${env:HOME}\nb", "values are no references again"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is no ordinary file"):
        Resolver().resolve(f"${{file:{tmp_path}/pipe}}")


@pytest.mark.parametrize(
    ("file", "outside"),
    [("/a/b", False), ("/a", False), ("/ab", True), ("/a/../c", True), ("a/b", True), ("", True), ("/", True)],
)
def test_what_is_below_a_folder(file: str, outside: bool) -> None:
    assert is_outside(file, "/a") == outside
    assert is_outside(file, "")


def test_a_middleware_of_another_provider_is_pointed_to() -> None:
    def one(names: dict[str, Any], used: str) -> Snapshot:
        router = {"r": {"rule": "Path(`/`)", "service": "s", "middlewares": [used]}} if used else {}
        services = {"s": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}}
        http = {"middlewares": names, "routers": router, "services": services}
        configuration, problems = decode_dynamic({"http": http}, kinds(), "x")
        assert problems == []
        return Snapshot(configuration=configuration)

    strip = {"auth": {"stripPrefix": {"prefixes": ["/a"]}}}
    for where, hint in (
        (("file",), "write auth@file"),
        (("file", "consul"), "write auth@consul or auth@file"),
    ):
        snapshots = {"docker": one({}, "auth"), **{name: one(strip, "") for name in where}}
        built = build(Inputs(static=StaticConfiguration(), snapshots=snapshots))
        (problem,) = [found for found in built.problems if found.path == "http.routers.r.middlewares"]
        names = " and ".join(sorted(where))
        assert problem.message == (
            f"middleware 'auth@docker' does not exist; there is one of that name in the provider {names}"
        )
        assert problem.hint == hint
        assert problem.message in built.plan.entries["router:r@docker"].refused  # type: ignore[union-attr]
