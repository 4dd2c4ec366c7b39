"""The access log of one worker: finished exchanges become lines. ``formats`` turns one exchange into bytes."""

from __future__ import annotations

from edgerouter.http.exchange import Exchange


class AccessLog:
    """Lines are collected and written in batches."""

    def write(self, exchange: Exchange, status: int, bytes_in: int, bytes_out: int, duration: float) -> None:
        """One finished exchange; duration in seconds."""
        raise NotImplementedError
