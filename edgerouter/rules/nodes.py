"""The tree that a rule's text stands for, before matchers are looked up. Plain data, no behaviour."""

from __future__ import annotations


class Node:
    """``start`` and ``end`` are offsets in the text."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end


class Call(Node):
    """``Name(arg, ...)``; ``places`` holds the offset of each argument."""

    def __init__(self, name: str, args: list[str], places: list[int], start: int, end: int) -> None:
        super().__init__(start, end)
        self.name = name
        self.args = args
        self.places = places


class Negation(Node):
    """``!operand``."""

    def __init__(self, operand: Node, start: int) -> None:
        super().__init__(start, operand.end)
        self.operand = operand


class Conjunction(Node):
    """``a && b && ...``."""

    def __init__(self, operands: list[Node]) -> None:
        super().__init__(operands[0].start, operands[-1].end)
        self.operands = operands


class Disjunction(Node):
    """``a || b || ...``."""

    def __init__(self, operands: list[Node]) -> None:
        super().__init__(operands[0].start, operands[-1].end)
        self.operands = operands
