"""What several Ingresses want at once: who gets a path of a host, and in which order paths are tried. Pure.

One path of one host is the oldest Ingress's, and so is the cluster's default backend: whoever may write Ingresses in
one namespace must not take a path away from another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from edgerouter.config.types import Problem
from edgerouter.providers._ingress_rules import priorities
from edgerouter.providers._kubernetes_facts import PathRule

# Below everything that anybody writes (Traefik's default-router has the smallest 32-bit number).
LAST: Final = -(2**31)
# Routers in order, each with its path; None for one that takes whatever is left.
Places = tuple[tuple[str, PathRule | None], ...]


class Share(msgspec.Struct, frozen=True):
    """What an Ingress gets: the routers that are its own with their priorities, and a problem for each that is not."""

    ranks: dict[str, int]
    lost: tuple[Problem, ...] = ()


class Claims:
    """Remembers its last answer: it is asked at every change of the cluster, and paths seldom change."""

    def __init__(self) -> None:
        self._asked: list[tuple[str, Places]] = []
        self._answer: dict[str, Share] = {}

    def settle(self, wanted: list[tuple[str, Places]]) -> Mapping[str, Share]:
        """Return each Ingress's share, by its key; older ones stand first."""
        if wanted != self._asked:
            self._asked, self._answer = wanted, _settled(wanted)
        return self._answer


def _settled(wanted: Sequence[tuple[str, Places]]) -> dict[str, Share]:
    ranks = priorities(path for _, places in wanted for _, path in places if path is not None)
    owners: dict[PathRule | None, str] = {}
    shares: dict[str, Share] = {}
    for key, places in wanted:
        mine, lost = dict[str, int](), list[Problem]()
        for name, path in places:
            owner = owners.setdefault(path, key)
            if owner == key:
                mine[name] = LAST if path is None else ranks[path]
            else:
                lost.append(_loss(key, path, owner))
        shares[key] = Share(mine, tuple(lost))
    return shares


def _loss(key: str, path: PathRule | None, owner: str) -> Problem:
    what = f"{path.kind} {path.host or '*'}{path.path}" if path is not None else "the cluster's default backend"
    message = f"{what} belongs to the Ingress {owner}, which is older"
    return Problem(f"ingress {key}", message, "remove it from one of the two")
