"""Templates of ``ruleSyntax: v2`` to Go patterns: ``{name}`` is one label or segment, ``{name:pattern}`` a pattern."""

from __future__ import annotations

from typing import Final

from edgerouter.rules.error import ArgumentError

_SPECIAL: Final = frozenset("\\.+*?()|[]{}^$")


def is_template(text: str) -> bool:
    """True when the text has braces."""
    return "{" in text or "}" in text


def host_pattern(text: str) -> str:
    """The whole host, in any case."""
    return f"(?i)^{_translate(text, '[^.]+')}$"


def path_pattern(text: str, whole: bool) -> str:
    """The whole path, or its beginning; raises ArgumentError."""
    if not text.startswith("/"):
        raise ArgumentError(f"a path begins with /, so write /{text}")
    return f"^{_translate(text, '[^/]+')}{'$' if whole else ''}"


def _translate(text: str, default: str) -> str:
    parts: list[str] = []
    position = 0
    while position < len(text):
        opening = text.find("{", position)
        if opening < 0:
            opening = len(text)
        plain = text[position:opening]
        if "}" in plain:
            raise ArgumentError("a } without a { before it")
        parts.append(_quote(plain))
        position = opening
        if position < len(text):
            closing = _closing(text, position)
            parts.append(_placeholder(text[position + 1 : closing], default))
            position = closing + 1
    return "".join(parts)


def _closing(text: str, opening: int) -> int:
    depth = 0
    for i in range(opening, len(text)):
        if text[i] == "{":
            depth += 1
        elif text[i] == "}":
            depth -= 1
            if depth == 0:
                return i
    raise ArgumentError("a { without a } behind it")


def _placeholder(text: str, default: str) -> str:
    name, colon, pattern = text.partition(":")
    if not name or (colon and not pattern):
        raise ArgumentError("a placeholder is written {name} or {name:pattern}")
    return f"(?:{pattern or default})"


def _quote(text: str) -> str:
    return "".join("\\" + c if c in _SPECIAL else c for c in text)
