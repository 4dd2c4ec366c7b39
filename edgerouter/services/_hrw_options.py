"""The options of ``highestRandomWeight``: shapes only. Apart from the class, which is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.services._options import Child, PropagatedHealth


class Options(Model, frozen=True):
    """Options of ``highestRandomWeight``."""

    # the services and their shares of the clients
    services: tuple[Child, ...] = ()
    # accepted for compatibility, always on
    health_check: PropagatedHealth | None = None
