"""The options of ``stripPrefix``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model


class Options(Model, frozen=True):
    """Options of ``stripPrefix``."""

    # the prefixes; the first that matches is removed
    prefixes: tuple[str, ...] = ()
