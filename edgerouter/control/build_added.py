"""What entry points add to one router: middlewares that must be there, and defaults that it may leave out. Pure.

A router leaves a default out by ``!name@default``, ``!name``, ``!name@provider`` or ``!*``. Whoever writes labels may
not own the entry point: what stands under its ``middlewares`` stays, whatever a router says.
"""

from __future__ import annotations

import msgspec

from edgerouter.control.build_middlewares import Middlewares
from edgerouter.control.build_points import Point
from edgerouter.control.build_types import Fault, Link
from edgerouter.control.view import ChainView

_DEFAULT = "default"


class Default(msgspec.Struct, frozen=True):
    """One default, with what it stands for."""

    name: str
    steps: tuple[str, ...]
    faults: tuple[Fault, ...]
    links: tuple[Link, ...]


class Added(msgspec.Struct, frozen=True):
    """What one entry point adds."""

    point: str
    names: tuple[str, ...]
    steps: tuple[str, ...]
    faults: tuple[Fault, ...]
    links: tuple[Link, ...]
    defaults: tuple[Default, ...]


class Taken(msgspec.Struct, frozen=True):
    """What of it one router has. ``names`` as they were written, before chains became their members."""

    names: tuple[str, ...]
    steps: tuple[str, ...]
    faults: tuple[Fault, ...]
    chain: tuple[ChainView, ...]


def added_by(point: Point, middlewares: Middlewares) -> Added:
    """Static configuration's word: no guard, it may name internal objects."""
    steps, faults = middlewares.expand(point.middlewares, "")
    defaults = []
    for name in point.defaults:
        its, wrong = middlewares.expand((name,), "")
        defaults.append(Default(name, its, tuple(wrong), middlewares.links((name,))))
    return Added(
        point.name, point.middlewares, steps, tuple(faults), middlewares.links(point.middlewares), tuple(defaults)
    )


def split(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A router's list: what it wants, and what it leaves out (without the mark)."""
    wanted = tuple(name for name in names if not name.startswith("!"))
    return wanted, tuple(name[1:].strip() for name in names if name.startswith("!"))


def take(added: Added, left_out: tuple[str, ...]) -> Taken:
    """What a router has of an entry point's middlewares."""
    names, steps, faults = list(added.names), list(added.steps), list(added.faults)
    chain = views(added.links, f"entryPoint {added.point}")
    for default in added.defaults:
        origin = f"default of entryPoint {added.point}"
        if any(_means(word, default.name) for word in left_out):
            chain += views(default.links, origin, True)
            continue
        names.append(default.name)
        faults.extend(default.faults)
        gone = {link.name for link in default.links if any(_means(w, n) for w in left_out for n in _names(link))}
        steps += [step for step in default.steps if step not in gone]
        for link in default.links:
            chain += views((link,), origin, link.name in gone)
    return Taken(tuple(names), tuple(steps), tuple(faults), chain)


def views(links: tuple[Link, ...], origin: str, left_out: bool = False) -> tuple[ChainView, ...]:
    """Links as people see them."""
    return tuple(
        ChainView(name=link.name, kind=link.kind, origin=origin, via=link.via, left_out=left_out) for link in links
    )


def misses(left_out: tuple[str, ...], added: list[Added]) -> list[Fault]:
    """Warnings of what was left out and is not there, or must stay."""
    faults = []
    for word in left_out:
        defaults = [name for one in added for d in one.defaults for name in (d.name, *_all(d.links))]
        demanded = [one.point for one in added if any(_means(word, name) for name in (*one.steps, *_all(one.links)))]
        if demanded and word.partition("@")[0] != "*":
            message = f"entry point {demanded[0]!r} demands {word!r} of every router: it stays"
            hint = f"whoever owns entryPoints.{demanded[0]} can move it to http.defaultMiddlewares"
            faults.append(Fault("middlewares", message, hint, False))
        elif not any(_means(word, name) for name in defaults) and word.partition("@")[0] != "*":
            known = ", ".join(sorted({f"!{name.rpartition('@')[0]}@{_DEFAULT}" for name in defaults}))
            hint = f"there is: {known}" if known else "its entry points have no http.defaultMiddlewares"
            faults.append(Fault("middlewares", f"no entry point of the router adds {word!r} by default", hint, False))
    return faults


def _all(links: tuple[Link, ...]) -> list[str]:
    return [name for link in links for name in _names(link)]


def _names(link: Link) -> tuple[str, ...]:
    return (link.name, *link.via)


def _means(word: str, name: str) -> bool:
    """Does ``word``, as a router writes it, mean the middleware ``name``?"""
    bare, mark, provider = word.rpartition("@")
    if not mark or provider == _DEFAULT:
        wanted = bare if mark else word
        return wanted in ("*", name.rpartition("@")[0])
    return word == name
