"""Containers as bearers of labels: which take requests, and for every other one why not. Pure: tested by tables.

What becomes of bearers is ``_decision``'s; order of the questions there and here: enabled, constraints, running,
healthy, port, network (DESIGN section 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from edgerouter.config.label_types import LabelResult
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.providers import _decision
from edgerouter.providers._decision import Bearer, Decoded, Settings, Verdict, is_true
from edgerouter.providers._default_rule import normalize
from edgerouter.providers._docker_facts import Container, Place
from edgerouter.providers._docker_networks import Address, find_address
from edgerouter.providers._synthesis import Reach

_PROJECT: Final = "com.docker.compose.project"
_SERVICE: Final = "com.docker.compose.service"


def item_name(container: Container) -> str:
    """Return what a container's service is called unless a label says: Compose's service and project, or its name."""
    labels = container.labels
    if labels.get(_PROJECT) and labels.get(_SERVICE):
        return normalize(f"{labels[_SERVICE]}_{labels[_PROJECT]}")
    return normalize(container.name)


def decide(
    containers: Sequence[Container], place: Place, settings: Settings, decoded: Decoded | None = None
) -> Snapshot:
    """Return the whole answer for these containers; ``decoded`` only saves work."""
    decoded = decoded or Decoded(settings)
    others = {container.id: container for container in containers}
    bearers = [_bearer(container, place, settings, decoded, others) for container in containers]
    return _decision.decide(bearers, settings, decoded)


def _bearer(
    container: Container, place: Place, settings: Settings, decoded: Decoded, others: Mapping[str, Container]
) -> Bearer:
    name = item_name(container)
    state = _state(container)
    sick = state is not None and state.code in ("STARTING", "UNHEALTHY")
    below = decoded.labels(container.id, container.labels, name).docker
    return Bearer(
        id=container.id,
        name=container.name,
        title=f"container {container.name}",
        kind="container",
        service=name,
        labels=container.labels,
        variables={"Name": name, "ContainerName": container.name, "Labels": container.labels},
        created=container.created,
        state=state,
        keep_live=is_true(below.get("allownonrunning", "")) or (sick and settings.allow_empty_services),
        reach=lambda result, port: _reach(container, result, port, place, settings, others),
        detail=_detail(container),
    )


def _reach(
    container: Container,
    result: LabelResult,
    wanted: int,
    place: Place,
    settings: Settings,
    others: Mapping[str, Container],
) -> Reach:
    port = wanted or (container.ports[0] if container.ports else 0)
    if not port:
        reason = f"container {container.name} exposes no TCP port and no label names one"
        return Reach(code="NO_PORT", reason=reason, fix=f"add the label {settings.prefix}.port=PORT")
    address: Address = find_address(
        container,
        place,
        port,
        network=result.docker.get("network", "") or settings.network,
        use_bind_port_ip=settings.use_bind_port_ip,
        others=others,
        prefix=settings.prefix,
    )
    if address.missing:
        return Reach(code="NO_SHARED_NETWORK", reason=address.missing, fix=address.fix)
    return Reach(addresses=(f"{address.host}:{address.port or port}",), warning=address.warning)


def _state(container: Container) -> Verdict | None:
    """Why the container takes no requests now; None when it does."""
    name = container.name
    if container.state == "running" and container.leaving:
        return Verdict("STOPPING", f"container {name} got its stop signal", "")
    if container.state != "running":
        words = f" with code {container.exit_code}" if container.exit_code else ""
        return Verdict("NOT_RUNNING", f"container {name} is {container.state}{words}", f"docker start {name}")
    if container.health == "starting":
        return Verdict("STARTING", f"container {name} has not passed its health check yet", "")
    if container.health == "unhealthy":
        words = f": {container.last_check}" if container.last_check else ""
        reason = f"container {name} fails its health check{words}"
        return Verdict("UNHEALTHY", reason, f"docker inspect --format '{{{{json .State.Health}}}}' {name}")
    return None


def _detail(container: Container) -> dict[str, str]:
    networks = ",".join(attachment.name for attachment in container.attachments)
    facts = {"state": container.state, "health": container.health, "networks": networks, "created": container.created}
    return {key: value for key, value in facts.items() if value}
