"""The options of ``circuitBreaker``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration


class Options(Model, frozen=True):
    """Options of ``circuitBreaker``."""

    # when the breaker trips
    expression: str = ""
    # least time between two looks at the expression
    check_period: Duration = Duration(0.1)
    # how long it stays tripped
    fallback_duration: Duration = Duration(10)
    # how long it takes to let all requests pass again
    recovery_duration: Duration = Duration(10)
    # status of the answer while tripped
    response_code: int = 503
    # service that answers instead of responseCode while tripped
    fallback_service: str = ""
