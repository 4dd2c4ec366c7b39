"""Push backends' life in the control process: every interval, the registry's samples, again and again.

A backend that fails is called again at its next turn; it never holds up another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edgerouter.contracts.snapshot import MetricsBackend
from edgerouter.telemetry.levels import Levels
from edgerouter.telemetry.registry import Audience, MetricsRegistry


async def push_forever(
    backend: MetricsBackend, registry: MetricsRegistry, interval: float, failed: Callable[[Exception], None]
) -> None:
    """Push at once and then every ``interval`` seconds, until cancelled. ``failed`` is told of the first failure in
    a row."""
    audience = Audience()
    levels = levels_of(backend.options, registry.levels.internals)
    healthy = True
    while True:
        try:
            await backend.publish(registry.samples(audience, levels))
            healthy = True
        except Exception as fault:
            if healthy:
                failed(fault)
            healthy = False
        await asyncio.sleep(max(interval, 0.1))


def levels_of(options: object, internals: bool) -> Levels:
    """The levels that a backend's (or Prometheus') own add*Labels options ask for."""
    return Levels(
        entrypoints=bool(getattr(options, "add_entry_points_labels", True)),
        routers=bool(getattr(options, "add_routers_labels", False)),
        services=bool(getattr(options, "add_services_labels", True)),
        internals=internals,
    )
