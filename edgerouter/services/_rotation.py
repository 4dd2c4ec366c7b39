"""Turns in exact proportion to weights; compiled. Knows neither servers nor services, only keys and weights.

After any number of turns a member has had its exact share, more or less by less than one turn. That is the earliest
deadline first rule with release times: a member may have its k-th turn only when its share has grown beyond k - 1, and
of those that may, the one goes first whose share reaches k soonest. Everything is whole numbers: nothing drifts.
"""

from __future__ import annotations

from math import gcd
from typing import Final

from mypy_extensions import i64

_LARGEST: Final = 1 << 30  # sum of weights: products of two stay inside of 63 bits


class Share:
    """One member. ``credit`` is what is due to it, in units of one turn divided by the sum of weights."""

    def __init__(self, key: str, weight: int) -> None:
        self.key = key
        self.weight: i64 = weight
        self.credit: i64 = 0


class Rotation:
    """Whose turn it is. ``phase`` (0 <= phase < 1) is the part of the first cycle that is taken as done."""

    def __init__(self, phase: float = 0.0) -> None:
        self._phase = phase
        self._shares: list[Share] = []
        self._total: i64 = 0
        self._order: list[int] = []  # all weights equal: members in order of their turns, taken from _turn on
        self._turn = 0

    def next(self) -> int:
        """Return the index of the member whose turn it is, -1 when there is none."""
        order = self._order
        size = len(order)
        if size == 0:
            return self._next_of_unequal()
        turn = self._turn
        if turn >= size:
            turn = 0
        self._turn = turn + 1
        return order[turn]

    def assign(self, members: list[tuple[str, int]]) -> None:
        """Set the members: (key, weight > 0). What was due to those that stay stays due to them."""
        self._settle()
        old = {share.key: share for share in self._shares}
        old_total = self._total
        self._shares = shares = [Share(key, weight) for key, weight in _reduced(members)]
        total: i64 = 0
        known = False
        for share in shares:
            total += share.weight
            known = known or share.key in old
        self._total = total
        if known:
            _carry_over(shares, total, old, old_total)
        else:
            _start_at(shares, total, int(self._phase * int(total)))
        self._order = []
        self._turn = 0
        if all(share.weight == 1 for share in shares):
            self._order = sorted(range(len(shares)), key=lambda i: -int(shares[i].credit))

    def _settle(self) -> None:
        """Write the place in an order of equals back into credits."""
        taken: i64 = self._turn
        for position, index in enumerate(self._order):
            self._shares[index].credit = taken - self._total if position < self._turn else taken

    def _next_of_unequal(self) -> int:
        total = self._total
        chosen: Share | None = None
        chosen_index = -1
        chosen_left: i64 = 0
        for index, share in enumerate(self._shares):
            credit = share.credit + share.weight
            share.credit = credit
            if credit > 0:
                left = total - credit
                if chosen is None or left * chosen.weight < chosen_left * share.weight:
                    chosen = share
                    chosen_index = index
                    chosen_left = left
        if chosen is not None:
            chosen.credit -= total
        return chosen_index


def _reduced(members: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Divide the weights by what they have in common; scale down a sum that is too large to calculate with."""
    common = 0
    for _, weight in members:
        common = gcd(common, weight)
    total = sum(weight for _, weight in members) // max(common, 1)
    if total <= _LARGEST:
        return [(key, weight // common) for key, weight in members]
    return [(key, max(1, weight // common * (_LARGEST - len(members)) // total)) for key, weight in members]


def _carry_over(shares: list[Share], total: i64, old: dict[str, Share], old_total: i64) -> None:
    """What was due to members that left, or was owed by them, is divided among all by weight."""
    rest: i64 = 0
    for share in shares:
        before = old.get(share.key)
        if before is not None:
            share.credit = int(before.credit) * int(total) // int(old_total)
        rest += share.credit
    given: i64 = 0
    for share in shares:
        part = int(rest) * int(share.weight) // int(total)
        share.credit -= part
        given += part
    shares[0].credit -= rest - given


def _start_at(shares: list[Share], total: i64, done: int) -> None:
    """Credits as they are after ``done`` turns: whole shares, then those whose turn is due soonest."""
    open_turns = done
    for share in shares:
        due = int(share.weight) * done
        share.credit = due % int(total)
        open_turns -= due // int(total)
    waiting = [share for share in shares if share.credit > 0]
    waiting.sort(key=lambda share: int(total - share.credit) / int(share.weight))
    for share in waiting[:open_turns]:
        share.credit -= total


def worker_phase(shared: object) -> float:
    """Return where in a cycle this worker starts: 0, 1/2, 1/4, 3/4, 1/8 ... for worker 0, 1, 2, 3, 4 ...

    Neighbours are as far apart as can be, whatever the number of workers, so that few requests on each still add up
    to the right fractions.
    """
    slot = int(getattr(shared, "worker_slot", 0))
    phase, step = 0.0, 0.5
    while slot > 0:
        if slot % 2:
            phase += step
        slot //= 2
        step /= 2
    return phase
