"""Numbers for entry points, routers and services in the metrics memory. Pure but for its own memory.

A number is never given to another name while this process lives: workers only ever append blocks for new
combinations, so a number that came back under another name would mix two series. A name that returns gets its old
number and its counters go on. ``state`` travels through a live upgrade.
"""

from __future__ import annotations


class Keys:
    """Hands out numbers from 1 on, one sequence a room (``entrypoint``, ``router``, ``service``); 0 means none."""

    def __init__(self, state: dict[str, dict[str, int]] | None = None) -> None:
        self.state: dict[str, dict[str, int]] = state if state is not None else {}
        self._names: dict[str, dict[int, str]] = {
            room: {key: name for name, key in names.items()} for room, names in self.state.items()
        }

    def key(self, room: str, name: str) -> int:
        """The number of this name, a new one when it has none."""
        names = self.state.setdefault(room, {})
        key = names.get(name)
        if key is None:
            key = len(names) + 1
            names[name] = key
            self._names.setdefault(room, {})[key] = name
        return key

    def name(self, room: str, key: int) -> str:
        """The name behind a number, "" for none."""
        return self._names.get(room, {}).get(key, "")
