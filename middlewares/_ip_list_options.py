"""The options of ``ip_list``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.middlewares._addresses_options import IPStrategy


class Options(Model, frozen=True):
    """Options of ``ipAllowList`` and ``ipDenyList``."""

    # addresses and CIDR ranges
    source_range: tuple[str, ...] = ()
    # status of the answer to who may not pass
    reject_status_code: int = 403
    ip_strategy: IPStrategy | None = None
