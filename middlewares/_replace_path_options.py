"""The options of ``replacePath``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model


class Options(Model, frozen=True):
    """Options of ``replacePath``."""

    # the path that servers see
    path: str = ""
