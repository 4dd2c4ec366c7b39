"""The options of ``rateLimit``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration
from edgerouter.middlewares._shared_store import RedisOptions
from edgerouter.middlewares._source_options import SourceCriterion


class Options(Model, frozen=True):
    """Options of ``rateLimit``."""

    # requests a period; 0: no limit
    average: int = 0
    # the time that average is for
    period: Duration = Duration(1)
    # requests that may come at once
    burst: int = 1
    # add the fields RateLimit and RateLimit-Policy to responses
    rate_limit_headers: bool = False
    source_criterion: SourceCriterion | None = None
    redis: RedisOptions | None = None
