"""What the metrics need to know of the router: names behind the numbers, and states. Made of the view, pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgerouter.contracts.snapshot import Sample
from edgerouter.control.view import View
from edgerouter.telemetry.levels import Facts


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


_NOT_AFTER: Final = "edgerouter_tls_certs_not_after"
CERTIFICATE_FAMILIES: Final = {_NOT_AFTER: ("gauge", "Unix time at which a certificate expires, in seconds.")}


def certificate_samples(view: View) -> Iterator[Sample]:
    """When each certificate expires; those that cannot be served have no such time."""
    for certificate in view.certificates.values():
        if certificate.not_after:
            labels = {"cn": certificate.common_name, "serial": certificate.serial, "sans": ",".join(certificate.names)}
            yield Sample(_NOT_AFTER, "gauge", labels, certificate.not_after)
