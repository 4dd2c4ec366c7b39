"""What providers say: snapshots of their whole configuration, the workloads that they saw, and their problems."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from edgerouter.config.dynamic import DynamicConfiguration
from edgerouter.config.types import Problem


class Workload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One container, task or Ingress that was seen, and what became of it.

    ``verdict`` is a code: ROUTED, NOT_ENABLED, CONSTRAINTS, NOT_RUNNING, STARTING, UNHEALTHY, NO_PORT,
    NO_SHARED_NETWORK, BAD_LABEL, SHADOWED ... ``reason`` a sentence, ``fix`` the label or option to write. ``rules``,
    by router, are those that it would have brought if it had been taken.
    """

    id: str
    name: str
    kind: str = "container"
    verdict: str = "ROUTED"
    reason: str = ""
    fix: str = ""
    routers: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    detail: dict[str, str] = {}
    rules: dict[str, str] = {}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's whole current answer; never a delta.

    ``sleeping`` maps a router (unqualified) whose workloads are all stopped, starting or unhealthy to the sentence
    that says so.
    """

    configuration: DynamicConfiguration = DynamicConfiguration()
    workloads: tuple[Workload, ...] = ()
    problems: tuple[Problem, ...] = ()
    sleeping: dict[str, str] = {}


class ProviderContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is handed besides its options.

    ``name`` is what stands behind ``@``; ``kinds`` the table that dynamic configuration is decoded against
    (``{"middlewares": {kind: options class}, "services": {...}}``); ``prefixes`` the label prefixes that count.
    """

    name: str
    kinds: Mapping[str, Mapping[str, type]]
    prefixes: tuple[str, ...] = ("edgerouter", "traefik")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a snapshot once it was built and published, for providers that write statuses back."""

    provider: str
    problems: tuple[Problem, ...] = ()
    workloads: tuple[Workload, ...] = ()


class Provider:
    """A source of dynamic configuration. A lost connection is raised out of ``watch``; the supervisor restarts it
    with back-off and keeps the last snapshot, marked stale."""

    def __init__(self, options: Any, context: ProviderContext) -> None:
        self.options = options
        self.context = context

    def watch(self) -> AsyncIterator[Snapshot]:
        """Yield a snapshot at once and then at every change. One that ends without an error is done for good."""
        raise NotImplementedError(type(self).__name__)

    async def report(self, outcome: Outcome) -> None:
        """Write statuses or events back to the source; optional."""


class MetricsBackend:
    """Sends metrics somewhere, off the request path, in the control process."""

    def __init__(self, options: Any) -> None:
        self.options = options

    async def publish(self, samples: list[Sample]) -> None:
        """Called every push interval with all current samples; may raise, and is then called again next time."""


class Sample(msgspec.Struct, frozen=True):
    """One value of one series, Prometheus-like: ``kind`` is counter, gauge or histogram (then with ``buckets``)."""

    name: str
    kind: str
    labels: dict[str, str]
    value: float
    buckets: tuple[tuple[float, int], ...] = ()
