"""serversTransports of the build: plain options as they travel in a Plan, and what is wrong with references in them.

Workers put the values in (they hold keys); here they are only tried, so that a service is refused with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgerouter.clients.references import Limits, Resolver, references
from edgerouter.config.dynamic import ServersTransport
from edgerouter.config.late import Late, put
from edgerouter.contracts.plan import TransportEntry
from edgerouter.control.aggregate import provider_of
from edgerouter.control.build_plain import revealed
from edgerouter.control.build_types import Fault


class PlannedTransports(msgspec.Struct, frozen=True):
    """All of one build by qualified name. ``faults`` refuse the services that use them."""

    entries: dict[str, TransportEntry]
    faults: dict[str, Fault]


def plan_transports(
    configured: Mapping[str, ServersTransport],
    late: Mapping[str, Late],
    limits: Limits,
    versions: Mapping[str, str],
) -> PlannedTransports:
    """Never raises for what the options refer to. ``versions`` are the keyring's."""
    planned = PlannedTransports({}, {})
    for name, transport in configured.items():
        plain = put(revealed(transport), late.get(name, ()))
        planned.entries[name] = TransportEntry(name, plain, versions.get(name, ""))
        if next(references(plain), None) is None:
            continue
        barred = limits.barred(provider_of(name), plain)
        if barred is not None:
            planned.faults[name] = Fault("serversTransport", *barred)
            continue
        try:
            Resolver().typed(plain, ServersTransport)
        except ValueError as error:
            planned.faults[name] = Fault("serversTransport", f"{name!r} cannot be used: {error}")
    return planned
