"""Services and tasks -> snapshot, as tables: states, modes, endpoints, networks, labels. No Swarm."""

from __future__ import annotations

from typing import Any

import pytest

from edgerouter.contracts.snapshot import ProviderContext, Snapshot, Workload
from edgerouter.providers._follow import UnfitDaemon
from edgerouter.providers._label_options import settings_of
from edgerouter.providers._swarm_decide import decide
from edgerouter.providers._swarm_facts import (
    Node,
    Swarm,
    SwarmNetwork,
    SwarmService,
    Task,
    TaskAddress,
    Where,
    read_node,
    read_service,
    read_task,
)
from edgerouter.providers._swarm_watch import check_manager
from edgerouter.providers.swarm import SwarmOptions
from edgerouter.registry import load

INGRESS = SwarmNetwork("n-ingress", "ingress", ingress=True)
EDGE = SwarmNetwork("n-edge", "edge")
INNER = SwarmNetwork("n-inner", "shop_inner")
HOST = SwarmNetwork("n-host", "host", "host")
ONE = Node("one", "one", "192.0.2.1")
TWO = Node("two", "two", "192.0.2.2")
ON_EDGE = Where(networks=frozenset({"n-edge"}))
PORT = {"edgerouter.port": "8080"}
LB = "edgerouter.swarm.lbswarm"


def service(labels: dict[str, str] | None = None, **facts: Any) -> SwarmService:
    """A replicated service with two replicas; its id is its name."""
    given = {"name": "web", "replicas": 2, "created": "2026-01-01T00:00:00", "labels": PORT | (labels or {}), **facts}
    return SwarmService(id=given["name"], **given)


def task(slot: int = 1, state: str = "running", desired: str = "running", **facts: Any) -> Task:
    """A task of web on network edge, with the address 10.0.1.<slot>."""
    addresses = (TaskAddress("n-ingress", f"10.255.0.{slot}"), TaskAddress("n-edge", f"10.0.1.{slot}"))
    given = {"service": "web", "node": "one", "addresses": addresses, "container": f"c{slot}", **facts}
    return Task(id=f"{given['service']}.{slot}.{state}", slot=slot, state=state, desired=desired, **given)


def snapshot(*things: SwarmService | Task, where: Where = ON_EDGE, nodes: Any = (ONE, TWO), **options: Any) -> Snapshot:
    rooms = ("services", "middlewares")
    kinds = {room: {name: plugin.options for name, plugin in load(room).items()} for room in rooms}
    settings = settings_of(SwarmOptions(**options), ProviderContext(name="swarm", kinds=kinds))
    services = tuple(thing for thing in things if isinstance(thing, SwarmService))
    tasks = tuple(thing for thing in things if isinstance(thing, Task))
    networks = (INGRESS, EDGE, INNER, HOST)
    return decide(Swarm(services=services, tasks=tasks, nodes=nodes, networks=networks), where, settings)


def servers(found: Snapshot, name: str = "web") -> list[str]:
    return [server.url for server in found.configuration.http.services[name].options.servers]


def workload(found: Snapshot, name: str = "web") -> Workload:
    return next(workload for workload in found.workloads if workload.name == name)


# -- states -----------------------------------------------------------------------------------------------------------

STATES = ["new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running"]
STATES += ["complete", "shutdown", "failed", "rejected", "remove", "orphaned"]


@pytest.mark.parametrize("desired", ["running", "shutdown", "ready", "remove", "complete"])
@pytest.mark.parametrize("state", STATES)
def test_only_running_tasks_that_are_meant_to_run_get_traffic(state: str, desired: str) -> None:
    found = snapshot(service(), task(1), task(2, state, desired))
    both = state == desired == "running"
    assert servers(found) == ["http://10.0.1.1:8080", "http://10.0.1.2:8080"][: 2 if both else 1]
    assert workload(found).verdict == "ROUTED"
    assert workload(found).detail["tasks"] == f"{2 if both else 1} of 2 running"


