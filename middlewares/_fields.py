"""What several middlewares do with header fields: Vary, lists of tokens, media types. Pure text."""

from __future__ import annotations

from typing import Final

from edgerouter.http.headers import Headers

MOST: Final = 4096  # characters of a field that are looked at: a head may be a megabyte, a turn of the loop 5 ms


def add_vary(headers: Headers, name: str) -> None:
    """Say that the response depends on the request's field ``name`` (RFC 9110 section 12.5.5)."""
    lines = headers.get_all("Vary")
    if not lines:
        headers.set("Vary", name)
        return
    known = [item.strip() for line in lines for item in line.split(",") if item.strip()]
    if "*" in known or name.lower() in (item.lower() for item in known):
        return
    headers.set("Vary", ", ".join([*known, name]))


def media_type(value: str | None) -> str:
    """The type of a Content-Type without parameters, in lower case; "" where there is none."""
    return "" if value is None else value.partition(";")[0].strip().lower()


def weighted(lines: list[str]) -> dict[str, float]:
    """A list with ``q`` weights (Accept, Accept-Encoding), names in lower case; what is malformed weighs nothing."""
    found: dict[str, float] = {}
    for item in ",".join(lines)[:MOST].split(","):
        name, *parameters = [part.strip() for part in item.split(";")]
        if name:
            found.setdefault(name.lower(), _quality(parameters))
    return found


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0.0 <= quality <= 1.0 else 0.0
    return 1.0


def directives(lines: list[str]) -> dict[str, str]:
    """Cache-Control and its like: names in lower case, values without quotes, "" where none (RFC 9111 section 5.2).

    Of a name that is given twice the first counts. Quoted values may hold commas. What is absurdly long forbids all.
    """
    found: dict[str, str] = {}
    text = ", ".join(lines)
    if len(text) > MOST:
        return {"no-store": "", "no-transform": ""}
    for item in _items(text):
        name, _, value = item.partition("=")
        if name.strip():
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def _items(text: str) -> list[str]:
    """The parts between commas that stand outside of quotes."""
    items, start, quoted = [], 0, False
    for place, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            items.append(text[start:place])
            start = place + 1
    return [*items, text[start:]]
