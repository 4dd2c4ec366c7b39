"""The options of ``addPrefix``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model


class Options(Model, frozen=True):
    """Options of ``addPrefix``."""

    # the prefix; a missing leading slash is added
    prefix: str = ""
