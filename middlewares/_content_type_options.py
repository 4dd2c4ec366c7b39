"""The options of ``contentType``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model


class Options(Model, frozen=True):
    """Options of ``contentType``."""

    # without effect: using the middleware is what turns it on
    auto_detect: bool = False

    def not_there_yet(self) -> tuple[str, ...]:
        """See ``config.effect``."""
        return ("autoDetect",) if self.auto_detect else ()
