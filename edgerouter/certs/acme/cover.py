"""Which sets of names another set serves as well, so that no certificate of their own need be ordered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgerouter.certs.acme.wanted import Names, covers


class Cover:
    """``sets``: those that certificates are for, or will be."""

    def __init__(self, sets: Iterable[Names] = ()) -> None:
        self._by_name: dict[str, list[Names]] = {}
        for names in sets:
            for name in names:
                self._by_name.setdefault(name, []).append(names)

    def all_for(self, names: Names) -> Iterator[Names]:
        """The sets that serve all of these names."""
        first = names[0]
        for key in {first, f"*.{first.partition('.')[2]}"}:
            for other in self._by_name.get(key, ()):
                if covers(other, names):
                    yield other

    def instead_of(self, names: Names) -> Iterator[Names]:
        """Other sets likewise; of two that serve each other's names the one with more goes first."""
        for other in self.all_for(names):
            if other != names and (not covers(names, other) or (-len(other), other) < (-len(names), names)):
                yield other
