"""A token bucket as one number: the time at which it will be full again. Pure; where the number is kept is others'.

A bucket of ``burst`` tokens that gets one each ``interval`` nanoseconds is full at ``full_at``; before, it lacks
``(full_at - now) / interval`` tokens. Taking a token moves ``full_at`` by one interval. So a bucket nobody uses needs
no memory, and all times are one clock's.
"""

from __future__ import annotations

from typing import Final

SECOND: Final = 1_000_000_000  # nanoseconds
_UNITS: Final = ((3600 * SECOND, "h"), (60 * SECOND, "m"))


class Rate:
    """``average`` requests a ``period`` (seconds), ``burst`` at once; who would wait ``most_wait`` is not refused."""

    def __init__(self, average: int, period: float, burst: int) -> None:
        self.interval = max(1, round(period * SECOND / average)) if average else 0
        self.burst = burst
        self.most_wait = min(self.interval // 2, SECOND // 2)

    def take(self, full_at: int, now: int) -> tuple[int, int]:
        """(wait, full_at): a token is taken if the wait, in nanoseconds, is at most ``most_wait``."""
        taken = max(full_at, now) + self.interval
        wait = max(0, taken - now - self.burst * self.interval)
        return (wait, taken) if wait <= self.most_wait else (wait, full_at)

    def left(self, full_at: int, now: int) -> int:
        """Whole tokens that are in the bucket."""
        lacking = -(-max(0, full_at - now) // self.interval)
        return max(0, self.burst - lacking)


def whole_seconds(nanoseconds: int) -> int:
    """Rounded up."""
    return -(-nanoseconds // SECOND)


def go_duration(nanoseconds: int) -> str:
    """As Go prints a duration: 1m30s, 59.5s, 250ms."""
    if nanoseconds == 0:
        return "0s"
    for size, unit in ((SECOND, ""), (1_000_000, "ms"), (1000, "µs"), (1, "ns")):
        if nanoseconds >= size and unit:
            return f"{_decimal(nanoseconds, size)}{unit}"
        if nanoseconds >= size:
            break
    text = ""
    for size, unit in _UNITS:
        whole, nanoseconds = divmod(nanoseconds, size)
        if whole or text:
            text += f"{whole}{unit}"
    return f"{text}{_decimal(nanoseconds, SECOND)}s"


def _decimal(amount: int, size: int) -> str:
    whole, rest = divmod(amount, size)
    if not rest:
        return str(whole)
    return str(whole) + "." + str(size + rest)[1:].rstrip("0")
