"""How full the memory is that all workers share for limits and breakers, as metrics. It is bounded and never given back
while the router runs (``telemetry.records``): who changes options without end must see it coming."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from edgerouter.contracts.snapshot import Sample
from edgerouter.telemetry.records import SharedRecords

FAMILIES: Final[dict[str, tuple[str, str]]] = {
    "edgerouter_shared_records": ("gauge", "Records of limits and breakers that all workers share."),
    "edgerouter_shared_records_limit": ("gauge", "The number of records at which no more can be shared."),
    "edgerouter_shared_records_lost_total": (
        "counter",
        "Records that found no room: their limits count in each worker by itself. A restart makes room.",
    ),
}


def record_samples(records: SharedRecords) -> Callable[[], Iterable[Sample]]:
    """A source of samples for the metrics registry."""

    def samples() -> Iterable[Sample]:
        used, limit = records.used()
        values = (used, limit, records.lost())
        for (name, (kind, _)), value in zip(FAMILIES.items(), values, strict=True):
            yield Sample(name, kind, {}, value)

    return samples
