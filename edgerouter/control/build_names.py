"""What to say about a name that nothing has: where it exists, or which one was meant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

from edgerouter.config.types import Problem
from edgerouter.control.aggregate import INTERNAL, provider_of

_LOOKS: Final = 50  # similar names are looked for this often a build: a search costs 10 ms among 10,000 names


class Names:
    """The qualified names of one kind of object in one build. ``word`` is what people call it (``middleware``)."""

    def __init__(self, word: str, names: Collection[str], problems: dict[str, tuple[Problem, ...]]) -> None:
        self.word = word
        self._names = names
        self._problems = problems
        self._bare: dict[str, list[str]] | None = None
        self._looks = _LOOKS

    def missing(self, name: str) -> tuple[str, str]:
        """The sentence for a name that does not exist, and the hint."""
        bare, _, provider = name.rpartition("@")
        broken = self._broken(bare, provider)
        if broken:
            return f"{self.word} {name!r} is broken: {broken.message}", broken.hint
        elsewhere = self._elsewhere(bare)
        if elsewhere:
            found = " and ".join(sorted({provider_of(other) for other in elsewhere}))
            message = f"{self.word} {name!r} does not exist; there is one of that name in the provider {found}"
            return message, f"write {' or '.join(elsewhere)}"
        return f"{self.word} {name!r} does not exist", self._similar(name, provider)

    def _broken(self, bare: str, provider: str) -> Problem | None:
        """The problem that kept the provider from giving this object."""
        mark = f"{self.word}s.{bare}".lower()
        for problem in self._problems.get(provider, ()):
            path = problem.path.lower()
            at = path.find(mark)
            if at >= 0 and problem.severity == "error" and path[at + len(mark) :][:1] in ("", ".", "=", "[", " ", ":"):
                return problem
        return None

    def _elsewhere(self, bare: str) -> list[str]:
        if self._bare is None:
            self._bare = {}
            for name in self._names:
                self._bare.setdefault(name.rpartition("@")[0], []).append(name)
        return sorted(self._bare.get(bare, ()))

    def _similar(self, name: str, provider: str) -> str:
        self._looks -= 1
        if self._looks < 0:
            return ""
        if provider == INTERNAL:
            return self._internal(name.rpartition("@")[0])
        near = get_close_matches(name, self._names, 1, 0.7)
        if near and provider_of(near[0]) == provider:
            return f"did you mean {near[0].rpartition('@')[0]!r}?"
        return f"did you mean {near[0]!r}?" if near else ""

    def _internal(self, bare: str) -> str:
        """Few have that provider, and all of them are worth naming."""
        known = sorted(name for name in self._names if provider_of(name) == INTERNAL)
        near = get_close_matches(bare, [name.rpartition("@")[0] for name in known], 1, 0.7)
        if near:
            return f"did you mean '{near[0]}@{INTERNAL}'?"
        return f"there is: {', '.join(known)}" if known else ""


def guarded(name: str, provider: str, guard: Iterable[str]) -> tuple[str, str] | None:
    """The sentence and hint for a reference to ``@internal`` from a provider that may not make one, or None."""
    if provider_of(name) != INTERNAL or provider not in guard:
        return None
    return (
        f"{name!r} must not be used from {provider}: whoever writes its labels may not own the router",
        f"set providers.{provider}.allowInternal=true to trust them, or define the router in a file",
    )
