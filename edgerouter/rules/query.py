"""Query parameters as Go's ``url.ParseQuery`` reads them; the last query seen is kept, for several clauses ask."""

from __future__ import annotations

from typing import Final

_NONE: Final[list[str]] = []
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class _Last:
    def __init__(self) -> None:
        self.text = ""
        self.values: dict[str, list[str]] = {}


_last: Final = _Last()


def query_values(query: str, name: str) -> list[str]:
    """Every value of a parameter, in order, one character a byte; do not change the list."""
    if not query:
        return _NONE
    last = _last
    if last.text != query:
        last.values = parse_query(query)
        last.text = query
    return last.values.get(name, _NONE)


def parse_query(query: str) -> dict[str, list[str]]:
    """Values by name. Pairs with a semicolon or a broken escape are left out, as Go does."""
    values: dict[str, list[str]] = {}
    for pair in query.split("&"):
        if not pair or ";" in pair:
            continue
        name, _, value = pair.partition("=")
        plain_name, plain_value = _plain(name), _plain(value)
        if plain_name is None or plain_value is None:
            continue
        known = values.get(plain_name)
        if known is None:
            values[plain_name] = [plain_value]
        else:
            known.append(plain_value)
    return values


def _plain(text: str) -> str | None:
    """Decode ``+`` and escapes; None when an escape is broken."""
    text = text.replace("+", " ")
    if "%" not in text:
        return text
    pieces = text.split("%")
    parts = [pieces[0]]
    for piece in pieces[1:]:
        digits = piece[:2]
        if len(digits) < 2 or not _HEX.issuperset(digits):
            return None
        parts.append(chr(int(digits, 16)) + piece[2:])
    return "".join(parts)
