"""The options of ``inFlightReq``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.middlewares._shared_store import RedisOptions
from edgerouter.middlewares._source_options import SourceCriterion


class Options(Model, frozen=True):
    """Options of ``inFlightReq``."""

    # how many requests may be under way; 0 lets none pass
    amount: int = 0
    source_criterion: SourceCriterion | None = None
    redis: RedisOptions | None = None

    def warnings(self) -> tuple[str, ...]:
        """See ``config.effect.warnings``."""
        return () if self.amount else ("amount is 0: every request is answered 429; write how many may pass",)
