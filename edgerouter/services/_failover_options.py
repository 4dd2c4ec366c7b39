"""The options of ``failover``: shapes only."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.services._options import PropagatedHealth


class Errors(Model, frozen=True):
    """Answers that count as failures."""

    # status codes and ranges, such as 503 or 500-599
    status: tuple[str, ...] = ()
    # a longer request body is refused (413), so that any request can be sent again. -1: none is refused, and a request
    # whose body is longer than 4 MB is not sent again
    max_request_body_bytes: int = -1


class Options(Model, frozen=True):
    """Options of ``failover``."""

    # the service that answers while it can
    service: str
    # the service that answers when it cannot
    fallback: str
    # accepted for compatibility: whether they can answer is always looked at
    health_check: PropagatedHealth | None = None
    # send a request that the first service answers so to the other
    errors: Errors | None = None