NONE_RUNS = [
    ("pending", {"said": "no suitable node (1 node)"}, "PENDING", "task web.1 is pending: no suitable node (1 node)"),
    ("preparing", {}, "STARTING", "task web.1 is preparing"),
    ("starting", {}, "STARTING", "task web.1 is starting"),
    ("failed", {"said": "task: non-zero exit (3)"}, "TASK_FAILED", "task web.1 is failed: task: non-zero exit (3)"),
    ("rejected", {"said": "No such image: x"}, "TASK_FAILED", "task web.1 is rejected: No such image: x"),
    ("shutdown", {"desired": "shutdown"}, "TASK_FAILED", "task web.1 is shutdown"),
    ("running", {"desired": "shutdown"}, "STOPPING", "task web.1 is being stopped"),
    ("running", {"leaving": True}, "STOPPING", "task web.1 is being stopped"),
]


@pytest.mark.parametrize(("state", "facts", "code", "reason"), NONE_RUNS)
def test_why_no_task_takes_requests(state: str, facts: dict[str, Any], code: str, reason: str) -> None:
    found = snapshot(service(), task(1, state, **facts))
    seen = workload(found)
    assert (seen.verdict, seen.kind) == (code, "service") and seen.reason.startswith(reason)
    assert found.sleeping == {"web": seen.reason} and servers(found) == []


def test_of_several_tasks_the_most_telling_one_is_quoted() -> None:
    old = task(1, "failed", "shutdown", said="exit 1", at="2026-01-01T00:00:01")
    newer = task(1, "failed", "shutdown", said="exit 2", at="2026-01-01T00:00:02")
    assert "exit 2" in workload(snapshot(service(), old, newer)).reason
    waiting = task(2, "ready", "ready")
    assert "exit 2" in workload(snapshot(service(), old, newer, waiting)).reason


@pytest.mark.parametrize(
    ("facts", "code", "fix"),
    [
        ({"replicas": 0}, "SCALED_TO_ZERO", "docker service scale web=1"),
        ({"mode": "replicated-job"}, "JOB", "use a replicated service"),
        ({"mode": "global"}, "NO_TASK", "docker service ps"),
    ],
)
def test_services_without_tasks(facts: dict[str, Any], code: str, fix: str) -> None:
    seen = workload(snapshot(service(**facts)))
    assert seen.verdict == code and fix in seen.fix


def test_a_service_that_is_scaled_to_zero_sleeps_and_returns() -> None:
    assert "scaled to 0" in snapshot(service(replicas=0)).sleeping["web"]
    assert not snapshot(service(replicas=1), task()).sleeping


def test_a_node_that_is_down_takes_its_tasks_along() -> None:
    nodes = (ONE, Node("two", "two", "192.0.2.2", "down"))
    assert servers(snapshot(service(), task(1), task(2, node="two"), nodes=nodes)) == ["http://10.0.1.1:8080"]
    assert workload(snapshot(service(), task(2, node="two"), nodes=nodes)).verdict == "NODE_DOWN"


def test_global_services_have_a_server_on_each_node() -> None:
    tasks = (task(0, node="one", addresses=(TaskAddress("n-edge", "10.0.1.8"),)),)
    tasks += (Task(id="b", service="web", node="two", addresses=(TaskAddress("n-edge", "10.0.1.9"),)),)
    found = snapshot(service(mode="global", replicas=0), *tasks)
    assert sorted(servers(found)) == ["http://10.0.1.8:8080", "http://10.0.1.9:8080"]
    assert workload(found).detail["tasks"] == "2 of 2 running"


# -- where ------------------------------------------------------------------------------------------------------------

