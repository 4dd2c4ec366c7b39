"""Matchers as ``ruleSyntax: v2`` has them: several values mean "one of them", hosts and paths may be templates.

The clauses themselves are those of v3; only arguments are read differently here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from edgerouter.contracts.plugins import Predicate
from edgerouter.registry import Plugin, load
from edgerouter.rules.error import ArgumentError
from edgerouter.rules.predicates import Either
from edgerouter.rules.templates import host_pattern, is_template, path_pattern

_MANY: Final = 1000


@cache
def matchers() -> dict[str, Plugin]:
    """The matchers of v2 by canonical name; ``cls`` is a function from arguments to a predicate."""
    table: dict[str, tuple[Any, tuple[int, int]]] = {
        "Host": (_each("Host"), (1, _MANY)),
        "HostHeader": (_each("Host"), (1, _MANY)),
        "HostRegexp": (_each("HostRegexp", host_pattern), (1, _MANY)),
        "Path": (_templates("Path", True), (1, _MANY)),
        "PathPrefix": (_templates("PathPrefix", False), (1, _MANY)),
        "Method": (_each("Method"), (1, _MANY)),
        "Headers": (_matcher("Header"), (2, 2)),
        "HeadersRegexp": (_matcher("HeaderRegexp"), (2, 2)),
        "Query": (_query, (1, _MANY)),
        "ClientIP": (_each("ClientIP"), (1, _MANY)),
    }
    return {name: Plugin("matchers", name, make, None, arity) for name, (make, arity) in table.items()}


def _matcher(name: str) -> Any:
    return load("matchers")[name].cls


def _either(parts: list[Predicate]) -> Predicate:
    return parts[0] if len(parts) == 1 else Either(parts)


def _each(name: str, change: Callable[[str], str] | None = None) -> Callable[[list[str]], Predicate]:
    """One clause of v3 for each value."""

    def make(args: list[str]) -> Predicate:
        return _either([_one(name, arg if change is None else change(arg), i) for i, arg in enumerate(args)])

    return make


def _templates(name: str, whole: bool) -> Callable[[list[str]], Predicate]:
    """Values with braces are patterns on the path, others plain."""

    def make(args: list[str]) -> Predicate:
        parts: list[Predicate] = []
        for i, arg in enumerate(args):
            if is_template(arg):
                parts.append(_one("PathRegexp", path_pattern(arg, whole), i))
            else:
                parts.append(_one(name, arg, i))
        return _either(parts)

    return make


def _one(name: str, arg: str, index: int) -> Predicate:
    try:
        predicate: Predicate = _matcher(name)([arg])
        return predicate
    except ArgumentError as fault:
        raise ArgumentError(fault.message, index) from fault


def _query(args: list[str]) -> Predicate:
    parts: list[Predicate] = []
    for i, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if not equals or not name:
            raise ArgumentError("write name=value", i)
        parts.append(_matcher("Query")([name, value]))
    return _either(parts)
