"""The options of ``mirroring``: shapes only."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.services._options import PropagatedHealth


class Mirror(Model, frozen=True):
    """One service that gets copies."""

    # name of the service, of the same provider unless it says @provider
    name: str
    # how many of a hundred requests it gets
    percent: int = 0


class Options(Model, frozen=True):
    """Options of ``mirroring``."""

    # the service that answers
    service: str
    # the services that get copies; what they answer is thrown away
    mirrors: tuple[Mirror, ...] = ()
    # copy the request's body as well
    mirror_body: bool = True
    # bytes of a body beyond which a request is not copied; -1: as much as the ring holds
    max_body_size: int = -1
    # accepted for compatibility, always on: it is down when the service that answers is
    health_check: PropagatedHealth | None = None
