"""What the parts of ``build`` hand to each other. Shapes only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edgerouter.config.static import StaticConfiguration
from edgerouter.config.types import Problem
from edgerouter.contracts.certificates import Keyring
from edgerouter.contracts.plan import Plan
from edgerouter.contracts.snapshot import Snapshot, Workload
from edgerouter.control.view import CertificateView, EntryPointView, MiddlewareView, RouterView, ServiceView


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """``guard``: providers whose objects may not name ``*@internal``. ``down``: (service, server url) pairs that
    health checks found down. ``roots``: provider -> the folder below which its objects may name files (see
    ``clients.references.Limits``)."""

    static: StaticConfiguration
    snapshots: Mapping[str, Snapshot]
    guard: frozenset[str] = frozenset()
    roots: Mapping[str, str] = {}
    down: frozenset[tuple[str, str]] = frozenset()
    keyring: Keyring = Keyring()


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """``ledger``: every workload of every provider, with the verdict that the build came to."""

    plan: Plan
    problems: tuple[Problem, ...]
    ledger: tuple[tuple[str, Workload], ...]
    routers: dict[str, RouterView]
    services: dict[str, ServiceView]
    middlewares: dict[str, MiddlewareView]
    entry_points: dict[str, EntryPointView]
    certificates: dict[str, CertificateView] = {}


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with an object: ``field`` is the option. Only ``refuses`` takes it out of service.
    ``told``: a problem of the provider's snapshot says it already."""

    field: str
    message: str
    hint: str = ""
    refuses: bool = True
    told: bool = False

    def problem(self, room: str, name: str) -> Problem:
        """As a Problem of the object ``name`` in ``http.<room>``."""
        bare, _, provider = name.rpartition("@")
        path = ".".join(part for part in ("http", room, bare, self.field) if part)
        return Problem(path, self.message, self.hint, provider, "error" if self.refuses else "warning")


class Step(msgspec.Struct, frozen=True):
    """What became of one middleware: ``fault`` is "" when it can be used. ``chain``: it stands for these."""

    name: str
    kind: str
    options: Any
    shown: Any
    faults: tuple[Fault, ...] = ()
    chain: tuple[str, ...] | None = None


class Link(msgspec.Struct, frozen=True):
    """One middleware of a router's chain. ``via``: the names that stand for it, outermost first (chains)."""

    name: str
    kind: str
    via: tuple[str, ...] = ()


def refusal(faults: Iterable[Fault]) -> str:
    """The first sentence that takes the object out of service, "" when none does."""
    return next((f"{f.message}; {f.hint}" if f.hint else f.message for f in faults if f.refuses), "")


def status(faults: tuple[Fault, ...] | list[Fault]) -> str:
    """The API's word."""
    if any(fault.refuses for fault in faults):
        return "disabled"
    return "warning" if faults else "enabled"
