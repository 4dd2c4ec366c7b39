"""Makes a routing table out of the one before and a list of routers; only what differs costs work.

A worker adds every router that the new table shall have, runs ``build_steps`` in slices, and takes ``finish``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from edgerouter.contracts.plugins import Route, Service
from edgerouter.routing.entry import Entry
from edgerouter.routing.hosts import HostIndex
from edgerouter.routing.table import RoutingTable, Section

if TYPE_CHECKING:
    from edgerouter.rules.compile import Rule

_COMPARED: Final = 64  # routers compared with the table before between two steps
_CHANGED: Final = 4  # routers put in or taken out between two steps


class TableBuilder:
    """``services`` is filled by the caller. ``precedence`` lists providers, the first winning among equal priorities.

    One step of ``build_steps`` takes far less than a millisecond; run it to its end, or call ``finish`` at once.
    """

    def __init__(self, previous: RoutingTable | None = None, precedence: tuple[str, ...] = ()) -> None:
        before = RoutingTable() if previous is None else previous
        self.services: dict[str, Service] = {}
        self._before = before
        self._owner = before.owner + 1
        self._precedence = {provider: f"{place:04d} " for place, provider in enumerate(precedence)}
        self._added: dict[str, Entry] = {}
        self._entries: dict[str, Entry] = {}
        self._plain: dict[str, Section] = before.plain.copy()
        self._secure: dict[str, Section] = before.secure.copy()
        self._steps: Iterator[None] | None = None

    def add(self, route: Route, entry_points: tuple[str, ...], tls: bool, rule: Rule | None) -> None:
        """A router of the new table. ``rule`` None: it could not be read, and reserves nothing."""
        self._added[route.name] = Entry(route, entry_points, tls, rule, self._tie(route.name))

    def build_steps(self) -> Iterator[None]:
        """Yields often; nothing may be added from the first step on."""
        if self._steps is None:
            self._steps = self._work()
        return self._steps

    def finish(self) -> RoutingTable:
        """Do what is left of the steps and return the new table; the one before stays as it is."""
        for _ in self.build_steps():
            pass
        return RoutingTable(self._owner, self._entries, self._plain, self._secure, self.services)

    def _tie(self, name: str) -> str:
        return self._precedence.get(name.rpartition("@")[2], "9999 ") + name

    def _work(self) -> Iterator[None]:
        before = self._before.entries
        count = 0
        for name, old in before.items():
            count += 1
            if name not in self._added:
                self._remove(old)
                count += _COMPARED // _CHANGED
            if count >= _COMPARED:
                count = 0
                yield
        for name, entry in self._added.items():
            count += 1
            known = before.get(name)
            if known is not None and known.same(entry):
                self._entries[name] = known
            else:
                self._replace(known, entry)
                count += _COMPARED // _CHANGED
            if count >= _COMPARED:
                count = 0
                yield

    def _replace(self, old: Entry | None, entry: Entry) -> None:
        if old is not None:
            self._remove(old)
        self._entries[entry.route.name] = entry
        rule = entry.rule
        if rule is None:
            return
        for index in self._indexes(entry):
            for branch in rule.branches:
                index.add(entry, branch)

    def _remove(self, entry: Entry) -> None:
        rule = entry.rule
        if rule is None:
            return
        for index in self._indexes(entry):
            for branch in rule.branches:
                index.remove(entry, branch)

    def _indexes(self, entry: Entry) -> list[HostIndex]:
        """The index of each entry point that the entry belongs to, to be changed."""
        sections = self._secure if entry.tls else self._plain
        found: list[HostIndex] = []
        for name in dict.fromkeys(entry.entry_points):
            section = sections.get(name)
            if section is None:
                section = Section(self._owner)
            elif section.owner != self._owner:
                section = section.copy(self._owner)
            sections[name] = section
            found.append(self._index(section, entry.asleep))
        return found

    def _index(self, section: Section, asleep: bool) -> HostIndex:
        if not asleep:
            if section.live.owner != self._owner:
                section.live = section.live.copy(self._owner)
            return section.live
        sleeping = section.asleep
        if sleeping is None:
            sleeping = HostIndex(self._owner)
        elif sleeping.owner != self._owner:
            sleeping = sleeping.copy(self._owner)
        section.asleep = sleeping
        return sleeping
