"""Bearers of labels -> Snapshot, for every provider that reads labels: who is not taken, who lost, what is told.

A provider says of each bearer (a container, a Swarm service) what it is called, how it is and where it is reached; the
rest of the way to a snapshot is here and in ``_synthesis``. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from edgerouter.config.dynamic import DynamicConfiguration, Router, TlsConfiguration, TLSStore
from edgerouter.config.label_types import LabelResult
from edgerouter.config.labels import decode_labels
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Snapshot, Workload
from edgerouter.providers._default_rule import Template
from edgerouter.providers._docker_limits import limit
from edgerouter.providers._synthesis import Draft, Item, Merged, Reach, Wish, merge, synthesize

ROUTED: Final = "ROUTED"


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
    def section(self) -> str:
        """Where the provider's options stand: ``docker.east`` for the instance docker-east."""
        return self.provider.replace("-", ".", 1)

    @property
    def prefix(self) -> str:
        """The prefix that advice is written with."""
        return self.prefixes[0] if self.prefixes else "edgerouter"


class Verdict(msgspec.Struct, frozen=True):
    """A code of the ledger, why, and what to write."""

    code: str
    reason: str = ""
    fix: str = ""


class Bearer(msgspec.Struct, frozen=True, kw_only=True):
    """What carries labels. ``state`` says why it takes no requests now, None while it does.

    ``keep_live``: its routers stay live without servers whatever its state. ``reach`` finds its servers for a port,
    given what its labels say. ``detail`` is for the ledger.
    """

    id: str
    name: str
    title: str  # what people call it, for messages: "container web-1"
    kind: str
    service: str  # what its service is called where no label says so
    labels: Mapping[str, str]
    variables: Mapping[str, Any]
    created: str
    state: Verdict | None
    keep_live: bool = False
    reach: Callable[[LabelResult, int], Reach]
    detail: Mapping[str, str]


class Decoded:
    """Labels that were decoded before, by bearer's id: most bearers are as they were at the event before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, tuple[Mapping[str, str], LabelResult]] = {}

    def forget_all_but(self, ids: Iterable[str]) -> None:
        """Keep what is known of these."""
        self._known = {key: self._known[key] for key in ids if key in self._known}

    def labels(self, key: str, labels: Mapping[str, str], service: str) -> LabelResult:
        """Return what the bearer's labels say; ``service`` is what its service is called where no label says so."""
        known = self._known.get(key)
        if known is None or known[0] != labels:
            result = decode_labels(labels, self._settings.kinds, self._settings.prefixes, service)
            known = self._known[key] = (labels, result)
        return known[1]


class _Seen(msgspec.Struct, frozen=True):
    """A bearer on its way to the ledger: rejected, or with a draft."""

    bearer: Bearer
    verdict: Verdict
    draft: Draft | None = None
    problems: tuple[Problem, ...] = ()
    rules: Mapping[str, str] = {}  # of routers that it would have brought


def decide(bearers: Sequence[Bearer], settings: Settings, decoded: Decoded | None = None) -> Snapshot:
    """Return the whole answer for these bearers; ``decoded`` only saves work."""
    decoded = decoded or Decoded(settings)
    decoded.forget_all_but(bearer.id for bearer in bearers)
    seen = [_consider(bearer, settings, decoded) for bearer in sorted(bearers, key=lambda one: (one.name, one.id))]
    merged = merge([one.draft for one in seen if one.draft is not None], settings.provider)
    problems = [*merged.problems]
    for one in seen:
        problems.extend(one.problems)
        problems.extend(one.draft.problems if one.draft is not None else ())
    return Snapshot(
        configuration=_with_later(merged, seen),
        workloads=tuple(_workload(one, merged, settings) for one in seen),
        problems=tuple(sorted({msgspec.structs.replace(problem, source=settings.provider) for problem in problems})),
        sleeping=merged.sleeping,
    )


def _consider(bearer: Bearer, settings: Settings, decoded: Decoded) -> _Seen:
    result = decoded.labels(bearer.id, bearer.labels, bearer.service)
    verdict = _not_taken(bearer, result, settings)
    if verdict is not None:
        problems = result.problems if verdict.code == "BAD_LABEL" else ()
        draft = synthesize(_item(bearer, result, result.configuration, settings), settings.template, settings.provider)
        return _Seen(bearer, verdict, problems=_placed(bearer, problems), rules=_rules(draft.routers or draft.unused))
    configuration, refused = limit(
        result.configuration,
        bearer.labels,
        settings.prefixes,
        title=bearer.title,
        allow_internal=settings.allow_internal,
        files_root=settings.files_root,
        provider=settings.section,
    )
    draft = synthesize(_item(bearer, result, configuration, settings), settings.template, settings.provider)
    problems = (*_placed(bearer, result.problems), *refused)
    return _Seen(bearer, bearer.state or Verdict(ROUTED), draft, problems, _rules(draft.unused))


def _rules(routers: Mapping[str, Router]) -> dict[str, str]:
    return {name: router.rule for name, router in routers.items()}


