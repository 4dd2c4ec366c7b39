"""Hosts and paths of an Ingress -> rules and priorities. Pure.

Exact before Prefix, longer before shorter, a full host before a wildcard before none: what the Ingress specification
asks for, said in priorities, since the text of a strict prefix's rule is longer than an exact path's.
https://kubernetes.io/docs/concepts/services-networking/ingress/#multiple-matches
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from edgerouter.providers._kubernetes_facts import PathRule

_QUOTES: Final = ("`", '"')
# 1.x's rule types, by whether the path is exact and what is done to it.
RULE_TYPES: Final = {
    "path": ("Path", ""),
    "pathstrip": ("Path", "strip"),
    "pathprefix": ("PathPrefix", ""),
    "pathprefixstrip": ("PathPrefix", "strip"),
    "replacepath": ("PathPrefix", "replace"),
}
MATCHERS: Final = ("Path", "PathPrefix", "PathRegexp")


class Unquotable(ValueError):
    """A host or path that no rule can hold."""


def _quoted(text: str) -> str:
    for quote in _QUOTES:
        if quote not in text and (quote == "`" or "\\" not in text) and "\n" not in text:
            return f"{quote}{text}{quote}"
    raise Unquotable(f"{text[:60]!r} holds characters that a rule cannot hold")


def rule_of(path: PathRule, matcher: str = "PathPrefix") -> str:
    """Return the rule of one path; ``matcher`` counts for ImplementationSpecific ones. Raises Unquotable."""
    clauses = [f"Host({_quoted(path.host)})"] if path.host else []
    clause = _path_clause(path, matcher)
    if clause or not clauses:
        clauses.append(clause or "PathPrefix(`/`)")
    return " && ".join(clauses)


def _path_clause(path: PathRule, matcher: str) -> str:
    if path.kind == "Exact":
        return f"Path({_quoted(path.path)})"
    if path.kind == "Prefix":
        # Element by element: /foo takes /foo and /foo/bar, but not /foobar; a slash at its end says nothing.
        bare = path.path.rstrip("/")
        return f"(Path({_quoted(bare)}) || PathPrefix({_quoted(bare + '/')}))" if bare else ""
    return "" if path.path == "/" and matcher == "PathPrefix" else f"{matcher}({_quoted(path.path)})"


def weight_of(path: PathRule) -> int:
    """How specific a path is within the router: the length that Traefik's rule for it would have, exact ones ahead."""
    host = len(f"Host(`{path.host}`) && ") if path.host else 0
    return host + len(f"PathPrefix(`{path.path}`)") + (1 if path.kind == "Exact" else 0)


def priorities(paths: Iterable[PathRule]) -> dict[PathRule, int]:
    """Return each path's priority, beside all others of the cluster.

    It is ``weight_of``, but a host's paths are lifted over those of wildcards and of no host that would take their
    requests away: a long path under a wildcard must not win over a short one of the host itself.
    """
    everything = list(dict.fromkeys(paths))
    tops: dict[str, int] = {}
    for path in everything:
        if not path.host or path.host.startswith("*."):
            tops[path.host] = max(tops.get(path.host, 0), weight_of(path))
    nameless = tops.get("", 0)
    for host in [host for host in tops if host]:
        tops[host] = _lifted(tops[host], nameless)
    return {path: _lifted(weight_of(path), _above(path.host, tops)) for path in everything}


def _lifted(weight: int, top: int) -> int:
    return weight + top if top >= weight else weight


def _above(host: str, tops: dict[str, int]) -> int:
    """The highest priority of those that also match ``host`` and must not win."""
    if not host:
        return 0
    wild = "" if host.startswith("*.") else "*." + host.partition(".")[2]
    return max(tops.get(wild, 0) if wild else 0, tops.get("", 0))
