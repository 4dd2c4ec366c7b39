"""The ledger: what became of every workload that was seen. Memory and nothing else; verdicts come from the build."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from edgerouter.contracts.snapshot import Workload
from edgerouter.control.view import WorkloadView

KEPT: Final = 1000  # workloads that left
KEPT_SECONDS: Final = 24 * 3600.0


class Ledger:
    """Every workload present, and the last 1,000 that left within 24 hours. ``before``: lines to go on with."""

    def __init__(self, kept: int = KEPT, seconds: float = KEPT_SECONDS, before: Iterable[WorkloadView] = ()) -> None:
        self._kept = kept
        self._seconds = seconds
        self._present: dict[tuple[str, str], WorkloadView] = {}
        self._left: dict[tuple[str, str], WorkloadView] = {}  # in the order of leaving
        for line in reversed(tuple(before)):
            (self._left if line.left else self._present)[line.provider, line.id] = line

    def update(self, workloads: Iterable[tuple[str, Workload]], now: float) -> None:
        """Enter what is there now; ``now`` in Unix seconds."""
        before, self._present = self._present, {}
        for provider, workload in workloads:
            key = (provider, workload.id)
            returned = self._left.pop(key, None)
            self._present[key] = _line(provider, workload, before.get(key) or returned, now)
        for key, line in before.items():
            if key not in self._present:
                self._left[key] = msgspec.structs.replace(line, left=now)
        self._forget(now)

    def lines(self, now: float) -> tuple[WorkloadView, ...]:
        """Those present by provider and name, then those that left, the last one first."""
        self._forget(now)
        present = sorted(self._present.values(), key=lambda line: (line.provider, line.name, line.id))
        return (*present, *reversed(self._left.values()))

    def _forget(self, now: float) -> None:
        while self._left:
            key, line = next(iter(self._left.items()))
            if len(self._left) <= self._kept and now - line.left < self._seconds:
                break
            del self._left[key]


def _line(provider: str, workload: Workload, before: WorkloadView | None, now: float) -> WorkloadView:
    fields = msgspec.structs.asdict(workload)
    same = before is not None and (before.verdict, before.reason) == (workload.verdict, workload.reason)
    return WorkloadView(
        provider=provider,
        first_seen=now if before is None else before.first_seen,
        changed=before.changed if before is not None and same else now,
        **fields,
    )
