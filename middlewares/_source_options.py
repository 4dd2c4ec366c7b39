"""The options of ``source``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model
from edgerouter.middlewares._addresses_options import IPStrategy


class SourceCriterion(Model, frozen=True):
    """What is counted together; one of the three."""

    ip_strategy: IPStrategy | None = None
    # requests with one value of this header field count together; those without the field, too
    request_header_name: str = ""
    # requests to one host count together
    request_host: bool = False
