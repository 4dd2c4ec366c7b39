"""What became of the copies that mirroring services sent: samples for the metrics, read from the workers' records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from edgerouter.contracts.snapshot import Sample
from edgerouter.control.view import View
from edgerouter.services.mirroring import DROPPED, FAILED, SENT, record_of
from edgerouter.telemetry.records import RecordBusy, SharedRecords

NAME: Final = "edgerouter_service_mirrors_total"
FAMILIES: Final = {NAME: ("counter", "Copies of requests, by service and what became of them.")}
_RESULTS: Final = (("sent", SENT), ("dropped", DROPPED), ("failed", FAILED))
log = logging.getLogger("edgerouter.control")


def mirror_samples(view: Callable[[], View], records: SharedRecords) -> Callable[[], Iterable[Sample]]:
    """A source for ``MetricsRegistry.add_source``."""

    def samples() -> Iterable[Sample]:
        for name, service in view().services.items():
            if service.kind != "mirroring":
                continue
            try:
                record = record_of(records, name)
            except RecordBusy as error:
                log.warning("copies of %s cannot be counted now: %s", name, error)
                continue
            for word, index in _RESULTS:
                yield Sample(NAME, "counter", {"service": name, "result": word}, record.total(index))

    return samples
