"""Rules whose names are not spelled out, for certificates on demand: which there are, and which may take a host.
Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from edgerouter.certs.acme.wanted import hosts, sections
from edgerouter.config.static import EntryPoint
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.rules import go_regex
from edgerouter.rules.error import RuleError
from edgerouter.rules.nodes import Call, Conjunction, Disjunction, Negation, Node
from edgerouter.rules.parser import parse

_REMEMBERED: Final = 16_384  # rules and patterns that need not be read again for each name


def open_rules(
    snapshots: Mapping[str, Snapshot],
    points: Mapping[str, EntryPoint],
    defaults: Iterable[str],
    starless: Mapping[str, bool],
) -> dict[str, dict[str, tuple[str, ...]]]:
    """The rules whose names are not spelled out, by resolver and entry point. ``starless``: the resolvers that are
    looked at, and whether wildcards of theirs count as such."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for snapshot in snapshots.values():
        for router in snapshot.configuration.http.routers.values():
            for resolver, listening, tls in sections(router, points, tuple(defaults)):
                if resolver in starless and not tls.domains and _is_open(router.rule, starless[resolver]):
                    for at in listening:
                        found.setdefault(resolver, {}).setdefault(at, {})[router.rule] = None
    return {name: {at: tuple(rules) for at, rules in by_point.items()} for name, by_point in found.items()}


def _is_open(rule: str, stars: bool) -> bool:
    names = hosts(rule)
    return not names or (stars and any(name.startswith("*.") for name in names))


def may_take(rule: str, host: str) -> bool:
    """False when no request for the host can fulfil the rule: a name is known before the handshake, and nothing else
    of a request is."""
    try:
        return _holds(_parsed(rule), host) is not False
    except RuleError:
        return False


@lru_cache(maxsize=_REMEMBERED)
def _parsed(rule: str) -> Node:
    return parse(rule)


def _holds(node: Node, host: str) -> bool | None:
    """None: it depends on the rest of the request."""
    if isinstance(node, Negation):
        found = _holds(node.operand, host)
        return None if found is None else not found
    if isinstance(node, (Conjunction, Disjunction)):
        decides = isinstance(node, Disjunction)  # one such operand is enough
        parts = [_holds(operand, host) for operand in node.operands]
        return decides if decides in parts else None if None in parts else not decides
    return _fits(node, host) if isinstance(node, Call) else None


def _fits(call: Call, host: str) -> bool | None:
    kind = call.name.lower()
    if kind in ("host", "hostheader"):
        return any(_is(name.lower().rstrip("."), host) for name in call.args)
    if kind == "hostregexp" and not any("{" in pattern and ":" in pattern for pattern in call.args):
        return any(_pattern(pattern, host) for pattern in call.args)
    return None


def _is(name: str, host: str) -> bool:
    return name in ("*", host) or (name.startswith("*.") and host.partition(".")[2] == name[2:])


def _pattern(pattern: str, host: str) -> bool:
    try:
        return _compiled(pattern).search(host)
    except ValueError:
        return False


@lru_cache(maxsize=_REMEMBERED)
def _compiled(pattern: str) -> go_regex.GoRegex:
    return go_regex.compile(pattern)
