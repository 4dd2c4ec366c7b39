"""Replacement templates as Go's ``Regexp.Expand`` reads them. No matching happens here."""

from __future__ import annotations


def expand(template: str, text: str, spans: list[int], names: list[str]) -> str:
    """Fill ``$1``, ``$name``, ``${name}``; ``$$`` is a dollar. A group that is unknown or took no part is empty; a
    dollar that begins no reference stands for itself."""
    pieces = template.split("$")
    parts = [pieces[0]]
    index = 1
    while index < len(pieces):
        piece = pieces[index]
        if not piece and index + 1 < len(pieces):
            parts.append("$" + pieces[index + 1])
            index += 2
            continue
        name, rest = _reference(piece)
        parts.append(_group(name, text, spans, names) + rest if name else "$" + piece)
        index += 1
    return "".join(parts)


def _reference(piece: str) -> tuple[str, str]:
    """The name behind a dollar and what follows it; "" when there is no name."""
    if piece.startswith("{"):
        end = piece.find("}")
        name = piece[1:end] if end > 0 else ""
        if not name or not all(_is_word(c) for c in name):
            return "", piece
        return name, piece[end + 1 :]
    size = 0
    while size < len(piece) and _is_word(piece[size]):
        size += 1
    return piece[:size], piece[size:]


def _is_word(char: str) -> bool:
    return char == "_" or char.isalpha() or char.isdigit()


def _group(name: str, text: str, spans: list[int], names: list[str]) -> str:
    if name.isascii() and name.isdigit():
        number = int(name[:4])
    elif name in names:
        number = names.index(name)
    else:
        return ""
    if 2 * number >= len(spans) or spans[2 * number] < 0:
        return ""
    return text[spans[2 * number] : spans[2 * number + 1]]
