"""Containers -> snapshot, as tables: labels and states in, routers, servers, verdicts and problems out. No daemon."""

from __future__ import annotations

from typing import Any

import pytest

from edgerouter.contracts.snapshot import ProviderContext, Snapshot, Workload
from edgerouter.providers._docker_decide import decide, item_name
from edgerouter.providers._docker_facts import Attachment, Binding, Container, Place
from edgerouter.providers._label_options import settings_of
from edgerouter.providers.docker import DockerOptions
from edgerouter.registry import load

MACVLAN = Attachment(name="mv", id="n-mv", ip="192.0.2.9", driver="macvlan")
BRIDGE = Attachment(name="bridge", id="n-bridge", ip="172.17.0.2", driver="bridge")
EDGE = Attachment(name="edge", id="n-edge", ip="10.1.0.2", driver="bridge")
OVERLAY = Attachment(name="mesh", id="n-mesh", ip="10.0.9.2", driver="overlay")
IPV6 = Attachment(name="six", id="n-six", ip6="fd00::2", driver="bridge")
HOST = Place()
INSIDE = Place(in_container=True, networks=frozenset({"n-edge"}), host_address="10.1.0.1")


def context() -> ProviderContext:
    kinds = {
        room: {name: plugin.options for name, plugin in load(room).items()} for room in ("services", "middlewares")
    }
    return ProviderContext(name="docker", kinds=kinds)


def box(name: str = "web", labels: dict[str, str] | None = None, **facts: Any) -> Container:
    """A running container on the default bridge that exposes port 80; its id is its name."""
    given = {"attachments": (BRIDGE,), "ports": (80,), "created": "2026-01-01T00:00:00", **facts}
    return Container(id=given.pop("id", name), name=name, labels=labels or {}, **given)


def snapshot(*containers: Container, place: Place = HOST, **options: Any) -> Snapshot:
    return decide(containers, place, settings_of(DockerOptions(**options), context()))


def servers(found: Snapshot, service: str = "web") -> list[tuple[str, int]]:
    return [(server.url, server.weight) for server in found.configuration.http.services[service].options.servers]


def workload(found: Snapshot, name: str = "web") -> Workload:
    return next(workload for workload in found.workloads if workload.name == name)


# -- what labels alone make of a container (synthesis) ----------------------------------------------------------------

R = "edgerouter.http.routers."
S = "edgerouter.http.services."
SYNTHESIS = [
    ("nothing said: one router, one service", {}, {"web": ("Host(`web`)", "web")}, {"web": 80}),
    ("a rule only", {R + "a.rule": "Host(`a`)"}, {"a": ("Host(`a`)", "web")}, {"web": 80}),
    ("the other prefix", {"traefik.http.routers.a.rule": "Host(`a`)"}, {"a": ("Host(`a`)", "web")}, {"web": 80}),
    ("a service only", {S + "s.loadbalancer.server.port": "81"}, {"s": ("Host(`web`)", "s")}, {"s": 81}),
    ("port for the container", {"traefik.port": "3000"}, {"web": ("Host(`web`)", "web")}, {"web": 3000}),
    (
        "a service's port is nearer than the container's",
        {"edgerouter.port": "3000", S + "s.loadbalancer.server.port": "81"},
        {"s": ("Host(`web`)", "s")},
        {"s": 81},
    ),
    (
        "two services, router says which",
        {
            S + "s.loadbalancer.server.port": "81",
            S + "t.loadbalancer.server.port": "82",
            R + "r.rule": "Host(`r`)",
            R + "r.service": "t",
        },
        {"r": ("Host(`r`)", "t")},
        {"s": 81, "t": 82},
    ),
    (
        "two services, no router",
        {S + "s.loadbalancer.server.port": "81", S + "t.loadbalancer.server.port": "82"},
        {},
        {"s": 81, "t": 82},
    ),
    (
        "two services, router does not say which",
        {S + "s.loadbalancer.server.port": "81", S + "t.loadbalancer.server.port": "82", R + "r.rule": "Host(`r`)"},
        {},
        {"s": 81, "t": 82},
    ),
    ("router of another's service", {R + "r.service": "x@file"}, {"r": ("Host(`web`)", "x@file")}, {"web": 80}),
    (
        "tcp only: no http objects are invented",
        {"edgerouter.tcp.routers.t.rule": "HostSNI(`*`)", "edgerouter.tcp.services.t.loadbalancer.server.port": "53"},
        {},
        {},
    ),
    ("a router that cannot be read is not replaced by an invented one", {R + "r.priority": "high"}, {}, {"web": 80}),
]


