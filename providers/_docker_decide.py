"""Facts -> Snapshot: which containers are routed, and for every other one why not. Pure, so that it is table-tested.

Order of the questions: enabled, constraints, running, healthy, port, network (DESIGN section 5). Every container gets
a Workload with a verdict; routers and services come from ``_synthesis``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from edgerouter.config.dynamic import DynamicConfiguration
from edgerouter.config.labels import LabelResult, decode_labels
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Snapshot, Workload
from edgerouter.providers._default_rule import Template, normalize
from edgerouter.providers._docker_facts import Container, Place
from edgerouter.providers._docker_limits import limit
from edgerouter.providers._docker_networks import Address, find_address
from edgerouter.providers._synthesis import Draft, Item, Merged, Reach, Wish, merge, synthesize

_PROJECT: Final = "com.docker.compose.project"
_SERVICE: Final = "com.docker.compose.service"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What of the provider's options decides; ``constraint`` and ``template`` are compiled."""

    provider: str
    kinds: Mapping[str, Mapping[str, Any]]
    prefixes: tuple[str, ...]
    exposed_by_default: bool
    constraint: Callable[[Mapping[str, str]], bool]
    constraints: str
    template: Template | None
    network: str
    use_bind_port_ip: bool
    allow_empty_services: bool
    allow_internal: bool
    files_root: str

    @property
    def prefix(self) -> str:
        """The prefix that advice is written with."""
        return self.prefixes[0] if self.prefixes else "edgerouter"


class Verdict(msgspec.Struct, frozen=True):
    """A code of the ledger, why, and what to write."""

    code: str
    reason: str = ""
    fix: str = ""


def item_name(container: Container) -> str:
    """Return what a container's service is called unless a label says: Compose's service and project, or its name."""
    labels = container.labels
    if labels.get(_PROJECT) and labels.get(_SERVICE):
        return normalize(f"{labels[_SERVICE]}_{labels[_PROJECT]}")
    return normalize(container.name)


class Decoded:
    """Labels that were decoded before, by container id: most containers are as they were at the event before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, tuple[Mapping[str, str], LabelResult]] = {}

    def forget_all_but(self, ids: Iterable[str]) -> None:
        """Keep what is known of these containers."""
        self._known = {key: self._known[key] for key in ids if key in self._known}

    def labels(self, container: Container) -> LabelResult:
        """Return what the container's labels say."""
        known = self._known.get(container.id)
        if known is None or known[0] != container.labels:
            result = decode_labels(container.labels, self._settings.kinds, self._settings.prefixes)
            known = self._known[container.id] = (container.labels, result)
        return known[1]


def decide(
    containers: Sequence[Container], place: Place, settings: Settings, decoded: Decoded | None = None
) -> Snapshot:
    """Return the whole answer for these containers; ``decoded`` only saves work."""
    decoded = decoded or Decoded(settings)
    decoded.forget_all_but(container.id for container in containers)
    decision = _Decision(containers, place, settings, decoded)
    for container in sorted(containers, key=lambda container: (container.name, container.id)):
        decision.consider(container)
    return decision.snapshot()


class _Seen(msgspec.Struct, frozen=True):
    """A container on its way to the ledger: rejected, or with a draft."""

    container: Container
    verdict: Verdict
    draft: Draft | None = None
    problems: tuple[Problem, ...] = ()


