"""Numbers for entry points, routers and services in the metrics memory. Pure but for its own memory.

A number is never given to another name while this process lives: a worker that still counts under it would mix two
series. A name that returns while it is known gets its old number and its counters go on; once it was dropped
(``control.reclaim`` says when) it gets a new one and begins at nothing. ``state`` travels through a live upgrade.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LAST: Final = "#last"  # the room of the last number that each room gave


class Keys:
    """Hands out numbers from 1 on, one sequence a room (``entrypoint``, ``router``, ``service``); 0 means none."""

    def __init__(self, state: dict[str, dict[str, int]] | None = None) -> None:
        self.state: dict[str, dict[str, int]] = state if state is not None else {}
        self._names: dict[str, dict[int, str]] = {
            room: {key: name for name, key in names.items()} for room, names in self.state.items() if room != _LAST
        }
        last = self.state.setdefault(_LAST, {})
        for room, known in self._names.items():
            last[room] = max(last.get(room, 0), *known, 0)

    def key(self, room: str, name: str) -> int:
        """The number of this name, a new one when it has none."""
        names = self.state.setdefault(room, {})
        key = names.get(name)
        if key is None:
            last = self.state[_LAST]
            key = last[room] = last.get(room, 0) + 1
            names[name] = key
            self._names.setdefault(room, {})[key] = name
        return key

    def name(self, room: str, key: int) -> str:
        """The name behind a number, "" for none."""
        return self._names.get(room, {}).get(key, "")

    def known(self, room: str) -> Mapping[int, str]:
        """All names of a room by their numbers."""
        return self._names.get(room, {})

    def drop(self, room: str, key: int) -> None:
        """Forget a name; its number stays used."""
        name = self._names.get(room, {}).pop(key, None)
        if name is not None:
            del self.state[room][name]
