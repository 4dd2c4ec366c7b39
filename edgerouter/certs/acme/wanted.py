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

from edgerouter.config.dynamic import Router, RouterTLS
from edgerouter.config.static import EntryPoint, EntryPointTLS
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
    starless: Collection[str] = (),
) -> dict[str, dict[Names, Wanted]]:
    """Return what routers want, by resolver. ``defaults``: the entry points of routers that name none; ``local``:
    resolvers that certify any name, ``localhost`` and addresses too; ``starless``: those that are not asked for the
    wildcards of rules."""
    found: dict[str, dict[Names, Wanted]] = {}
    for provider, snapshot in snapshots.items():
        for name, router in snapshot.configuration.http.routers.items():
            for resolver, _, tls in sections(router, points, tuple(defaults)):
                for names in _sets(tls, router.rule, resolver in local, resolver in starless):
                    found.setdefault(resolver, {}).setdefault(names, Wanted(names, f"{name}@{provider}"))
    return found


def sections(
    router: Router, points: Mapping[str, EntryPoint], defaults: Names
) -> Iterator[tuple[str, Names, RouterTLS | EntryPointTLS]]:
    """Resolvers of one router, each with its entry points: the router's own, else its entry points'."""
    listening = tuple(router.entry_points or defaults)
    if router.tls is not None:
        if router.tls.cert_resolver:
            yield router.tls.cert_resolver, listening, router.tls
        return
    for at in listening:
        tls = points[at].http.tls if at in points else None
        if tls is not None and tls.cert_resolver:
            yield tls.cert_resolver, (at,), tls


def _sets(tls: RouterTLS | EntryPointTLS, rule: str, local: bool, starless: bool) -> Iterator[Names]:
    domains = tls.domains
    if not domains:
        names = tuple(dict.fromkeys(hosts(rule, local)))
        if starless:
            names = tuple(name for name in names if not name.startswith("*."))
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