class _Decision:
    """Collects what became of each container."""

    def __init__(self, containers: Sequence[Container], place: Place, settings: Settings, decoded: Decoded) -> None:
        self.decoded = decoded
        self.by_id = {container.id: container for container in containers}
        self.place = place
        self.settings = settings
        self.seen: list[_Seen] = []

    def consider(self, container: Container) -> None:
        """Decide on one container."""
        settings = self.settings
        result = self.decoded.labels(container)
        verdict = _not_taken(container, result, settings)
        if verdict is not None:
            problems = result.problems if verdict.code == "BAD_LABEL" else ()
            self.seen.append(_Seen(container, verdict, problems=self._placed(container, problems)))
            return
        configuration, refused = limit(
            result.configuration,
            container.labels,
            settings.prefixes,
            title=f"container {container.name}",
            allow_internal=settings.allow_internal,
            files_root=settings.files_root,
        )
        state = _state(container)
        draft = synthesize(self._item(container, result, configuration, state), settings.template, settings.provider)
        problems = (*self._placed(container, result.problems), *refused)
        self.seen.append(_Seen(container, state or Verdict("ROUTED"), draft, problems))

    def _placed(self, container: Container, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """Problems that say whose label they are about."""
        return tuple(
            msgspec.structs.replace(
                problem, message=f"container {container.name}, {problem.source or 'labels'}: {problem.message}"
            )
            for problem in problems
        )

    def _item(
        self, container: Container, result: LabelResult, configuration: DynamicConfiguration, state: Verdict | None
    ) -> Item:
        name = item_name(container)
        sick = state is not None and state.code in ("STARTING", "UNHEALTHY")
        kept = _is_true(result.docker.get("allownonrunning", "")) or (sick and self.settings.allow_empty_services)
        return Item(
            id=container.id,
            title=f"container {container.name}",
            name=name,
            variables={"Name": name, "ContainerName": container.name, "Labels": container.labels},
            configuration=configuration,
            wishes=_wishes(result),
            port=result.port or 0,
            priority=result.priority or 0,
            created=container.created,
            asleep=state.reason if state is not None else "",
            keep_live=kept,
            names_routers=_names_routers(container.labels, self.settings.prefixes),
            reach=lambda port: self._reach(container, result, port),
        )

    def _reach(self, container: Container, result: LabelResult, wanted: int) -> Reach:
        port = wanted or (container.ports[0] if container.ports else 0)
        prefix = self.settings.prefix
        if not port:
            reason = f"container {container.name} exposes no TCP port and no label names one"
            return Reach(code="NO_PORT", reason=reason, fix=f"add the label {prefix}.port=PORT")
        address = self._address(container, result, port)
        if address.missing:
            return Reach(code="NO_SHARED_NETWORK", reason=address.missing, fix=address.fix)
        return Reach(addresses=(f"{address.host}:{address.port or port}",), warning=address.warning)

    def _address(self, container: Container, result: LabelResult, port: int) -> Address:
        return find_address(
            container,
            self.place,
            port,
            network=result.docker.get("network", "") or self.settings.network,
            use_bind_port_ip=self.settings.use_bind_port_ip,
            others=self.by_id,
            prefix=self.settings.prefix,
        )

    def snapshot(self) -> Snapshot:
        """Merge all drafts; a workload for each container."""
        merged = merge([seen.draft for seen in self.seen if seen.draft is not None], self.settings.provider)
        problems = [*merged.problems]
        for seen in self.seen:
            problems.extend(seen.problems)
            problems.extend(seen.draft.problems if seen.draft is not None else ())
        return Snapshot(
            configuration=_with_later(merged, self.seen),
            workloads=tuple(_workload(seen, merged, self.settings) for seen in self.seen),
            problems=tuple(sorted({self._sourced(problem) for problem in problems})),
            sleeping=merged.sleeping,
        )

    def _sourced(self, problem: Problem) -> Problem:
        return msgspec.structs.replace(problem, source=self.settings.provider)


def _not_taken(container: Container, result: LabelResult, settings: Settings) -> Verdict | None:
    """The verdict on a container that is not looked at further."""
    prefix = settings.prefix
    bad_enable = next((problem for problem in result.problems if problem.path == "enable"), None)
    if bad_enable is not None:
        return Verdict("BAD_LABEL", f"{bad_enable.source}: {bad_enable.message}", f"write {prefix}.enable=true")
    if result.enable is False:
        return Verdict("NOT_ENABLED", f"its labels say {prefix}.enable=false", f"set the label {prefix}.enable=true")
    if result.enable is None and not settings.exposed_by_default:
        reason = "providers.docker.exposedByDefault is false and no label enables it"
        return Verdict("NOT_ENABLED", reason, f"add the label {prefix}.enable=true")
    if not settings.constraint(container.labels):
        reason = f"it does not meet the provider's constraints: {settings.constraints}"
        return Verdict("CONSTRAINTS", reason, "add the labels that providers.docker.constraints asks for")
    return None


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


def _wishes(result: LabelResult) -> dict[str, Wish]:
    return {
        name: Wish(
            port=server.port or 0,
            scheme=server.scheme or "http",
            url=server.url,
            weight=1 if server.weight is None else server.weight,
            preserve_path=server.preserve_path,
        )
        for name, server in result.servers.items()
    }


def _names_routers(labels: Mapping[str, str], prefixes: Sequence[str]) -> bool:
    starts = tuple(f"{prefix.lower()}.http.routers." for prefix in prefixes)
    return any(key.lower().startswith(starts) for key in labels)


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("1", "t", "true")


def _with_later(merged: Merged, seen: Sequence[_Seen]) -> DynamicConfiguration:
    """The http part, with tcp, udp and tls put together name by name as they stand."""
    later: dict[str, dict[str, Any]] = {"tcp": {}, "udp": {}, "tls": {}}
    for one in seen:
        if one.draft is None or not one.draft.item.live:
            continue
        configuration = one.draft.item.configuration
        for part, data in (("tcp", configuration.tcp), ("udp", configuration.udp), ("tls", configuration.tls)):
            for section, objects in data.items():
                if isinstance(objects, Mapping):
                    later[part].setdefault(section, {}).update(objects)
    return DynamicConfiguration(http=merged.http, **later)


def _workload(seen: _Seen, merged: Merged, settings: Settings) -> Workload:
    container = seen.container
    routers = merged.routers.get(container.id, ())
    servers = _servers(seen)
    verdict = _final(seen, merged, routers, settings)
    return Workload(
        id=container.id,
        name=container.name,
        verdict=verdict.code,
        reason=verdict.reason,
        fix=verdict.fix,
        routers=routers,
        services=merged.services.get(container.id, ()),
        servers=servers,
        detail=_detail(container),
    )


def _detail(container: Container) -> dict[str, str]:
    networks = ",".join(attachment.name for attachment in container.attachments)
    facts = {"state": container.state, "health": container.health, "networks": networks, "created": container.created}
    return {key: value for key, value in facts.items() if value}


def _servers(seen: _Seen) -> tuple[str, ...]:
    if seen.draft is None or seen.verdict.code != "ROUTED":
        return ()
    found: list[str] = []
    for service in seen.draft.services.values():
        found.extend(server.url for server in getattr(service.options, "servers", ()))
    return tuple(dict.fromkeys(found))


def _final(seen: _Seen, merged: Merged, routers: tuple[str, ...], settings: Settings) -> Verdict:
    """The verdict for the ledger: the state first, then what the labels and the network made of it."""
    if seen.draft is None or seen.verdict.code != "ROUTED":
        return seen.verdict
    own = [problem for problem in seen.problems if problem.severity == "error"]
    if own:
        return Verdict("BAD_LABEL", f"{own[0].path}: {own[0].message}", own[0].hint)
    failed = seen.draft.failed
    if failed is not None:
        return Verdict(failed.code, failed.reason, failed.fix)
    if seen.container.id in merged.shadowed:
        return Verdict("SHADOWED", merged.shadowed[seen.container.id], "use another name, or the same labels on both")
    faults = [problem for problem in seen.draft.problems if problem.severity == "error"]
    if faults:
        return Verdict("NO_ROUTER", f"{faults[0].path}: {faults[0].message}", faults[0].hint)
    if not routers and not merged.services.get(seen.container.id):
        fix = f"add the label {settings.prefix}.http.routers.NAME.rule=Host(`example.com`)"
        return Verdict("NO_ROUTER", f"no label of container {seen.container.name} makes a router or service", fix)
    return seen.verdict
