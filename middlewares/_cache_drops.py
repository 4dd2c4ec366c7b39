"""What one worker's store dropped because its URL was changed, for the stores of the others: when, by key, in the table
that all workers share. Bodies are never shared: see the page of ``responseCache``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edgerouter.telemetry.keyed import Cells
from edgerouter.telemetry.records import RecordBusy, SharedRecords

_SECOND: Final = 1_000_000_000
_KNOWN_FOR: Final = 86_400 * _SECOND  # how long it is remembered, where there is room
_ATTEMPTS: Final = 200  # of 2 us; a lock is held for less


class Drops:
    """``name`` tells routers and middlewares apart. ``now`` is the machine's monotonic clock, the same for all."""

    def __init__(self, shared: SharedRecords, name: str, now: Callable[[], float]) -> None:
        self._shared = shared
        self._name = name
        self._now = now
        self._cells: Cells | None = None

    def _table(self) -> Cells:
        if self._cells is None:
            self._cells = Cells(self._shared)
        return self._cells

    def _number(self, cells: Cells, key: str) -> int:
        return cells.number_of(self._name, key)

    def note(self, key: str) -> None:
        """What anybody stored of this key until now does not count any more."""
        now = int(self._now() * _SECOND)
        for _ in range(_ATTEMPTS):
            try:
                cells = self._table()
                number = self._number(cells, key)
                with cells.lock(number):
                    cells.put(cells.place(number), now + _KNOWN_FOR, now)
                return
            except RecordBusy:
                continue

    def since(self, key: str, stored: float) -> bool:
        """True when the key was dropped after that time."""
        try:
            cells = self._table()
        except RecordBusy:
            return False
        return cells.look(self._number(cells, key)) > int(stored * _SECOND)
