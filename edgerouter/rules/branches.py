"""What must hold for a rule to be true, one branch for each way to make it true: the raw material of indexes."""

from __future__ import annotations

from typing import Final

from edgerouter.contracts.plugins import Predicate
from edgerouter.rules.predicates import ANY, HEADER, HOST, HOST_UNDER, PATH, PREFIX, All, Clause, Either, Need

_MOST: Final = 64  # branches of one conjunction; beyond, the least telling parts are left to the predicate


class Branch:
    """Necessary conditions, all of which hold when this way of making the rule true does.

    ``host_kind`` is ANY, HOST or HOST_UNDER; ``path_kind`` is ANY, PATH or PREFIX; ``header`` is "" or a name.
    ``whole``: they are sufficient as well, so nothing is left for the predicate to find out.
    """

    def __init__(self) -> None:
        self.host_kind = ANY
        self.host = ""
        self.path_kind = ANY
        self.path = ""
        self.header = ""
        self.header_value = ""
        self.whole = True

    def key(self) -> tuple[int, str, int, str, str, str]:
        """Equal for equal branches."""
        return (self.host_kind, self.host, self.path_kind, self.path, self.header, self.header_value)

    def take(self, other: Branch) -> None:
        """Narrow this branch by another's conditions, keeping the more telling of each pair."""
        self.whole = self.whole and other.whole and not self._shares_kind(other)
        if other.host_kind == HOST or (other.host_kind == HOST_UNDER and self.host_kind == ANY):
            self.host_kind, self.host = other.host_kind, other.host
        if other.path_kind != ANY and self.path_kind != PATH:
            if other.path_kind == PATH or len(other.path) >= len(self.path):
                self.path_kind, self.path = other.path_kind, other.path
        if other.header:
            self.header, self.header_value = other.header, other.header_value

    def _shares_kind(self, other: Branch) -> bool:
        """True when only one of two conditions on the same thing can be kept."""
        return (
            (self.host_kind != ANY and other.host_kind != ANY)
            or (self.path_kind != ANY and other.path_kind != ANY)
            or (self.header != "" and other.header != "")
        )

    def weight(self) -> int:
        """How telling it is: higher leaves fewer rules to evaluate."""
        host = (0, 4, 3)[self.host_kind]
        path = {ANY: 0, PATH: 4, PREFIX: 2}[self.path_kind]
        return host + path + (1 if self.header else 0)


def branches_of(predicate: Predicate) -> list[Branch]:
    """Return at least one branch; whenever the predicate is true, every condition of some branch holds."""
    if isinstance(predicate, All):
        return _product([branches_of(part) for part in predicate.parts])
    if isinstance(predicate, Either):
        return _distinct([branch for part in predicate.parts for branch in branches_of(part)])
    branch = Branch()
    need = predicate.need() if isinstance(predicate, Clause) else None
    branch.whole = need is not None and need.whole
    if need is not None:
        _narrow(branch, need)
    return [branch]


def _narrow(branch: Branch, need: Need) -> None:
    if need.kind in (HOST, HOST_UNDER):
        branch.host_kind, branch.host = need.kind, need.value
    elif need.kind in (PATH, PREFIX):
        branch.path_kind, branch.path = need.kind, need.value
    elif need.kind == HEADER:
        branch.header, branch.header_value = need.name, need.value


def _product(factors: list[list[Branch]]) -> list[Branch]:
    """Combine every branch of one factor with every branch of the others, the most telling factors first."""
    factors.sort(key=_telling, reverse=True)
    result = [Branch()]
    for factor in factors:
        if len(result) * len(factor) > _MOST and len(result) > 1:
            for branch in result:
                branch.whole = False
            continue
        result = _distinct([_both(left, right) for left in result for right in factor])
    return result


def _telling(factor: list[Branch]) -> int:
    return min(branch.weight() for branch in factor)


def _both(left: Branch, right: Branch) -> Branch:
    branch = Branch()
    branch.take(left)
    branch.take(right)
    return branch


def _distinct(branches: list[Branch]) -> list[Branch]:
    found: dict[tuple[int, str, int, str, str, str], Branch] = {}
    for branch in branches:
        known = found.setdefault(branch.key(), branch)
        known.whole = known.whole or branch.whole  # two ways to be true: the wider one holds the other
    return list(found.values())
