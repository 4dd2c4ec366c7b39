"""What the metrics need to know of the router: names behind the numbers, and states. Made of the view, pure."""

from __future__ import annotations

from edgerouter.control.view import View
from edgerouter.telemetry.registry import Facts


def facts_of(view: View, restarts: int) -> Facts:
    """``restarts``: workers that were replaced. Servers are listed where a health check watches them."""
    return Facts(
        entrypoints={entry.key: entry.name for entry in view.entry_points.values()},
        routers={router.key: (router.name, router.service) for router in view.routers.values() if router.key > 0},
        services={service.key: service.name for service in view.services.values() if service.key > 0},
        servers=tuple(
            (service.name, server.url, server.up)
            for service in view.services.values()
            for server in service.servers
            if server.checked
        ),
        reloads=view.generation,
        last_reload=view.published,
        restarts=restarts,
    )
