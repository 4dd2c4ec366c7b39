"""Rules of Traefik 1.x (``Host:a,b;PathPrefixStrip:/x``) -> today's rule, and middlewares for their modifiers. Pure.

``,`` meant or within a matcher, ``;`` meant and; ``{name}`` and ``{name:expression}`` stood for parts of hosts, paths.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

_PART: Final = re.compile(r"\{([^{}:]*)(?::((?:[^{}]|\{[^{}]*\})*))?\}")
_SPLIT: Final = re.compile(r",(?![^{]*\})")  # commas within {x:[a-z]{1,2}} are the expression's


class OldRule(msgspec.Struct, frozen=True):
    """``steps`` are (kind, option, value): middlewares in the order in which a request meets them."""

    rule: str
    steps: tuple[tuple[str, str, str], ...] = ()
    faults: tuple[str, ...] = ()


def _quoted(text: str) -> str:
    return f"`{text}`" if "`" not in text else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _call(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(_quoted(argument) for argument in arguments)})"


def expression(text: str, default: str) -> str:
    """``{name:re}`` parts as groups, all else as it stands; ``default`` is for ``{name}``."""
    made, at = "", 0
    for part in _PART.finditer(text):
        made += re.escape(text[at : part.start()])
        made += f"(?:{part.group(2)})" if part.group(2) else default
        at = part.end()
    return (made + re.escape(text[at:])).replace("\\-", "-")


def _host(value: str) -> str:
    return _call("HostRegexp", f"^{expression(value, '[^.]+')}$") if "{" in value else _call("Host", value.lower())


def _path(value: str) -> str:
    return _call("PathRegexp", f"^{expression(value, '[^/]+')}$") if "{" in value else _call("Path", value)


def _prefix(value: str) -> str:
    return _call("PathRegexp", f"^{expression(value, '[^/]+')}") if "{" in value else _call("PathPrefix", value)


def _query(value: str) -> str:
    key, equals, text = value.partition("=")
    return _call("Query", key, text) if equals else _call("Query", key)


_EACH: Final[dict[str, Callable[[str], str]]] = {
    "host": _host,
    "hostregexp": _host,
    "path": _path,
    "pathstrip": _path,
    "pathstripregex": _path,
    "pathprefix": _prefix,
    "pathprefixstrip": _prefix,
    "pathprefixstripregex": _prefix,
    "method": lambda value: _call("Method", value.upper()),
    "query": _query,
}
_PAIRS: Final = {"headers": "Header", "headersregexp": "HeaderRegexp"}
_STRIPS: Final = {
    "pathstrip": ("stripPrefix", "prefixes"),
    "pathprefixstrip": ("stripPrefix", "prefixes"),
    "pathstripregex": ("stripPrefixRegex", "regex"),
    "pathprefixstripregex": ("stripPrefixRegex", "regex"),
}


def translate(text: str) -> OldRule:
    """Translate a whole rule; what cannot be is a fault, and then the rule is ""."""
    clauses: list[str] = []
    steps: list[tuple[str, str, str]] = []
    faults: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, rest = part.partition(":")
        clause = _clause(name.strip().lower(), rest.strip(), steps) if colon else None
        if clause is None:
            faults.append(f"{part!r} is no matcher of Traefik 1.x")
        elif clause:
            clauses.append(clause)
    if faults or not clauses:
        return OldRule("", tuple(steps), tuple(faults) or ("the rule has no matcher",))
    if len(clauses) > 1:
        clauses = [f"({clause})" if " || " in clause else clause for clause in clauses]
    return OldRule(" && ".join(clauses), tuple(steps))


def _clause(name: str, rest: str, steps: list[tuple[str, str, str]]) -> str | None:
    """One matcher as today's clause; "" for a modifier, None for what is not known."""
    values = [value.strip() for value in _SPLIT.split(rest) if value.strip()]
    if name in _PAIRS:
        return _call(_PAIRS[name], values[0], ",".join(values[1:])) if len(values) > 1 else None
    if name in ("addprefix", "replacepath"):
        steps.append(("addPrefix", "prefix", rest) if name == "addprefix" else ("replacePath", "path", rest))
        return ""
    if name == "replacepathregex":
        pattern, space, replacement = rest.partition(" ")
        steps.append(("replacePathRegex", "regex", pattern))
        steps.append(("replacePathRegex", "replacement", replacement.strip()))
        return "" if space else None
    if name not in _EACH or not values:
        return None
    if name in _STRIPS:
        kind, option = _STRIPS[name]
        stripped = [f"^{expression(value, '[^/]+')}" for value in values] if kind.endswith("Regex") else values
        steps.append((kind, option, ",".join(stripped)))
    return " || ".join(_EACH[name](value) for value in values)
