"""The read-only picture of the router for API and dashboard: frozen data, replaced whole by one assignment.

What lives here: its shape, and nothing that computes. Whoever shows something reads ``Picture.view`` and only that.
Options are plain data as written in configuration files (camelCase), with every secret as ``***``. All names are
qualified (``web@docker``); ``status`` is enabled, warning or disabled; times are Unix seconds, 0.0 for "never".

    view.routers["web@docker"].status         view.services["web@docker"].servers[0].up
    view.middlewares["strip@file"].used_by    view.entry_points["web"].address
    view.problems, view.ledger                what is wrong; what became of every workload that was seen
    view.providers["docker"].state            starting, running, stale (reason, since), ended
    view.workers[0].generation                the plan that this worker serves; compare with view.generation
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgerouter.config.types import Problem
from edgerouter.contracts.certificates import CertificateFacts


class ChainView(msgspec.Struct, frozen=True, kw_only=True):
    """One middleware that a router's requests pass. ``origin``: who put it there (``entryPoint web``, ``default of
    entryPoint web``, ``router``, ``service app@file``). ``via``: the chains that stand for it, outermost first.
    ``left_out``: it would be there by default, and the router left it out."""

    name: str
    kind: str
    origin: str
    via: tuple[str, ...] = ()
    left_out: bool = False


class RouterView(msgspec.Struct, frozen=True, kw_only=True):
    """``options`` is the router as its provider gave it; the other fields are what was made of it.

    ``chain`` is what its requests really pass, in order. ``refused``: answers 500 with this sentence; ``asleep``:
    answers 503 with it. ``key`` is -1 when the router is
    not served at all (its rule does not parse, or it has no valid entry point).
    """

    name: str
    provider: str
    status: str = "enabled"
    errors: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    rule: str = ""
    priority: int = 0
    middlewares: tuple[str, ...] = ()
    chain: tuple[ChainView, ...] = ()
    service: str = ""
    tls: bool = False
    refused: str = ""
    asleep: str = ""
    key: int = -1
    options: Any = None


class ServerView(msgspec.Struct, frozen=True, kw_only=True):
    """One server of a service. ``checked``: a health check watches it; ``reason`` says why it is down."""

    url: str
    weight: int = 1
    up: bool = True
    fenced: bool = False
    checked: bool = False
    reason: str = ""


class ChildView(msgspec.Struct, frozen=True, kw_only=True):
    """A service below another. ``up``: it can answer; ``reason`` says why not. ``takes_part`` is False for mirrors and
    for a weight of 0: whether its parent can answer does not depend on it."""

    name: str
    takes_part: bool = True
    up: bool = True
    reason: str = ""


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """``kind`` is the configuration's word (``loadBalancer``). ``used_by`` holds routers and parent services."""

    name: str
    provider: str
    kind: str
    status: str = "enabled"
    errors: tuple[str, ...] = ()
    options: Any = None
    servers: tuple[ServerView, ...] = ()
    children: tuple[ChildView, ...] = ()
    middlewares: tuple[str, ...] = ()
    used_by: tuple[str, ...] = ()
    key: int = -1


class MiddlewareView(msgspec.Struct, frozen=True, kw_only=True):
    """``kind`` is the configuration's word (``stripPrefix``)."""

    name: str
    provider: str
    kind: str
    status: str = "enabled"
    errors: tuple[str, ...] = ()
    options: Any = None
    used_by: tuple[str, ...] = ()


class CertificateView(CertificateFacts, frozen=True, kw_only=True):
    """A certificate. ``name`` is its SHA-256 fingerprint, for one that cannot be served its source. ``status``:
    enabled, warning (less than 30 days left, or a stale copy is served), expired, disabled. ``default``: served where
    no certificate bears the asked name."""

    name: str
    provider: str = ""
    source: str = ""
    status: str = "enabled"
    errors: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    default: bool = False


class EntryPointView(msgspec.Struct, frozen=True, kw_only=True):
    """``options`` is the static configuration's object. ``key`` numbers it in the metrics memory."""

    name: str
    address: str
    key: int
    options: Any = None


class ProviderView(msgspec.Struct, frozen=True, kw_only=True):
    """``state``: starting, running, stale (its last snapshot goes on serving; ``reason`` says why, ``since`` when) or
    ended (it is done for good and its snapshot stays). ``restarts`` counts failures since the start."""

    name: str
    kind: str = ""
    state: str = "starting"
    reason: str = ""
    since: float = 0.0
    snapshots: int = 0
    restarts: int = 0
    last_snapshot: float = 0.0


class WorkloadView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger. ``left`` is 0.0 while the workload is there. ``changed``: when the verdict last did."""

    provider: str
    id: str
    name: str
    kind: str
    verdict: str
    reason: str = ""
    fix: str = ""
    routers: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    detail: dict[str, str] = {}
    rules: dict[str, str] = {}
    first_seen: float = 0.0
    changed: float = 0.0
    left: float = 0.0


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """One worker, as the process half knows it. ``state``: starting, serving, draining, gone."""

    slot: int
    pid: int = 0
    state: str = "starting"
    generation: int = 0
    started: float = 0.0
    restarts: int = 0
    in_flight: int = 0
    connections: int = 0
    longest_stall: float = 0.0


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. Maps are sorted by name. ``generation`` counts published plans, ``published`` is the last one's time
    and ``build_seconds`` what it took to build."""

    started: float = 0.0
    generation: int = 0
    published: float = 0.0
    build_seconds: float = 0.0
    routers: dict[str, RouterView] = {}
    services: dict[str, ServiceView] = {}
    middlewares: dict[str, MiddlewareView] = {}
    entry_points: dict[str, EntryPointView] = {}
    certificates: dict[str, CertificateView] = {}
    problems: tuple[Problem, ...] = ()
    ledger: tuple[WorkloadView, ...] = ()
    providers: dict[str, ProviderView] = {}
    workers: tuple[WorkerView, ...] = ()


class Picture:
    """Holds the current view; readers take ``view`` once per question and never see half of a change."""

    def __init__(self, view: View | None = None) -> None:
        self.view = view or View()

    def update(self, **fields: Any) -> None:
        """Replace some fields of the view."""
        self.view = msgspec.structs.replace(self.view, **fields)
