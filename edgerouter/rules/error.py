"""What is wrong with the text of a rule, and where. The only exceptions of this room; nothing is evaluated here."""

from __future__ import annotations

from typing import Final

_WINDOW: Final = 60  # characters of a long rule shown on each side of the fault


class ArgumentError(ValueError):
    """A matcher refuses an argument: ``index`` says which one, counted from 0, ``offset`` where in it."""

    def __init__(self, message: str, index: int = 0, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.index = index
        self.offset = offset


class RuleError(ValueError):
    """A rule that cannot be used. ``message`` is one sentence, ``position`` the character counted from 0.

    ``picture`` is two lines: the rule and a caret under the place. ``str()`` gives sentence and picture.
    """

    def __init__(self, message: str, position: int, text: str = "") -> None:
        self.message = message
        self.position = position
        self.picture = draw(text, position)
        super().__init__(f"{message}\n{self.picture}" if text else message)


def draw(text: str, position: int) -> str:
    """Return the text, cut to a window, and under it a caret at the position."""
    start = max(0, position - _WINDOW)
    end = min(len(text), position + _WINDOW)
    before = "..." if start else ""
    after = "..." if end < len(text) else ""
    shown = "".join(c if c.isprintable() else " " for c in text[start:end])
    return f"  {before}{shown}{after}\n  {' ' * (len(before) + position - start)}^"
