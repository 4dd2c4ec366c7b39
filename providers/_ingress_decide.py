"""Facts of Ingresses and what they name -> Snapshot. Pure, so that it is table-tested.

Each Ingress is read by itself and remembered for as long as nothing that it touches changes; what several Ingresses
want at once (one path of one host, the default backend) the oldest gets. Every Ingress ends up in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from edgerouter.config.dynamic import Certificate, DynamicConfiguration, HttpConfiguration, TlsConfiguration
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Snapshot, Workload
from edgerouter.providers._ingress_class import refusal
from edgerouter.providers._ingress_one import Made, Reading, Settings, read_one
from edgerouter.providers._ingress_rules import priorities
from edgerouter.providers._ingress_services import by_service
from edgerouter.providers._kubernetes_facts import (
    Ingress,
    IngressClass,
    KubernetesSecret,
    KubernetesService,
    Node,
    PathRule,
    Slice,
)

# Below everything that anybody writes (Traefik's default-router has the smallest 32-bit number).
LAST: Final = -(2**31)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of the cluster, by ``namespace/name``. ``classes`` is None when they may not be read."""

    ingresses: Mapping[str, Ingress] = {}
    services: Mapping[str, KubernetesService] = {}
    slices: Mapping[str, Slice | tuple[Slice, ...]] = {}
    secrets: Mapping[str, KubernetesSecret] = {}
    classes: Mapping[str, IngressClass] | None = None
    nodes: Mapping[str, Node] = {}
    problems: tuple[Problem, ...] = ()


class Memory:
    """What was made of each Ingress, and of what."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Any, Made]] = {}


def decide(world: World, settings: Settings, memory: Memory | None = None) -> Snapshot:
    """Return the whole answer for a cluster; ``memory`` only saves work."""
    decision = _Decision(world, settings, memory or Memory())
    for ingress in sorted(world.ingresses.values(), key=lambda one: (one.created, one.key)):
        decision.consider(ingress)
    return decision.snapshot()


class _Decision:
    """Collects what became of each Ingress."""

    def __init__(self, world: World, settings: Settings, memory: Memory) -> None:
        self.world = world
        self.settings = settings
        self.old, self.new = memory.known, dict[str, tuple[Any, Made]]()
        memory.known = self.new
        self.slices = by_service(world.slices)
        self.classes = {found.name: found for found in (world.classes or {}).values()}
        self.claims: dict[PathRule, str] = {}
        self.default = ""
        self.taken: list[tuple[Ingress, Made]] = []
        self.others: list[Workload] = []

    def consider(self, ingress: Ingress) -> None:
        """Decide on one Ingress, older ones first."""
        why = refusal(ingress, self.settings.ingress_class, self.classes, self.world.classes is not None)
        if why:
            fix = "set its class to this router's, if it is meant to serve it"
            self.others.append(_workload(ingress, "OTHER_CLASS", why, fix))
        else:
            self.taken.append((ingress, self._made(ingress)))

    def _made(self, ingress: Ingress) -> Made:
        around = self._around(ingress)
        known = self.old.get(ingress.key)
        made = known[1] if known is not None and known[0] == around else read_one(around, self.settings)
        self.new[ingress.key] = (around, made)
        return made

    def _around(self, ingress: Ingress) -> Reading:
        """Everything that the answer for this Ingress depends on."""
        world, at = self.world, ingress.namespace
        backends = [path.backend for path in ingress.paths] + ([ingress.default] if ingress.default else [])
        names = {f"{at}/{backend.service}" for backend in backends}
        secrets = (
            {key: found for key, found in world.secrets.items() if found.namespace == at} if _needs(ingress) else {}
        )
        return Reading(
            ingress=ingress,
            services={name: world.services[name] for name in names if name in world.services},
            slices={name: tuple(self.slices[name]) for name in names if name in self.slices},
            secrets=secrets,
            nodes=tuple(world.nodes.values()),
        )

    def snapshot(self) -> Snapshot:
        """Put everything together."""
        ranks = priorities(path for _, made in self.taken for path in made.paths)
        routers: dict[str, Any] = {}
        services: dict[str, Any] = {}
        middlewares: dict[str, Any] = {}
        sleeping: dict[str, str] = {}
        certificates: dict[str, Certificate] = {}
        problems = [*self.world.problems]
        workloads = [*self.others]
        for ingress, made in self.taken:
            lost, used = self._claim(ingress, made)
            for name in used:
                router = made.routers[name]
                if router.priority == 0:
                    rank = LAST if name in made.last else ranks[made.path_of[name]]
                    router = msgspec.structs.replace(router, priority=rank)
                routers[name] = router
                if name in made.asleep:
                    sleeping[name] = made.asleep[name].reason
            services |= made.services
            middlewares |= made.middlewares
            certificates |= made.certificates
            problems += [*made.problems, *lost]
            workloads.append(_verdict(ingress, made, used, lost))
        http = HttpConfiguration(routers=routers, services=services, middlewares=middlewares)
        source = self.settings.provider
        return Snapshot(
            configuration=DynamicConfiguration(http=http, tls=_tls(certificates)),
            workloads=tuple(sorted(workloads, key=lambda one: one.name)),
            problems=tuple(sorted({msgspec.structs.replace(problem, source=source) for problem in problems})),
            sleeping=sleeping,
        )

    def _claim(self, ingress: Ingress, made: Made) -> tuple[list[Problem], list[str]]:
        """Which routers of an Ingress are its own: one path of one host is the oldest Ingress's."""
        lost: list[Problem] = []
        used: list[str] = []
        for name in made.routers:
            owner = self._owner(ingress, made, name)
            if owner == ingress.key:
                used.append(name)
                continue
            path = made.path_of.get(name)
            what = f"{path.kind} {path.host or '*'}{path.path}" if path is not None else "the cluster's default backend"
            message = f"{what} belongs to the Ingress {owner}, which is older"
            lost.append(Problem(f"ingress {ingress.key}", message, "remove it from one of the two"))
        return lost, used

    def _owner(self, ingress: Ingress, made: Made, name: str) -> str:
        if name in made.last:
            self.default = self.default or ingress.key
            return self.default
        path = made.path_of[name]
        place = PathRule(path.host, path.path, path.kind, made.nobody)
        return self.claims.setdefault(place, ingress.key)


