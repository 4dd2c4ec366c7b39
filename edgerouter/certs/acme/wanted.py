"""Which certificates routers want of which resolver. Pure.

A router's ``tls.domains`` count, else the literal names of its rule's ``Host`` (patterns are no names); the first name
is the certificate's main one. One certificate for each router's set of names; equal sets are one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from edgerouter.config.dynamic import Router
from edgerouter.config.static import EntryPoint
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.rules.error import RuleError
from edgerouter.rules.nodes import Call, Conjunction, Disjunction, Node
from edgerouter.rules.parser import parse

Names = tuple[str, ...]
_NAME: Final = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Wanted(msgspec.Struct, frozen=True):
    """One certificate: its names, main one first, and a router that wants it."""

    names: Names
    router: str


def wanted(
    snapshots: Mapping[str, Snapshot],
    points: Mapping[str, EntryPoint],
    defaults: Iterable[str] = (),
    local: Collection[str] = (),
) -> dict[str, dict[Names, Wanted]]:
    """Return what routers want, by resolver. ``defaults``: the entry points of routers that name none; ``local``:
    resolvers that certify any name, ``localhost`` and addresses too."""
    found: dict[str, dict[Names, Wanted]] = {}
    for provider, snapshot in snapshots.items():
        for name, router in snapshot.configuration.http.routers.items():
            for resolver, names in _of(router, points, tuple(defaults), local):
                one = Wanted(names, f"{name}@{provider}")
                found.setdefault(resolver, {}).setdefault(names, one)
    return found


def _of(
    router: Router, points: Mapping[str, EntryPoint], defaults: Names, local: Collection[str]
) -> Iterator[tuple[str, Names]]:
    """Resolvers and sets of names of one router: its own, else its entry points'."""
    sections: list[object] = [router.tls]
    if router.tls is None:
        listening = router.entry_points or defaults
        sections = [points[at].http.tls for at in listening if at in points]
    for tls in sections:
        resolver = getattr(tls, "cert_resolver", "")
        if resolver:
            for names in _sets(tls, router.rule, resolver in local):
                yield resolver, names


def _sets(tls: object, rule: str, local: bool) -> Iterator[Names]:
    domains = getattr(tls, "domains", ())
    if not domains:
        names = tuple(dict.fromkeys(hosts(rule, local)))
        if names:
            yield names
    for domain in domains:
        given = (domain.main, *domain.sans)
        names = tuple(dict.fromkeys(name.strip().lower().rstrip(".") for name in given if name.strip()))
        if names:
            yield names


def hosts(rule: str, local: bool = False) -> list[str]:
    """The names that a rule's ``Host`` asks for; nothing that stands below a negation. ``local``: names of one label
    and addresses too."""
    try:
        return [name for name in _hosts(parse(rule)) if is_name(name) or (local and is_name(f"{name}.x"))]
    except RuleError:
        return []


def _hosts(node: Node) -> Iterator[str]:
    if isinstance(node, Call):
        if node.name.lower() in ("host", "hostheader"):
            yield from (argument.lower().rstrip(".").partition(":")[0] for argument in node.args)
    elif isinstance(node, (Conjunction, Disjunction)):
        for operand in node.operands:
            yield from _hosts(operand)


def is_name(name: str) -> bool:
    """True for a DNS name that a certificate can be for: one wildcard at most, as the first label, and a dot."""
    bare = name.removeprefix("*.")
    return (
        len(name) <= 253 and "." in bare and _NAME.fullmatch(name) is not None and not bare.replace(".", "").isdigit()
    )


def covers(given: Iterable[str], names: Names) -> bool:
    """True when a certificate for ``given`` serves all of ``names``; a wildcard covers one label."""
    have = set(given)
    return all(name in have or ("." in name and "*." + name.partition(".")[2] in have) for name in names)


def label_of(names: Names) -> str:
    """The name of a set of names, for keys: the main one, and for several a mark that tells sets apart."""
    if len(names) == 1:
        return names[0]
    return f"{names[0]},{hashlib.sha256(','.join(names).encode()).hexdigest()[:12]}"