@pytest.mark.parametrize(("labels", "routers", "ports"), [row[1:] for row in SYNTHESIS], ids=[r[0] for r in SYNTHESIS])
def test_synthesis(labels: dict[str, str], routers: dict[str, tuple[str, str]], ports: dict[str, int]) -> None:
    http = snapshot(box(labels=labels)).configuration.http
    assert {name: (router.rule, router.service) for name, router in http.routers.items()} == routers
    found = {name: [server.url for server in service.options.servers] for name, service in http.services.items()}
    assert found == {name: [f"http://172.17.0.2:{port}"] for name, port in ports.items()}


def test_priority_for_the_container_is_a_default() -> None:
    labels = {
        "edgerouter.priority": "10",
        R + "a.rule": "Path(`/a`)",
        R + "b.rule": "Path(`/b`)",
        R + "b.priority": "3",
    }
    routers = snapshot(box(labels=labels)).configuration.http.routers
    assert {name: router.priority for name, router in routers.items()} == {"a": 10, "b": 3}


@pytest.mark.parametrize(
    ("label", "value", "url"),
    [
        ("scheme", "https", "https://172.17.0.2:80"),
        ("url", "http://10.9.9.9:1234", "http://10.9.9.9:1234"),
        ("weight", "7", "http://172.17.0.2:80"),
    ],
)
def test_server_labels(label: str, value: str, url: str) -> None:
    found = snapshot(box(labels={f"{S}web.loadbalancer.server.{label}": value}))
    assert servers(found) == [(url, 7 if label == "weight" else 1)]


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("/odd_name.1", {}, "odd-name-1"),
        ("shop_web_1", {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}, "web-shop"),
        ("shop_web_1", {"com.docker.compose.project": "shop"}, "shop-web-1"),
    ],
)
def test_item_names(name: str, labels: dict[str, str], expected: str) -> None:
    assert item_name(box(name, labels)) == expected


# -- verdicts ---------------------------------------------------------------------------------------------------------