def _tls(certificates: Mapping[str, Certificate]) -> TlsConfiguration:
    return TlsConfiguration(certificates=tuple(pair for _, pair in sorted(certificates.items())))


def _needs(ingress: Ingress) -> bool:
    """Whether annotations of this Ingress may name secrets."""
    return bool(ingress.secrets) or any("auth-" in key for key in ingress.annotations)


def _verdict(ingress: Ingress, made: Made, used: Sequence[str], lost: Sequence[Problem]) -> Workload:
    """The ledger's line: what is worst, with what to do about it."""
    faults = [problem for problem in made.problems if problem.severity == "error"]
    asleep = [made.asleep[name] for name in used if name in made.asleep]
    if lost:
        code, reason, fix = "SHADOWED", lost[0].message, lost[0].hint
    elif faults:
        code, reason, fix = "BAD_INGRESS", f"{faults[0].path}: {faults[0].message}", faults[0].hint
    elif asleep:
        code, reason, fix = asleep[0].code, asleep[0].reason, asleep[0].fix
    elif not used:
        code, reason, fix = "NO_ROUTER", "it has neither rules with paths nor a default backend", "add spec.rules"
    else:
        code, reason, fix = "ROUTED", "", ""
    return _workload(ingress, code, reason, fix, tuple(used), tuple(made.services), made.servers)


def _workload(
    ingress: Ingress,
    code: str,
    reason: str,
    fix: str,
    routers: tuple[str, ...] = (),
    services: tuple[str, ...] = (),
    servers: tuple[str, ...] = (),
) -> Workload:
    return Workload(
        id=ingress.uid or ingress.key,
        name=ingress.key,
        kind="ingress",
        verdict=code,
        reason=reason,
        fix=fix,
        routers=routers,
        services=services,
        servers=servers,
        detail={"namespace": ingress.namespace, "created": ingress.created},
    )
