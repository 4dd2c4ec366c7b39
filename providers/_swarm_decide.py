"""Swarm services as bearers of labels: which of their tasks take requests, and where none does, why. Pure.

A task takes requests while its state and its desired state are RUNNING, its node is not down, and its container has not
got its stop signal. Swarm itself holds a task with a health check in STARTING until that passes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from edgerouter.config.label_types import LabelResult
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.providers import _decision
from edgerouter.providers._decision import Bearer, Decoded, Settings, Verdict, is_true
from edgerouter.providers._default_rule import normalize
from edgerouter.providers._swarm_facts import COMING, Node, Swarm, SwarmNetwork, SwarmService, Task, Where
from edgerouter.providers._swarm_networks import Surroundings, Wanted, find_addresses
from edgerouter.providers._synthesis import Reach

_STACK: Final = "com.docker.stack.namespace"
_JOBS: Final = ("replicated-job", "global-job")
_PLACES: Final = re.compile(r"[^\x20-\x7e]")


def decide(swarm: Swarm, where: Where, settings: Settings, decoded: Decoded | None = None) -> Snapshot:
    """Return the whole answer for this Swarm; ``decoded`` only saves work."""
    decoded = decoded or Decoded(settings)
    networks = {network.id: network for network in swarm.networks}
    around = Surroundings(where, networks, {node.id: node for node in swarm.nodes}, settings.prefix)
    tasks: dict[str, list[Task]] = {}
    for task in sorted(swarm.tasks, key=lambda task: (task.slot, task.node, task.id)):
        tasks.setdefault(task.service, []).append(task)
    bearers = [_bearer(service, tasks.get(service.id, []), around, settings, decoded) for service in swarm.services]
    return _decision.decide(bearers, settings, decoded)


def _bearer(
    service: SwarmService, tasks: Sequence[Task], around: Surroundings, settings: Settings, decoded: Decoded
) -> Bearer:
    up = [task for task in tasks if task.takes_requests and not _down(task, around.nodes)]
    state = None if up else _state(service, tasks, around.nodes)
    name = normalize(service.name)
    result = decoded.labels(service.id, service.labels, name)
    below = {**result.docker, **result.swarm}
    coming = state is not None and state.code in ("STARTING", "UNHEALTHY")
    return Bearer(
        id=service.id,
        name=service.name,
        title=f"service {service.name}",
        kind="service",
        service=name,
        labels=service.labels,
        variables={"Name": name, "ServiceName": service.name, "ContainerName": service.name, "Labels": service.labels},
        created=service.created,
        state=state,
        keep_live=is_true(below.get("allownonrunning", "")) or (coming and settings.allow_empty_services),
        reach=lambda result, port: _reach(service, up, result, port, around, settings),
        detail=_detail(service, tasks, up, around),
    )


def _down(task: Task, nodes: Mapping[str, Node]) -> bool:
    node = nodes.get(task.node)
    return node is not None and node.state == "down"


def _title(service: SwarmService, task: Task, nodes: Mapping[str, Node]) -> str:
    node = nodes.get(task.node)
    if task.slot or node is None:
        return f"task {service.name}.{task.slot or task.id[:12]}"
    return f"task {service.name} on {node.name or node.id[:12]}"


def _state(service: SwarmService, tasks: Sequence[Task], nodes: Mapping[str, Node]) -> Verdict:
    """Why the service takes no requests now: what its most telling task says."""
    name, look = service.name, f"docker service ps --no-trunc {service.name}"
    if service.mode in _JOBS:
        return Verdict("JOB", f"service {name} is a job, whose tasks end by themselves", "use a replicated service")
    if service.mode == "replicated" and not service.replicas:
        return Verdict("SCALED_TO_ZERO", f"service {name} is scaled to 0", f"docker service scale {name}=1")
    if not tasks:
        return Verdict("NO_TASK", f"service {name} has no task", look)
    task = max(tasks, key=_telling)
    title = _title(service, task, nodes)
    if _down(task, nodes):
        return Verdict("NODE_DOWN", f"the node of {title} is down", "docker node ls")
    if task.leaving or (task.state == "running" and task.desired != "running"):
        return Verdict("STOPPING", f"{title} is being stopped", "")
    said = _PLACES.sub("?", task.said)
    if task.state == "pending":
        return Verdict("PENDING", f"{title} is pending: {said or 'waiting for a node'}", look)
    if task.state in COMING:
        return Verdict(
            "STARTING", f"{title} is {task.state}: it does not run yet, or its health check has not passed", ""
        )
    return Verdict("TASK_FAILED", f"{title} is {task.state}: {said or 'it ended'}", f"docker service logs {name}")


def _telling(task: Task) -> tuple[int, int, str]:
    """Tasks that are meant to run say more than those that are not, later states more than earlier ones."""
    meant = 1 if task.desired in ("running", "ready", "accepted") else 0
    failed = 1 if task.state in ("failed", "rejected") else 0
    return (meant or failed, COMING.index(task.state) if task.state in COMING else len(COMING), task.at)


def _reach(
    service: SwarmService,
    up: Sequence[Task],
    result: LabelResult,
    port: int,
    around: Surroundings,
    settings: Settings,
) -> Reach:
    port = port or (service.ports[0] if service.ports else 0)
    if not port:
        reason = f"no label of service {service.name} names a port, and it publishes none"
        return Reach(
            code="NO_PORT", reason=reason, fix=f"add the label {settings.prefix}.port=PORT under deploy.labels"
        )
    below = {**result.docker, **result.swarm}
    wanted = Wanted(
        port=port,
        network=below.get("network", "") or settings.network,
        virtual_ip=is_true(below.get("lbswarm", "")),
        bind_port_ip=settings.use_bind_port_ip,
    )
    return find_addresses(service, up, wanted, around)


def _detail(service: SwarmService, tasks: Sequence[Task], up: Sequence[Task], around: Surroundings) -> dict[str, str]:
    meant = [task for task in tasks if task.desired == "running"]
    wanted = service.replicas if service.mode == "replicated" else len(meant)
    others = [f"{_title(service, task, around.nodes)}: {task.state}" for task in meant if task not in up]
    ids = dict.fromkeys([one.network for task in tasks for one in task.addresses] + list(service.networks))
    networks = [around.networks.get(one, SwarmNetwork(one, one)).name for one in ids]
    facts = {
        "mode": service.mode,
        "endpoint": service.endpoint_mode,
        "tasks": f"{len(up)} of {wanted} running",
        "others": ", ".join(others[:10]),
        "networks": ",".join(networks),
        "stack": service.labels.get(_STACK, ""),
        "created": service.created,
    }
    return {key: value for key, value in facts.items() if value}
