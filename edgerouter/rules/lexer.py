"""The text of a rule to tokens. Knows characters and strings; nothing of matchers, grammar or precedence."""

from __future__ import annotations

from typing import Final

from edgerouter.rules.error import RuleError

NAME: Final = "name"
STRING: Final = "string"
OPEN: Final = "("
CLOSE: Final = ")"
COMMA: Final = ","
AND: Final = "&&"
OR: Final = "||"
NOT: Final = "!"
END: Final = "end"

_SINGLE: Final = "(),!"
_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "'": "'",
}  # fmt: skip
_HEX: Final = {"x": 2, "u": 4, "U": 8}
_ADVICE: Final = {
    "&": "'and' is written &&",
    "|": "'or' is written ||",
    "'": "strings stand in backticks or double quotes, not in single quotes",
    "\u2018": "strings stand in backticks or double quotes, not in typographic ones",
    "\u2019": "strings stand in backticks or double quotes, not in typographic ones",
    "\u201c": "strings stand in backticks or double quotes, not in typographic ones",
    "\u201d": "strings stand in backticks or double quotes, not in typographic ones",
    ":": "a matcher's arguments stand in parentheses, as in Host(`example.com`)",
    ";": "'and' is written &&",
    "{": "templates stand inside of a string",
}


class Token:
    """One piece of the text: ``value`` is a name, or a string's content; ``start`` and ``end`` are offsets."""

    def __init__(self, kind: str, value: str, start: int, end: int) -> None:
        self.kind = kind
        self.value = value
        self.start = start
        self.end = end


def tokenize(text: str) -> list[Token]:
    """Split the text; the last token is END. Raises RuleError."""
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        if text[position] in " \t\r\n":
            position += 1
            continue
        token = _next(text, position)
        tokens.append(token)
        position = token.end
    tokens.append(Token(END, "", len(text), len(text)))
    return tokens


def _next(text: str, start: int) -> Token:
    char = text[start]
    if char in _SINGLE:
        return Token(char, char, start, start + 1)
    if char in "&|" and text[start : start + 2] == char * 2:
        return Token(char * 2, char * 2, start, start + 2)
    if char == "`":
        return _raw(text, start)
    if char == '"':
        return _quoted(text, start)
    if char.isalpha() or char == "_":
        return _name(text, start)
    advice = _ADVICE.get(char)
    raise RuleError(f"unexpected {char!r}" + (f": {advice}" if advice else ""), start, text)


def _name(text: str, start: int) -> Token:
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return Token(NAME, text[start:end], start, end)


def _raw(text: str, start: int) -> Token:
    end = text.find("`", start + 1)
    if end < 0:
        raise RuleError("the string that begins here has no closing backtick", start, text)
    return Token(STRING, text[start + 1 : end].replace("\r", ""), start, end + 1)


def _quoted(text: str, start: int) -> Token:
    parts: list[str] = []
    position = start + 1
    while position < len(text) and text[position] not in '"\n':
        if text[position] == "\\":
            char, position = _escape(text, position)
            parts.append(char)
        else:
            parts.append(text[position])
            position += 1
    if position >= len(text) or text[position] == "\n":
        raise RuleError("the string that begins here has no closing double quote", start, text)
    return Token(STRING, "".join(parts), start, position + 1)


def _escape(text: str, position: int) -> tuple[str, int]:
    """Decode one escape sequence of a Go string literal; return the character and the offset behind it."""
    kind = text[position + 1 : position + 2]
    simple = _ESCAPES.get(kind)
    if simple is not None:
        return simple, position + 2
    size = _HEX.get(kind)
    start, base = position + 2, 16
    if size is None and kind.isdigit():
        start, base, size = position + 1, 8, 3
    digits = text[start : start + (size or 0)]
    try:
        if size is None or len(digits) != size or not digits.isalnum():
            raise ValueError
        return chr(int(digits, base)), start + size
    except (ValueError, OverflowError):
        what = "unknown escape sequence: a backslash is written \\\\ here, or put the string in backticks"
        raise RuleError(what, position, text) from None
