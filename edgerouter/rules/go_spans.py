"""Where the match of a Go regular expression and its groups are (leftmost-first, as Go), in time linear in the text.

Alternatives are walked side by side in the order of their preference. What a character does to an ordered set of them
is worked out once and kept, a bounded number of times; a text is then one look-up a character, and groups are found by
going back from the match along the way that led to it. Text is Unicode.
"""

from __future__ import annotations

from typing import Final

from edgerouter.rules.go_automaton import assertions_between, kind_of
from edgerouter.rules.go_program import ASSERT, CHAR, JUMP, MATCH, SAVE, SPLIT, Program

_MOST_KEPT: Final = 4000  # steps of one pattern, half a MB at most; beyond, it starts to learn anew
_NOWHERE: Final = -1


class Walk:
    """``codes``: the alternatives, the preferred one first, by the instruction that each is at before it is seen what
    follows. ``fresh``: the place of the one that begins here, -1 once there is a match."""

    def __init__(self, codes: tuple[int, ...], before: int, fresh: int) -> None:
        self.codes = codes
        self.before = before
        self.fresh = fresh
        self.steps: dict[str, Step] = {}


class Step:
    """What one character ("": the end) does. ``match``: the place of the alternative that ends here, -1 for none.
    ``sources``: for each alternative that goes on, the one that it was; ``saves``: what either writes down here."""

    def __init__(self, match: int, match_saves: list[int]) -> None:
        self.match = match
        self.match_saves = match_saves
        self.sources: list[int] = []
        self.saves: list[list[int]] = []
        self.following: Walk | None = None  # nothing goes on


class Thread:
    """One alternative while a step is worked out."""

    def __init__(self, code: int, source: int, saves: list[int]) -> None:
        self.code = code
        self.source = source
        self.saves = saves


class Spans:
    """Finds where the match and its groups begin and end. ``looked_at`` counts characters, over all searches."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._size = 2 * len(program.names)
        self._walks: dict[tuple[tuple[int, ...], int, int], Walk] = {}
        self._kept = 0
        self.looked_at = 0

    def find(self, text: str, start: int = 0) -> list[int] | None:
        """Flattened begin and end offsets of group 0, 1, ... (-1: did not take part) of the leftmost match."""
        walk = self._walk((0,), kind_of(text[start - 1 : start]) if start else kind_of(""), 0)
        steps: list[Step] = []
        best = _NOWHERE
        position, end = start, len(text)
        while True:
            char = text[position] if position < end else ""
            step = walk.steps.get(char)
            if step is None:
                step = self._step(walk, char)
            steps.append(step)
            if step.match >= 0:
                best = position
            following = step.following
            if following is None:
                break
            walk = following
            position += 1
        self.looked_at += len(steps)
        return None if best < 0 else self._traced(steps, start, best)

    def _traced(self, steps: list[Step], start: int, best: int) -> list[int]:
        """Back from the match: what is written down last counts."""
        spans = [-1] * self._size
        position = best
        step = steps[position - start]
        _write(spans, step.match_saves, position)
        place = step.match
        while position > start:
            step = steps[position - 1 - start]
            if place >= len(step.sources):  # it began here
                break
            position -= 1
            _write(spans, step.saves[place], position)
            place = step.sources[place]
        return spans

    def _walk(self, codes: tuple[int, ...], before: int, fresh: int) -> Walk:
        key = (codes, before, fresh)
        walk = self._walks.get(key)
        if walk is None:
            walk = Walk(codes, before, fresh)
            self._walks[key] = walk
        return walk

    def _step(self, walk: Walk, char: str) -> Step:
        """Work out what a character does, and keep the answer."""
        self._kept += 1 + len(walk.codes)
        if self._kept > _MOST_KEPT:
            self._forget()
        program = self._program
        step = Step(_NOWHERE, [])
        codes: list[int] = []
        for thread in self._spread(walk, assertions_between(walk.before, char)):
            code = thread.code
            if program.operations[code] == MATCH:
                step.match, step.match_saves = thread.source, thread.saves
                break
            if char and program.sets[program.first[code]].has(char):
                codes.append(code + 1)
                step.sources.append(thread.source)
                step.saves.append(thread.saves)
        seeks = walk.fresh >= 0 and step.match < 0
        if char and (codes or seeks):
            fresh = len(codes) if seeks else _NOWHERE
            step.following = self._walk((*codes, 0) if seeks else tuple(codes), kind_of(char), fresh)
        walk.steps[char] = step
        return step

    def _forget(self) -> None:
        """Drop all that was learnt; links are cut, for walks refer to each other."""
        for walk in self._walks.values():
            walk.steps = {}
        self._walks = {}
        self._kept = 0

    def _spread(self, walk: Walk, holding: int) -> list[Thread]:
        """All alternatives that wait for a character or have matched, the preferred ones first."""
        program = self._program
        operations, first, second = program.operations, program.first, program.second
        seen: set[int] = set()
        found: list[Thread] = []
        nothing: list[int] = []
        stack = [Thread(code, place, nothing) for place, code in enumerate(walk.codes)]
        stack.reverse()
        while stack:
            thread = stack.pop()
            code = thread.code
            if code in seen:
                continue
            seen.add(code)
            operation = operations[code]
            if operation in (CHAR, MATCH):
                found.append(thread)
            elif operation == JUMP:
                stack.append(Thread(first[code], thread.source, thread.saves))
            elif operation == SPLIT:
                stack.append(Thread(second[code], thread.source, thread.saves))
                stack.append(Thread(first[code], thread.source, thread.saves))
            elif operation == SAVE:
                stack.append(Thread(code + 1, thread.source, [*thread.saves, first[code]]))
            elif operation == ASSERT and first[code] & holding == first[code]:
                stack.append(Thread(code + 1, thread.source, thread.saves))
        return found


def _write(spans: list[int], saves: list[int], position: int) -> None:
    for number in saves:
        if spans[number] < 0:
            spans[number] = position