ON = {"edgerouter.enable": "true"}
VERDICTS = [
    ("routed", box(), {}, HOST, "ROUTED", ""),
    ("switched off", box(labels={"traefik.enable": "false"}), {}, HOST, "NOT_ENABLED", "edgerouter.enable=true"),
    ("nobody said", box(), {"exposed_by_default": False}, HOST, "NOT_ENABLED", "add the label edgerouter.enable=true"),
    ("enabled", box(labels=ON), {"exposed_by_default": False}, HOST, "ROUTED", ""),
    ("enable is no boolean", box(labels={"edgerouter.enable": "si"}), {}, HOST, "BAD_LABEL", "edgerouter.enable=true"),
    ("constraints", box(), {"constraints": "Label(`a`, `b`)"}, HOST, "CONSTRAINTS", "constraints asks for"),
    ("stopped", box(state="exited", exit_code="137"), {}, HOST, "NOT_RUNNING", "docker start web"),
    ("paused", box(state="paused"), {}, HOST, "NOT_RUNNING", "docker start web"),
    ("leaving", box(leaving=True), {}, HOST, "STOPPING", ""),
    ("starting", box(health="starting"), {}, HOST, "STARTING", ""),
    ("unhealthy", box(health="unhealthy", last_check="no db"), {}, HOST, "UNHEALTHY", "docker inspect"),
    (
        "no port",
        box(labels={R + "a.rule": "Path(`/`)"}, ports=()),
        {},
        HOST,
        "NO_PORT",
        "add the label edgerouter.port=",
    ),
    ("a job without a port", box(ports=()), {}, HOST, "NO_PORT", "the label edgerouter.port="),
    ("overlay, from the host", box(attachments=(OVERLAY,)), {}, HOST, "NO_SHARED_NETWORK", "docker network connect"),
    ("another network", box(), {}, INSIDE, "NO_SHARED_NETWORK", "docker network connect bridge"),
    ("the router's network", box(attachments=(BRIDGE, EDGE)), {}, INSIDE, "ROUTED", ""),
    ("no network", box(attachments=(), network_mode="none"), {}, HOST, "NO_SHARED_NETWORK", "docker network connect"),
    ("bad label", box(labels={R + "web.rulle": "Path(`/`)"}), {}, HOST, "BAD_LABEL", "rule"),
    ("internal", box(labels={R + "d.service": "api@internal"}), {}, HOST, "BAD_LABEL", "allowInternal=true"),
    (
        "two services, router says not which",
        box(
            labels={
                S + "s.loadbalancer.server.port": "1",
                S + "t.loadbalancer.server.port": "2",
                R + "r.rule": "Path(`/`)",
            }
        ),
        {},
        HOST,
        "NO_ROUTER",
        "add http.routers.r.service=s",
    ),
    (
        "only tcp",
        box(labels={"edgerouter.tcp.routers.t.rule": "HostSNI(`*`)"}),
        {},
        HOST,
        "NO_ROUTER",
        "edgerouter.http.routers.NAME.rule",
    ),
]


@pytest.mark.parametrize(
    ("container", "options", "place", "code", "fix"), [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS]
)
def test_every_container_gets_a_verdict(
    container: Container, options: dict[str, Any], place: Place, code: str, fix: str
) -> None:
    found = workload(snapshot(container, place=place, **options))
    assert found.verdict == code, found
    assert fix in found.fix
    assert (found.reason == "") == (code == "ROUTED")


def test_ten_broken_containers_leave_good_ones_alone() -> None:
    broken = [msg(row[1], f"broken{number}") for number, row in enumerate(VERDICTS) if row[2] == {} and row[3] == HOST]
    good = [box(f"good{number}") for number in range(10)]
    found = snapshot(*broken, *good)
    assert {one.verdict for one in found.workloads if one.name.startswith("good")} == {"ROUTED"}
    assert {f"good{number}" for number in range(10)} <= set(found.configuration.http.routers)
    assert len(found.workloads) == len(broken) + 10


def msg(container: Container, name: str) -> Container:
    return Container(**{**{f: getattr(container, f) for f in container.__struct_fields__}, "id": name, "name": name})


# -- sleeping, replacement, merging -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"state": "exited", "exit_code": "0"}, "container web is exited with code 0"),
        ({"state": "created"}, "container web is created"),
        ({"leaving": True}, "container web got its stop signal"),
        ({"health": "starting"}, "container web has not passed its health check yet"),
        ({"health": "unhealthy", "last_check": "no db"}, "container web fails its health check: no db"),
    ],
)
def test_a_router_without_a_working_container_sleeps(facts: dict[str, Any], sentence: str) -> None:
    found = snapshot(box(**facts))
    assert found.sleeping == {"web": sentence}
    assert servers(found) == []
    assert set(found.configuration.http.routers) == {"web"}


def test_one_working_container_of_a_router_keeps_it_awake() -> None:
    labels = {R + "shop.rule": "Host(`shop`)", S + "shop.loadbalancer.server.port": "80"}
    found = snapshot(box("a", labels, state="exited"), box("b", labels))
    assert found.sleeping == {}
    assert servers(found, "shop") == [("http://172.17.0.2:80", 1)]
    assert found.problems == ()


