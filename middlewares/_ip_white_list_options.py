"""The options of ``ipWhiteList``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.middlewares._addresses_options import IPStrategy


class Options(Model, frozen=True):
    """Options of ``ipWhiteList``."""

    # addresses and CIDR ranges that may pass
    source_range: tuple[str, ...] = ()
    ip_strategy: IPStrategy | None = None

    def warnings(self) -> tuple[str, ...]:
        """See ``config.effect.warnings``."""
        return ("ipWhiteList is the old name; write ipAllowList",)
