"""The tree of a Go regular expression to a program for an automaton: no step of it ever goes back in the text."""

from __future__ import annotations

from typing import Final

from edgerouter.rules.go_classes import CharSet
from edgerouter.rules.go_syntax import (
    BEGIN_TEXT,
    CHARS,
    CHOICE,
    EMPTY,
    END_TEXT,
    GROUP,
    REPEAT,
    SEQUENCE,
    Pattern,
    Tree,
    UnsupportedError,
)

CHAR: Final = 0  # one character of set ``first``, then the next instruction
SPLIT: Final = 1  # both ``first`` and ``second``, ``first`` preferred
JUMP: Final = 2
ASSERT: Final = 3  # the assertion ``first``
SAVE: Final = 4  # remember the position as number ``first``
MATCH: Final = 5

_LARGEST: Final = 5000  # instructions; one character of text costs at most that many short steps


class Program:
    """Instructions side by side: operation and up to two operands each. ``names`` as in Pattern."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.operations: list[int] = []
        self.first: list[int] = []
        self.second: list[int] = []
        self.sets: list[CharSet] = []
        self.assertions = 0  # all that occur, or-ed

    def emit(self, operation: int, first: int = 0, second: int = 0) -> int:
        """Append an instruction and return its number; raises UnsupportedError when there are too many."""
        if len(self.operations) >= _LARGEST:
            raise UnsupportedError("the pattern is too large", 0)
        self.operations.append(operation)
        self.first.append(first)
        self.second.append(second)
        return len(self.operations) - 1

    def here(self) -> int:
        """The number that the next instruction will have."""
        return len(self.operations)


def make_program(pattern: Pattern) -> Program:
    """Raises UnsupportedError."""
    program = Program(pattern.names)
    program.emit(SAVE, 0)
    _emit(program, pattern.tree)
    program.emit(SAVE, 1)
    program.emit(MATCH)
    return program


def literal_prefix(tree: Tree) -> str:
    """What every text that matches begins with, "" when nothing is known: ``^/api/v[0-9]`` has ``/api/v``."""
    return "".join(_literals(_parts(tree), BEGIN_TEXT))


def literal_suffix(tree: Tree) -> str:
    """What every text that matches ends with, "" when nothing is known: ``[a-z]+[.]test$`` has ``.test``."""
    return "".join(_literals(_parts(tree)[::-1], END_TEXT)[::-1])


def _parts(tree: Tree) -> list[Tree]:
    return tree.parts if tree.kind == SEQUENCE else [tree]


def _literals(parts: list[Tree], edge: int) -> list[str]:
    """The single characters that stand next to an edge of the text."""
    found: list[str] = []
    if not parts or parts[0].kind != EMPTY or parts[0].low != edge:
        return found
    for part in parts[1:]:
        char = part.chars.only() if part.kind == CHARS and part.chars is not None else ""
        if not char:
            break
        found.append(char)
    return found


def _emit(program: Program, tree: Tree) -> None:
    if tree.kind == CHARS:
        assert tree.chars is not None
        program.sets.append(tree.chars)
        program.emit(CHAR, len(program.sets) - 1)
    elif tree.kind == EMPTY:
        program.assertions |= tree.low
        program.emit(ASSERT, tree.low)
    elif tree.kind == SEQUENCE:
        for part in tree.parts:
            _emit(program, part)
    elif tree.kind == CHOICE:
        _emit_choice(program, tree.parts)
    elif tree.kind == GROUP:
        program.emit(SAVE, 2 * tree.low)
        _emit(program, tree.parts[0])
        program.emit(SAVE, 2 * tree.low + 1)
    elif tree.kind == REPEAT:
        _emit_repeat(program, tree)


def _emit_choice(program: Program, parts: list[Tree]) -> None:
    exits: list[int] = []
    for part in parts[:-1]:
        split = program.emit(SPLIT)
        program.first[split] = program.here()
        _emit(program, part)
        exits.append(program.emit(JUMP))
        program.second[split] = program.here()
    _emit(program, parts[-1])
    for jump in exits:
        program.first[jump] = program.here()


def _emit_repeat(program: Program, tree: Tree) -> None:
    body = tree.parts[0]
    for _ in range(tree.low - 1 if tree.high < 0 else tree.low):
        _emit(program, body)
    if tree.high < 0:
        _emit_loop(program, tree)
        return
    splits: list[tuple[int, int]] = []
    for _ in range(tree.high - tree.low):
        split = program.emit(SPLIT)
        splits.append((split, program.here()))
        _emit(program, body)
    for split, start in splits:
        _set_split(program, split, start, program.here(), tree.greedy)


def _emit_loop(program: Program, tree: Tree) -> None:
    """``x+``; ``x*`` is ``(x+)?``, as in Go, which matters for the groups of an ``x`` that can be empty."""
    entry = program.emit(SPLIT) if tree.low == 0 else -1
    start = program.here()
    _emit(program, tree.parts[0])
    again = program.emit(SPLIT)
    _set_split(program, again, start, program.here(), tree.greedy)
    if entry >= 0:
        _set_split(program, entry, start, program.here(), tree.greedy)


def _set_split(program: Program, split: int, inside: int, outside: int, greedy: bool) -> None:
    program.first[split] = inside if greedy else outside
    program.second[split] = outside if greedy else inside
