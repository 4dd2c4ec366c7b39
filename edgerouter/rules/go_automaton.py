"""Says whether a Go regular expression matches, in time linear in the text, whatever the pattern.

States are sets of instructions, made when first needed and kept, a bounded number of them. Where match and groups are
is ``go_spans``' question. Text is Unicode.
"""

from __future__ import annotations

from typing import Final

from edgerouter.rules.go_program import CHAR, JUMP, MATCH, SAVE, SPLIT, Program
from edgerouter.rules.go_syntax import BEGIN_LINE, BEGIN_TEXT, BOUNDARY, END_LINE, END_TEXT, NO_BOUNDARY

_MOST_KEPT: Final = 10000  # transitions of one automaton, about 1 MB at most; beyond, it starts to learn anew
_STATE_COST: Final = 10  # a state is as large as that many transitions
_START: Final = 0  # what stands before: nothing, a line feed, a word's character, any other
_LINE: Final = 1
_WORD: Final = 2
_OTHER: Final = 3
_LINES: Final = BEGIN_LINE | END_LINE
_WORDS: Final = BOUNDARY | NO_BOUNDARY
_WORD_CHARS: Final = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")


class State:
    """``codes`` are the instructions that wait for the next character; ``before`` the kind of the character before."""

    def __init__(self, codes: tuple[int, ...], before: int) -> None:
        self.codes = codes
        self.before = before
        self.ascii: list[State | None] = []  # by character code, 128 of them once the first is known
        self.others: dict[str, State] | None = None
        self.at_end = -1  # whether the text may end here: 1 or 0, -1 not known yet
        self.final = False


class Automaton:
    """The yes-or-no matcher of one program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._states: dict[tuple[tuple[int, ...], int], State] = {}
        self._kept = 0
        self._matched = State((), -1)
        self._matched.final = True
        self._dead = State((), -2)
        self._dead.final = True
        self._plain = program.assertions == 0  # then states hold what is reached, for it never depends on the text
        self._reach: dict[int, list[int]] = {}
        self._anchored = not _closure(program, [0], ~BEGIN_TEXT)  # nothing can begin behind the first character
        self._start = self._first()

    def search(self, text: str) -> bool:
        """True when some part of the text matches."""
        if not text.isascii():
            return self._search_any(text)
        state = self._start
        for code in text.encode("ascii"):
            table = state.ascii
            following = table[code] if table else None
            if following is None:
                following = self._step(state, chr(code))
            if following.final:
                return following is self._matched
            state = following
        return self._at_end(state)

    def _search_any(self, text: str) -> bool:
        state = self._start
        for char in text:
            others = state.others
            following = None if others is None else others.get(char)
            if following is None:
                following = self._step(state, char)
            if following.final:
                return following is self._matched
            state = following
        return self._at_end(state)

    def _at_end(self, state: State) -> bool:
        if state.at_end < 0:
            state.at_end = int(self._ends(state))
        return state.at_end == 1

    def _first(self) -> State:
        codes = sorted(self._reached(0)) if self._plain else [0]
        return self._state(tuple(codes), _START)

    def _reached(self, code: int) -> list[int]:
        """The instruction itself; for programs without assertions all that is reached from it without reading on."""
        if not self._plain:
            return [code]
        found = self._reach.get(code)
        if found is None:
            found = _closure(self._program, [code], 0)
            self._reach[code] = found
        return found

    def _state(self, codes: tuple[int, ...], before: int) -> State:
        key = (codes, before)
        state = self._states.get(key)
        if state is None:
            state = State(codes, before)
            self._states[key] = state
            self._kept += _STATE_COST
        return state

    def _step(self, state: State, char: str) -> State:
        """Work out where a character leads to, and keep the answer."""
        if self._kept >= _MOST_KEPT:
            state = self._forget(state)
        program = self._program
        waiting = list(state.codes)
        if not self._plain:
            waiting = _closure(program, waiting, assertions_between(state.before, char))
        following = self._follow(waiting, char)
        self._keep(state, char, following)
        return following

    def _keep(self, state: State, char: str, following: State) -> None:
        self._kept += 1
        if char.isascii():
            if not state.ascii:
                state.ascii = [None] * 128
            state.ascii[ord(char)] = following
        if state.others is None:
            state.others = {}
        state.others[char] = following

    def _forget(self, state: State) -> State:
        """Drop all states; links are cut, for states refer to each other. Return a new one in the place of this."""
        for old in self._states.values():
            old.ascii = []
            old.others = None
        self._kept = 0
        self._states = {}
        self._start = self._first()
        return self._state(state.codes, state.before)

    def _follow(self, waiting: list[int], char: str) -> State:
        program = self._program
        codes: set[int] = set()
        for code in waiting:
            if program.operations[code] == MATCH:
                return self._matched
            if program.sets[program.first[code]].has(char):
                codes.update(self._reached(code + 1))
        if not self._anchored:
            codes.update(self._reached(0))
        if not codes:
            return self._dead
        return self._state(tuple(sorted(codes)), self._kind(char))

    def _kind(self, char: str) -> int:
        """Kinds that the program's assertions do not tell apart are one, for fewer states."""
        kind = kind_of(char)
        assertions = self._program.assertions
        if kind == _LINE and not assertions & _LINES:
            return _OTHER
        if kind == _WORD and not assertions & _WORDS:
            return _OTHER
        return kind

    def _ends(self, state: State) -> bool:
        program = self._program
        waiting = _closure(program, list(state.codes), assertions_between(state.before, ""))
        return any(program.operations[code] == MATCH for code in waiting)


def kind_of(char: str) -> int:
    """What kind of neighbour a character is; "" is the text's edge."""
    if not char:
        return _START
    if char == "\n":
        return _LINE
    return _WORD if char in _WORD_CHARS else _OTHER


def assertions_between(before: int, char: str) -> int:
    """All assertions that hold between a character of the kind ``before`` and this one ("": the end)."""
    after = kind_of(char)
    found = NO_BOUNDARY if (before == _WORD) == (after == _WORD) else BOUNDARY
    if before == _START:
        found |= BEGIN_TEXT | BEGIN_LINE
    elif before == _LINE:
        found |= BEGIN_LINE
    if after == _START:
        found |= END_TEXT | END_LINE
    elif after == _LINE:
        found |= END_LINE
    return found


def _closure(program: Program, codes: list[int], holding: int) -> list[int]:
    """Every CHAR and MATCH that is reached from the instructions without reading a character."""
    operations, first, second = program.operations, program.first, program.second
    seen: set[int] = set()
    found: list[int] = []
    while codes:
        code = codes.pop()
        if code in seen:
            continue
        seen.add(code)
        operation = operations[code]
        if operation in (CHAR, MATCH):
            found.append(code)
        elif operation == JUMP:
            codes.append(first[code])
        elif operation == SPLIT:
            codes.append(first[code])
            codes.append(second[code])
        elif operation == SAVE or first[code] & holding == first[code]:
            codes.append(code + 1)
    return found
