"""Facts of Ingresses and what they name -> Snapshot. Pure, so that it is table-tested.

Each Ingress is read by itself and remembered for as long as nothing that it touches changes, so that a change of the
cluster costs what it touches. What several Ingresses want at once ``_ingress_claims`` settles. Every Ingress ends up in
the ledger.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from edgerouter.config.dynamic import Certificate, DynamicConfiguration, HttpConfiguration, Router, TlsConfiguration
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Snapshot, Workload
from edgerouter.providers._ingress_claims import Claims, Share
from edgerouter.providers._ingress_class import refusal
from edgerouter.providers._ingress_one import DEFAULT_ROUTER, Made, Reading, Settings, read_one
from edgerouter.providers._ingress_rules import Unquotable, rule_of
from edgerouter.providers._ingress_services import by_service
from edgerouter.providers._kubernetes_facts import (
    Ingress,
    IngressClass,
    KubernetesSecret,
    KubernetesService,
    Node,
    Slice,
)

# Annotations that name secrets, by how they end.
_SECRETS: Final = ("auth-secret", "auth-tls-secret")


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of the cluster, by ``namespace/name``. ``classes`` is None when they may not be read."""

    ingresses: Mapping[str, Ingress] = {}
    services: Mapping[str, KubernetesService] = {}
    slices: Mapping[str, Slice | tuple[Slice, ...]] = {}
    secrets: Mapping[str, KubernetesSecret] = {}
    classes: Mapping[str, IngressClass] | None = None
    nodes: Mapping[str, Node] = {}
    problems: tuple[Problem, ...] = ()


class _Needs(msgspec.Struct, frozen=True):
    """What an Ingress names, by ``namespace/name``."""

    services: tuple[str, ...]
    secrets: tuple[str, ...]


class _Known(msgspec.Struct, frozen=True):
    """What was made of an Ingress, and of what."""

    needs: _Needs
    uses: tuple[Any, ...]
    made: Made


class _Part(msgspec.Struct, frozen=True):
    """What an Ingress adds to the snapshot, made of ``made`` and ``share``."""

    made: Made
    share: Share
    routers: dict[str, Router]
    sleeping: dict[str, str]
    problems: tuple[Problem, ...]
    workload: Workload


class Memory:
    """What was made of each Ingress; it only saves work."""

    def __init__(self) -> None:
        self.known: dict[str, _Known] = {}
        self.parts: dict[str, _Part] = {}
        self.others: dict[str, tuple[Ingress, str, Workload]] = {}
        self.marked: dict[str, tuple[Made, Made]] = {}
        self.claims = Claims()
        self.nodes: tuple[Node, ...] = ()


def decide(world: World, settings: Settings, memory: Memory | None = None) -> Snapshot:
    """Return the whole answer for a cluster; ``memory`` only saves work."""
    decision = _Decision(world, settings, memory or Memory())
    for key, ingress in sorted(world.ingresses.items(), key=lambda item: (item[1].created, item[0])):
        decision.consider(key, ingress)
    return decision.snapshot()