def _placed(bearer: Bearer, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Problems that say whose label they are about."""
    return tuple(
        msgspec.structs.replace(problem, message=f"{bearer.title}, {problem.source or 'labels'}: {problem.message}")
        for problem in problems
    )


def _item(bearer: Bearer, result: LabelResult, configuration: DynamicConfiguration, settings: Settings) -> Item:
    return Item(
        id=bearer.id,
        title=bearer.title,
        name=bearer.service,
        variables=bearer.variables,
        configuration=configuration,
        wishes=_wishes(result),
        port=result.port or 0,
        priority=result.priority or 0,
        created=bearer.created,
        asleep=bearer.state.reason if bearer.state is not None else "",
        keep_live=bearer.keep_live,
        names_routers=result.names_routers,
        reach=lambda port: bearer.reach(result, port),
    )


def _not_taken(bearer: Bearer, result: LabelResult, settings: Settings) -> Verdict | None:
    """The verdict on a bearer that is not looked at further."""
    prefix, where = settings.prefix, f"providers.{settings.section}"
    bad_enable = next((problem for problem in result.problems if problem.path == "enable"), None)
    if bad_enable is not None:
        return Verdict("BAD_LABEL", f"{bad_enable.source}: {bad_enable.message}", f"write {prefix}.enable=true")
    if result.enable is False:
        return Verdict("NOT_ENABLED", f"its labels say {prefix}.enable=false", f"set the label {prefix}.enable=true")
    if result.enable is None and not settings.exposed_by_default:
        reason = f"{where}.exposedByDefault is false and no label enables it"
        return Verdict("NOT_ENABLED", reason, f"add the label {prefix}.enable=true")
    if not settings.constraint(bearer.labels):
        reason = f"it does not meet the provider's constraints: {settings.constraints}"
        return Verdict("CONSTRAINTS", reason, f"add the labels that {where}.constraints asks for")
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


def is_true(text: str) -> bool:
    return text.strip().lower() in ("1", "t", "true")


def _with_later(merged: Merged, seen: Sequence[_Seen]) -> DynamicConfiguration:
    """The http part, with tcp, udp and the certificate stores put together name by name as they stand."""
    later: dict[str, dict[str, Any]] = {"tcp": {}, "udp": {}}
    stores: dict[str, TLSStore] = {}
    for one in seen:
        if one.draft is None or not one.draft.item.live:
            continue
        configuration = one.draft.item.configuration
        stores.update(configuration.tls.stores)
        for part, data in (("tcp", configuration.tcp), ("udp", configuration.udp)):
            for section, objects in data.items():
                if isinstance(objects, Mapping):
                    later[part].setdefault(section, {}).update(objects)
    return DynamicConfiguration(http=merged.http, tls=TlsConfiguration(stores=stores), **later)


def _workload(seen: _Seen, merged: Merged, settings: Settings) -> Workload:
    bearer = seen.bearer
    routers = merged.routers.get(bearer.id, ())
    servers = _servers(seen)
    verdict = _final(seen, merged, routers, settings)
    return Workload(
        id=bearer.id,
        name=bearer.name,
        kind=bearer.kind,
        verdict=verdict.code,
        reason=verdict.reason,
        fix=verdict.fix,
        routers=routers,
        services=merged.services.get(bearer.id, ()),
        servers=servers,
        detail=dict(bearer.detail),
        rules=dict(seen.rules),
    )


def _servers(seen: _Seen) -> tuple[str, ...]:
    if seen.draft is None or seen.verdict.code != ROUTED:
        return ()
    found: list[str] = []
    for service in seen.draft.services.values():
        found.extend(server.url for server in getattr(service.options, "servers", ()))
    return tuple(dict.fromkeys(found))


def _final(seen: _Seen, merged: Merged, routers: tuple[str, ...], settings: Settings) -> Verdict:
    """The verdict for the ledger: the state first, then what the labels and the network made of it."""
    if seen.draft is None or seen.verdict.code != ROUTED:
        return seen.verdict
    own = [problem for problem in seen.problems if problem.severity == "error"]
    if own:
        return Verdict("BAD_LABEL", f"{own[0].path}: {own[0].message}", own[0].hint)
    failed = seen.draft.failed
    if failed is not None:
        return Verdict(failed.code, failed.reason, failed.fix)
    if seen.bearer.id in merged.shadowed:
        return Verdict("SHADOWED", merged.shadowed[seen.bearer.id], "use another name, or the same labels on both")
    faults = [problem for problem in seen.draft.problems if problem.severity == "error"]
    if faults:
        return Verdict("NO_ROUTER", f"{faults[0].path}: {faults[0].message}", faults[0].hint)
    if not routers and not merged.services.get(seen.bearer.id):
        fix = f"add the label {settings.prefix}.http.routers.NAME.rule=Host(`example.com`)"
        return Verdict("NO_ROUTER", f"no label of {seen.bearer.title} makes a router or service", fix)
    return seen.verdict
