"""The options of ``weighted``: shapes only. Apart from the class, which is compiled and so must hold no Struct."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.services._options import Child, PropagatedHealth, Sticky, cookie_warnings


class Options(Model, frozen=True):
    """Options of ``weighted``."""

    # the services and their shares
    services: tuple[Child, ...] = ()
    # keep a client on the service that it got first
    sticky: Sticky | None = None
    # accepted for compatibility, always on
    health_check: PropagatedHealth | None = None

    def warnings(self) -> tuple[str, ...]:
        """Return sentences on what works, but hardly as meant."""
        return cookie_warnings(self.sticky)
