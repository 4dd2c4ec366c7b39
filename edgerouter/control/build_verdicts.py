"""What the build means for workloads: a container is routed only if one of its routers is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from edgerouter.contracts.snapshot import Workload
from edgerouter.control.aggregate import qualify
from edgerouter.control.build_types import Fault

ROUTED: Final = "ROUTED"
_CODES: Final = {
    "rule": "BAD_RULE",
    "parentRefs": "BAD_RULE",
    "entryPoints": "NO_ENTRY_POINT",
    "shadowed": "SHADOWED",
    "tls.options": "BAD_TLS_OPTIONS",
    "service": "BAD_SERVICE",
    "middlewares": "BAD_MIDDLEWARE",
}
_FIXES: Final = {  # where the fault itself has no hint
    "rule": "mend the rule",
    "service": "define that service, or leave out the router's service",
    "middlewares": "define that middleware, or take it out of the router's middlewares",
}


def judge(
    workloads: tuple[tuple[str, Workload], ...],
    faults: Mapping[str, list[Fault]],
    clones: Mapping[str, tuple[str, ...]],
) -> tuple[tuple[str, Workload], ...]:
    """Workloads with the verdict that the build came to; those that a provider did not call routed stay as they are."""
    return tuple((provider, _judged(provider, workload, faults, clones)) for provider, workload in workloads)


def _judged(
    provider: str, workload: Workload, faults: Mapping[str, list[Fault]], clones: Mapping[str, tuple[str, ...]]
) -> Workload:
    if workload.verdict != ROUTED or not workload.routers:
        return workload
    bad: list[tuple[str, Fault]] = []
    good = 0
    for router in workload.routers:
        for name in clones.get(qualify(router, provider), (qualify(router, provider),)):
            fault = _worst(faults.get(name, ()))
            if fault is None:
                good += 1
            else:
                bad.append((name, fault))
    if not bad:
        return workload
    name, fault = bad[0]
    verdict = ROUTED if good else _CODES.get(fault.field, "BAD_CONFIG")
    return msgspec.structs.replace(
        workload,
        verdict=verdict,
        reason=f"router {name!r}: {fault.message}",
        fix=fault.hint or workload.fix or _FIXES.get(fault.field, ""),
    )


def _worst(faults: list[Fault] | tuple[()]) -> Fault | None:
    """The first fault that keeps requests from the workload."""
    return next((fault for fault in faults if fault.refuses or fault.field == "shadowed"), None)
