"""The options of ``weighted``: shapes only. Apart from the class, which is compiled and so must hold no Struct."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.services._options import Sticky


class Child(Model, frozen=True):
    """One of the services."""

    # name of the service, of the same provider unless it says @provider
    name: str
    # share of the requests; 0: none
    weight: int = 1


class HealthCheck(Model, frozen=True):
    """Accepted for compatibility: whether children can answer is always looked at."""


class Options(Model, frozen=True):
    """Options of ``weighted``."""

    # the services and their shares
    services: tuple[Child, ...] = ()
    # keep a client on the service that it got first
    sticky: Sticky | None = None
    # accepted for compatibility, always on
    health_check: HealthCheck | None = None

    def not_there_yet(self) -> tuple[str, ...]:
        """Return the options that are set, understood and have no effect in this version; build warns of each."""
        return () if self.sticky is None else ("sticky",)

    def service_names(self) -> tuple[str, ...]:
        """Return the services that this one needs, as written."""
        return tuple(child.name for child in self.services)