class _Decision:
    """Collects what became of each Ingress."""

    def __init__(self, world: World, settings: Settings, memory: Memory) -> None:
        self.world = world
        self.settings = settings
        self.memory = memory
        self.old, memory.known = memory.known, {}
        self.old_others, memory.others = memory.others, {}
        self.slices = by_service(world.slices)
        self.classes = {found.name: found for found in (world.classes or {}).values()}
        nodes = tuple(world.nodes.values())
        memory.nodes = memory.nodes if memory.nodes == nodes else nodes
        self.taken: list[tuple[str, Made]] = []

    def consider(self, key: str, ingress: Ingress) -> None:
        """Decide on one Ingress, older ones first."""
        why = refusal(ingress, self.settings.ingress_class, self.classes, self.world.classes is not None)
        if why:
            known = self.old_others.get(key)
            if known is None or known[:2] != (ingress, why):
                fix = "set its class to this router's, if it is meant to serve it"
                known = (ingress, why, _workload(ingress, "OTHER_CLASS", why, fix, rules=_rules(ingress)))
            self.memory.others[key] = known
        else:
            self.taken.append((key, self._made(key, ingress)))

    def _made(self, key: str, ingress: Ingress) -> Made:
        known = self.old.get(key)
        # The ``is`` spares a comparison of all that an Ingress holds, at every change of the cluster.
        needs = known.needs if known is not None and known.uses[0] is ingress else _needs(ingress)
        uses = self._uses(ingress, needs)
        if known is None or known.uses != uses:
            known = _Known(needs, uses, read_one(self._reading(ingress, needs), self.settings))
        self.memory.known[key] = known
        return known.made

    def _uses(self, ingress: Ingress, needs: _Needs) -> tuple[Any, ...]:
        """Everything that the answer for this Ingress depends on."""
        services, slices, secrets = self.world.services, self.slices, self.world.secrets
        return (
            ingress,
            self.memory.nodes,
            *[services.get(name) for name in needs.services],
            *[slices.get(name) for name in needs.services],
            *[secrets.get(name) for name in needs.secrets],
        )

    def _reading(self, ingress: Ingress, needs: _Needs) -> Reading:
        world = self.world
        return Reading(
            ingress=ingress,
            services={name: world.services[name] for name in needs.services if name in world.services},
            slices={name: tuple(self.slices[name]) for name in needs.services if name in self.slices},
            secrets={name: world.secrets[name] for name in needs.secrets if name in world.secrets},
            nodes=self.memory.nodes,
        )

    def snapshot(self) -> Snapshot:
        """Put everything together."""
        self._tell_apart()
        shares = self.memory.claims.settle([(key, made.places) for key, made in self.taken])
        old, self.memory.parts = self.memory.parts, {}
        http = HttpConfiguration({}, {}, {}, {})
        sleeping: dict[str, str] = {}
        certificates: dict[str, Certificate] = {}
        problems = {msgspec.structs.replace(problem, source=self.settings.provider) for problem in self.world.problems}
        for key, made in self.taken:
            part, share = old.get(key), shares[key]
            if part is None or part.made is not made or part.share != share:
                part = self._part(self.world.ingresses[key], made, share)
            self.memory.parts[key] = part
            http.routers.update(part.routers)
            http.services.update(made.services)
            http.middlewares.update(made.middlewares)
            certificates.update(made.certificates)
            sleeping.update(part.sleeping)
            problems.update(part.problems)
        workloads = [part.workload for part in self.memory.parts.values()]
        workloads += [workload for _, _, workload in self.memory.others.values()]
        return Snapshot(
            configuration=DynamicConfiguration(http=http, tls=_tls(certificates)),
            workloads=tuple(sorted(workloads, key=lambda one: one.name)),
            problems=tuple(sorted(problems)),
            sleeping=sleeping,
        )

    def _tell_apart(self) -> None:
        """Mark the names of an Ingress where older ones have the same for something else.

        Names are joined by hyphens, which namespaces and Services may hold: ``shop`` in ``team-a`` and ``a-shop`` in
        ``team`` would share one service, and whoever may write to the one would get the other's requests.
        """
        seen: tuple[dict[str, Any], ...] = ({DEFAULT_ROUTER: None, f"{DEFAULT_ROUTER}-tls": None}, {}, {})
        before, self.memory.marked = self.memory.marked, {}
        for at, (key, made) in enumerate(self.taken):
            if _clashes(seen, made):
                known = before.get(key)
                if known is None or known[0] is not made:
                    known = (made, self._marked(key))
                self.memory.marked[key] = known
                made = known[1]
                self.taken[at] = (key, made)
            for taken, mine in zip(seen, made.rooms, strict=True):
                taken.update(mine)

    def _marked(self, key: str) -> Made:
        ingress = self.world.ingresses[key]
        # No name that is joined from others' holds a tilde.
        mark = "~" + hashlib.sha256(f"{key} {ingress.uid}".encode()).hexdigest()[:16]
        return read_one(self._reading(ingress, self.memory.known[key].needs), self.settings, mark)

    def _part(self, ingress: Ingress, made: Made, share: Share) -> _Part:
        routers = {}
        for name, rank in share.ranks.items():
            router = made.routers[name]
            routers[name] = router if router.priority else msgspec.structs.replace(router, priority=rank)
        source = self.settings.provider
        return _Part(
            made=made,
            share=share,
            routers=routers,
            sleeping={name: made.asleep[name].reason for name in routers if name in made.asleep},
            problems=tuple(msgspec.structs.replace(one, source=source) for one in (*made.problems, *share.lost)),
            workload=_verdict(ingress, made, share),
        )


def _clashes(seen: tuple[dict[str, Any], ...], made: Made) -> bool:
    """Whether a name of this Ingress stands for something else already. Services are shared where they are equal."""
    for taken, mine in zip(seen, made.rooms, strict=True):
        for name, thing in mine.items():
            if name in taken and taken[name] is not thing and taken[name] != thing:
                return True
    return False


def _needs(ingress: Ingress) -> _Needs:
    """The names of what an Ingress is made with."""
    at = ingress.namespace
    backends = [path.backend for path in ingress.paths] + ([ingress.default] if ingress.default else [])
    annotated = [value.strip() for key, value in ingress.annotations.items() if key.endswith(_SECRETS)]
    return _Needs(
        tuple(dict.fromkeys(f"{at}/{backend.service}" for backend in backends)),
        tuple(dict.fromkeys(f"{at}/{name}" for name in (*ingress.secrets, *annotated))),
    )


def _tls(certificates: Mapping[str, Certificate]) -> TlsConfiguration:
    return TlsConfiguration(certificates=tuple(pair for _, pair in sorted(certificates.items())))


def _verdict(ingress: Ingress, made: Made, share: Share) -> Workload:
    """The ledger's line: what is worst, with what to do about it."""
    lost, used = share.lost, tuple(share.ranks)
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
    lacking = {name: made.routers[name].rule for name, path in made.places if path is not None and name not in used}
    return _workload(ingress, code, reason, fix, used, tuple(made.services), made.servers, lacking)


def _rules(ingress: Ingress) -> dict[str, str]:
    """What an Ingress that is not ours would match."""
    found: dict[str, str] = {}
    for path in ingress.paths:
        with contextlib.suppress(Unquotable):
            found[f"{path.kind} {path.host}{path.path}"] = rule_of(path)
    return found


def _workload(
    ingress: Ingress,
    code: str,
    reason: str,
    fix: str,
    routers: tuple[str, ...] = (),
    services: tuple[str, ...] = (),
    servers: tuple[str, ...] = (),
    rules: Mapping[str, str] | None = None,
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
        rules=dict(rules or {}),
    )