@pytest.mark.parametrize("facts", [{"health": "unhealthy"}, {"health": "starting"}])
def test_allow_empty_services_keeps_the_router_awake(facts: dict[str, Any]) -> None:
    found = snapshot(box(**facts), allow_empty_services=True)
    assert found.sleeping == {} and servers(found) == []


def test_allow_non_running_keeps_the_router_awake() -> None:
    found = snapshot(box(labels={"traefik.docker.allownonrunning": "true"}, state="exited"))
    assert found.sleeping == {} and servers(found) == []


def test_containers_that_name_one_service_share_it_by_weight() -> None:
    def part(name: str, ip: str, weight: str) -> Container:
        labels = {R + "shop.rule": "Host(`shop`)", S + "shop.loadbalancer.server.weight": weight}
        return box(name, labels, attachments=(Attachment(name="bridge", id="b", ip=ip, driver="bridge"),))

    found = snapshot(part("blue", "172.17.0.2", "99"), part("green", "172.17.0.3", "1"))
    assert servers(found, "shop") == [("http://172.17.0.2:80", 99), ("http://172.17.0.3:80", 1)]
    assert found.problems == ()
    assert workload(found, "green").servers == ("http://172.17.0.3:80",)


@pytest.mark.parametrize(
    ("old", "new", "rule", "problems"),
    [
        ({}, {}, "Host(`new`)", 1),
        ({}, {"health": "starting"}, "Host(`old`)", 0),
        ({"state": "exited"}, {}, "Host(`new`)", 0),
        ({"state": "exited"}, {"state": "exited"}, "Host(`new`)", 1),
    ],
)
def test_the_newest_healthy_definition_wins(old: dict[str, Any], new: dict[str, Any], rule: str, problems: int) -> None:
    first = box("a", {R + "r.rule": "Host(`old`)"}, created="2026-01-01T00:00:00.1", **old)
    second = box("b", {R + "r.rule": "Host(`new`)"}, created="2026-01-01T00:00:00.12", **new)
    found = snapshot(first, second)
    assert found.configuration.http.routers["r"].rule == rule
    about = [problem for problem in found.problems if problem.path == "http.routers.r"]
    assert len(about) == problems
    assert all("container a" in problem.message and "container b" in problem.message for problem in about)


def test_a_service_with_other_options_does_not_join() -> None:
    one = box("a", {S + "s.loadbalancer.passhostheader": "false"}, created="1")
    two = box("b", {S + "s.loadbalancer.passhostheader": "true"}, created="2")
    found = snapshot(one, two)
    assert servers(found, "s") == [("http://172.17.0.2:80", 1)]
    assert workload(found, "a").verdict == "SHADOWED"


# -- networks that are not shared -------------------------------------------------------------------------------------


def test_nothing_shared_is_a_named_server_that_refuses_at_once() -> None:
    found = snapshot(box(attachments=(OVERLAY,)))
    assert servers(found) == [("unix:/no-shared-network/web", 1)]
    assert any("cannot reach" in problem.message for problem in found.problems)
    assert found.sleeping == {}


def test_one_that_cannot_be_reached_beside_one_that_can_is_left_out() -> None:
    labels = {S + "s.loadbalancer.server.port": "80"}
    found = snapshot(box("a", labels, attachments=(OVERLAY,)), box("b", labels))
    assert servers(found, "s") == [("http://172.17.0.2:80", 1)]