VIPS = (("n-ingress", "10.255.0.9"), ("n-edge", "10.0.1.99"))
ELSEWHERE = Where(networks=frozenset({"n-other"}))
BOTH = (TaskAddress("n-inner", "10.0.2.1"), TaskAddress("n-edge", "10.0.1.1"))
WHERE: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], list[str]]] = [
    ("tasks by default, even with a vip", {"vips": VIPS}, {}, {}, ["10.0.1.1:8080"]),
    ("lbswarm: the service's address", {"vips": VIPS, "labels": {LB: "true"}}, {}, {}, ["10.0.1.99:8080"]),
    (
        "lbswarm in its old spelling",
        {"vips": VIPS, "labels": {"traefik.docker.lbswarm": "true"}},
        {},
        {},
        ["10.0.1.99:8080"],
    ),
    (
        "lbswarm with dnsrr: the tasks",
        {"endpoint_mode": "dnsrr", "labels": {LB: "true"}},
        {},
        {},
        ["10.0.1.1:8080"],
    ),
    ("the network that the router is on", {}, {"addresses": BOTH}, {}, ["10.0.1.1:8080"]),
    (
        "the network that the provider names",
        {},
        {"addresses": BOTH},
        {"network": "shop_inner", "where": Where()},
        ["10.0.2.1:8080"],
    ),
    (
        "a label's network is nearer than the provider's",
        {"labels": {"edgerouter.swarm.network": "edge"}},
        {"addresses": BOTH},
        {"network": "shop_inner", "where": Where()},
        ["10.0.1.1:8080"],
    ),
    (
        "the old label, and a stack's name for its network",
        {"labels": {"traefik.docker.network": "inner"}},
        {"addresses": BOTH},
        {"where": Where()},
        ["10.0.2.1:8080"],
    ),
    ("a router that the manager does not know", {}, {}, {"where": Where()}, ["10.0.1.1:8080"]),
    (
        "ports of the node",
        {},
        {"ports": ((8080, 30001),), "node": "two"},
        {"use_bind_port_ip": True, "where": Where(on_host=True)},
        ["192.0.2.2:30001"],
    ),
    (
        "no such port on the node: the network, with a warning",
        {},
        {"ports": ((81, 30001),)},
        {"use_bind_port_ip": True},
        ["10.0.1.1:8080"],
    ),
    ("the host's network", {"networks": ("n-host",)}, {"addresses": ()}, {}, ["192.0.2.1:8080"]),
    ("the only published port where no label names one", {"labels": {}, "ports": (3000,)}, {}, {}, ["10.0.1.1:3000"]),
]


@pytest.mark.parametrize(
    ("facts", "about", "options", "expected"), [row[1:] for row in WHERE], ids=[r[0] for r in WHERE]
)
def test_addresses(facts: dict[str, Any], about: dict[str, Any], options: dict[str, Any], expected: list[str]) -> None:
    one = service(**facts)
    if facts.get("ports"):
        one = SwarmService(id="web", name="web", replicas=1, ports=facts["ports"])
    found = snapshot(one, task(1, **about), **options)
    assert servers(found) == [f"http://{address}" for address in expected]


@pytest.mark.parametrize(
    ("one", "options", "words"),
    [
        (service({LB: "true"}, endpoint_mode="dnsrr"), {}, "dnsrr"),
        (service({"edgerouter.swarm.network": "egde"}), {}, "'egde' is not among those of service web (edge)"),
        (service(), {"use_bind_port_ip": True}, "publishes port 8080 with mode=host"),
    ],
)
def test_a_wish_that_cannot_be_met_is_told(one: SwarmService, options: dict[str, Any], words: str) -> None:
    found = snapshot(one, task(), **options)
    assert servers(found) == ["http://10.0.1.1:8080"]
    assert [problem.severity for problem in found.problems if words in problem.message] == ["warning"]


@pytest.mark.parametrize(
    ("where", "words"),
    [(ELSEWHERE, "the router's container is on none of these"), (Where(on_host=True), "outside of a container")],
)
@pytest.mark.parametrize("labels", [{}, {LB: "true"}])
def test_no_shared_network_is_named(where: Where, words: str, labels: dict[str, str]) -> None:
    found = snapshot(service(labels, vips=VIPS), task(), where=where)
    seen = workload(found)
    assert seen.verdict == "NO_SHARED_NETWORK" and words in seen.reason and "edge" in seen.fix
    assert servers(found) == ["unix:/no-shared-network/web"]


def test_no_port_is_named() -> None:
    found = snapshot(SwarmService(id="web", name="web", labels={"edgerouter.enable": "true"}), task())
    seen = workload(found)
    assert seen.verdict == "NO_PORT" and "edgerouter.port=PORT" in seen.fix


# -- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "options", "code"),
    [
        ({"edgerouter.enable": "false"}, {}, "NOT_ENABLED"),
        ({}, {"exposed_by_default": False}, "NOT_ENABLED"),
        ({"traefik.enable": "true"}, {"exposed_by_default": False}, "ROUTED"),
        ({"tier": "api"}, {"constraints": "Label(`tier`, `web`)"}, "CONSTRAINTS"),
        ({"edgerouter.enable": "perhaps"}, {}, "BAD_LABEL"),
    ],
)
def test_who_is_taken(labels: dict[str, str], options: dict[str, Any], code: str) -> None:
    found = snapshot(service(labels), task(), **options)
    assert workload(found).verdict == code
    if code in ("NOT_ENABLED", "CONSTRAINTS") and not labels:
        assert "providers.swarm." in workload(found).reason


