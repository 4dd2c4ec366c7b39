"""The time limits of one exchange that a router's middleware set: how long it may be silent, how long it may take.

Looked at by the worker's clock a few times within each limit; nothing is done for a byte that passes. Connecting and
the first byte are limited where they are waited for: in the pool and in the connection to the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgerouter.errors import IdleTimeout, TotalTimeout
from edgerouter.http.exchange import Timeouts
from edgerouter.net.clock import Clock, Peer

if TYPE_CHECKING:
    from edgerouter.proxy.attempts import Attempts

_LOOKS: Final = 4.0  # within an idle time: two of them pass at most until its end is seen
_LONGEST: Final = 5.0  # seconds between two looks; what is over by then is not kept longer


class Watch(Peer):
    """Made when the exchange goes on behind the middleware; ``stop`` is called at its end."""

    def __init__(self, clock: Clock, flow: Attempts, timeouts: Timeouts, started: float) -> None:
        self._clock = clock
        self._flow: Attempts | None = flow
        self._idle = timeouts.idle
        self._total = timeouts.total
        self._started = started
        self._since = clock.now
        self._bytes = 0
        if self._idle > 0.0 or self._total > 0.0:
            self._wait()

    def stop(self) -> None:
        """The exchange is over."""
        self._flow = None
        self.deadline = 0.0

    def expired(self) -> None:
        """See ``Peer.expired``."""
        flow, now = self._flow, self._clock.now
        if flow is None:
            return
        if self._total > 0.0 and now - self._started >= self._total and not flow.is_tunnel():
            flow.timed_out(TotalTimeout(f"longer than the {self._total:g} s that the router allows (timeouts: total)"))
            return
        if self._idle > 0.0:
            passed = flow.passed()
            if passed != self._bytes:
                self._bytes = passed
                self._since = now
            elif now - self._since >= self._idle:
                flow.timed_out(IdleTimeout(f"nothing came from either side for {self._idle:g} s (timeouts: idle)"))
                return
        self._wait()

    def _wait(self) -> None:
        seconds = _LONGEST
        if self._idle > 0.0:
            seconds = min(seconds, self._idle / _LOOKS)
        if self._total > 0.0:
            left = self._total - (self._clock.now - self._started)
            if left > 0.0:
                seconds = min(seconds, left)
        self._clock.schedule(self, seconds)