TO_EDGE = {"edgerouter.docker.network": "edge"}
ADDRESSES = [
    ("bridge on the host", box(), {}, HOST, "http://172.17.0.2:80", ""),
    ("label", box(labels=TO_EDGE, attachments=(BRIDGE, EDGE)), {}, HOST, "http://10.1.0.2:80", ""),
    ("option", box(attachments=(BRIDGE, EDGE)), {"network": "edge"}, HOST, "http://10.1.0.2:80", ""),
    ("no such network", box(), {"network": "edge"}, HOST, "http://172.17.0.2:80", "'edge' is not among"),
    ("own network", box(attachments=(BRIDGE, EDGE)), {}, INSIDE, "http://10.1.0.2:80", ""),
    ("IPv6 where there is no IPv4", box(attachments=(IPV6,)), {}, HOST, "http://[fd00::2]:80", ""),
    ("host mode", box(attachments=(), network_mode="host"), {}, HOST, "http://127.0.0.1:80", ""),
    ("host mode from inside", box(attachments=(), network_mode="host"), {}, INSIDE, "http://10.1.0.1:80", ""),
    (
        "published port",
        box(bindings=(Binding(80, "192.0.2.1", 8080),)),
        {"use_bind_port_ip": True},
        HOST,
        "http://192.0.2.1:8080",
        "",
    ),
    (
        "published on all addresses counts as none",
        box(bindings=(Binding(80, "0.0.0.0", 8080),)),
        {"use_bind_port_ip": True},
        HOST,
        "http://172.17.0.2:80",
        "not published",
    ),
    ("macvlan, named", box(attachments=(MACVLAN,)), {"network": "mv"}, HOST, "http://192.0.2.9:80", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("container", "options", "place", "url", "warning"),
    [row[1:] for row in ADDRESSES],
    ids=[row[0] for row in ADDRESSES],
)
def test_addresses(container: Container, options: dict[str, Any], place: Place, url: str, warning: str) -> None:
    found = snapshot(container, place=place, **options)
    assert servers(found) == [(url, 1)]
    assert [warning in problem.message for problem in found.problems] == ([True] if warning else [])
    assert {problem.severity for problem in found.problems} <= {"warning"}


def test_container_mode_takes_the_other_ones_address() -> None:
    owner = box("vpn", {"edgerouter.enable": "false"}, id="abc")
    found = snapshot(owner, box(network_mode="container:abc", attachments=(), ports=(8080,)))
    assert servers(found) == [("http://172.17.0.2:8080", 1)]
    gone = snapshot(box(network_mode="container:abc", attachments=()))
    assert workload(gone).verdict == "NO_SHARED_NETWORK" and "is gone" in workload(gone).reason


# -- what labels may not do -------------------------------------------------------------------------------------------


def test_internal_services_only_when_allowed() -> None:
    labels = {R + "d.rule": "Host(`d`)", R + "d.service": "api@internal"}
    refused = snapshot(box(labels=labels))
    assert "d" not in refused.configuration.http.routers
    assert any("api@internal" in problem.message for problem in refused.problems)
    allowed = snapshot(box(labels=labels), allow_internal=True)
    assert allowed.configuration.http.routers["d"].service == "api@internal"
    assert allowed.problems == ()


M = "edgerouter.http.middlewares."


@pytest.mark.parametrize(
    ("value", "root", "allowed"),
    [
        ("/etc/passwd", "", False),
        ("/etc/passwd", "/srv/users", False),
        ("/srv/users/../../etc/passwd", "/srv/users", False),
        ("users", "/srv/users", False),
        ("/srv/users/a", "/srv/users", True),
    ],
)
def test_files_only_below_the_root(value: str, root: str, allowed: bool) -> None:
    labels = {M + "Auth.basicauth.usersFile": value, R + "r.rule": "Host(`r`)", R + "r.middlewares": "Auth"}
    found = snapshot(box(labels=labels), files_root=root)
    about = [problem for problem in found.problems if "may not name files" in problem.message]
    assert (about == []) == allowed
    assert "r" in found.configuration.http.routers  # it stays and fails closed
    if not allowed:
        assert found.configuration.http.middlewares["Auth"].refused