def test_many_versions_of_one_environment_are_told_apart_by_labels() -> None:
    things: list[SwarmService | Task] = []
    for number, stack in enumerate(("v1", "v2"), 1):
        labels = {"com.docker.stack.namespace": stack}
        things.append(service(labels, name=f"{stack}_web"))
        address = (TaskAddress("n-edge", f"10.0.1.{number}"),)
        things.append(task(1, service=f"{stack}_web", addresses=address))
    rule = 'Host(`{{ index .Labels "com.docker.stack.namespace" }}.test.example`)'
    found = snapshot(*things, default_rule=rule)
    rules = {name: router.rule for name, router in found.configuration.http.routers.items()}
    assert rules == {"v1-web": "Host(`v1.test.example`)", "v2-web": "Host(`v2.test.example`)"}
    assert servers(found, "v1-web") == ["http://10.0.1.1:8080"]
    left = snapshot(*things[2:], default_rule=rule)
    assert list(left.configuration.http.routers) == ["v2-web"] and not left.problems


# -- the daemon's answers ---------------------------------------------------------------------------------------------


def test_reading_answers() -> None:
    found = read_service(
        {
            "ID": "s1",
            "CreatedAt": "2026-01-01T00:00:00Z",
            "Spec": {
                "Name": "web",
                "Labels": {"a": "b"},
                "Mode": {"Global": {}},
                "TaskTemplate": {"Networks": [{"Target": "n1"}], "ContainerSpec": {"StopSignal": "SIGQUIT"}},
                "EndpointSpec": {"Mode": "vip", "Ports": [{"Protocol": "tcp", "TargetPort": 80}]},
            },
            "Endpoint": {"VirtualIPs": [{"NetworkID": "n1", "Addr": "10.0.0.2/24"}]},
            "UpdateStatus": {"State": "updating"},
        }
    )
    assert (found.name, found.mode, found.vips, found.ports) == ("web", "global", (("n1", "10.0.0.2"),), (80,))
    assert (found.networks, found.updating, found.stop_signal) == (("n1",), True, "3")
    status = {
        "State": "failed",
        "Err": "task: non-zero\nexit (1)",
        "ContainerStatus": {"ContainerID": "c1"},
        "PortStatus": {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 3000, "PublishMode": "host"}]},
    }
    attached = [{"Network": {"ID": "n1"}, "Addresses": ["10.0.0.3/24"]}, {"Network": {"ID": "n2"}}]
    one = read_task(
        {"ID": "t", "ServiceID": "s1", "DesiredState": "shutdown", "Status": status, "NetworksAttachments": attached},
        left={"c1"},
    )
    assert (one.state, one.desired, one.said, one.leaving) == ("failed", "shutdown", "task: non-zero exit (1)", True)
    assert one.ports == ((80, 3000),) and one.addresses == (TaskAddress("n1", "10.0.0.3"), TaskAddress("n2", ""))
    manager = {"ID": "n", "Status": {"Addr": "0.0.0.0", "State": "ready"}, "ManagerStatus": {"Addr": "192.0.2.7:2377"}}
    assert read_node(manager).address == "192.0.2.7"


@pytest.mark.parametrize(
    ("swarm", "words"),
    [
        ({"LocalNodeState": "inactive"}, "is in no Swarm"),
        ({}, "is in no Swarm"),
        ({"LocalNodeState": "active", "ControlAvailable": False}, "is a worker"),
        ({"LocalNodeState": "locked"}, "locked"),
        ({"LocalNodeState": "error", "Error": "lost quorum"}, "lost quorum"),
    ],
)
def test_who_is_no_manager(swarm: dict[str, Any], words: str) -> None:
    with pytest.raises(UnfitDaemon, match=words):
        check_manager({"Swarm": swarm}, "unix:///x.sock")
    check_manager({"Swarm": {"ControlAvailable": True, "LocalNodeState": "active"}}, "unix:///x.sock")
