"""The options of ``retry``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration


class Options(Model, frozen=True):
    """Options of ``retry``."""

    # how often the request is sent at most, the first time included
    attempts: int = 0
    # pause before the second attempt, doubled for each further one; 0: none
    initial_interval: Duration = Duration(0)
    # no attempt begins later than this after the first; 0: no limit
    timeout: Duration = Duration(0)
    # larger request bodies are not sent again
    max_request_body_bytes: int = 2 * 1024 * 1024
    # statuses that are tried again: 503, 500-599
    status: tuple[str, ...] = ()
    # do not try again when no server was reached
    disable_retry_on_network_error: bool = False
    # by status, try POST and PATCH again as well
    retry_non_idempotent_method: bool = False
