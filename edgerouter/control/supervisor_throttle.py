"""When a change is acted upon: the first at once, then at most one in an interval, urgent ones always at once."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from edgerouter.config.dynamic import Service
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.supervisor_timing import Handle, Timing

log = logging.getLogger("edgerouter.control")


class Throttle:
    """``act`` is called in the loop, at once or when the interval is over; changes in between are one."""

    def __init__(self, interval: float, timing: Timing, act: Callable[[], None]) -> None:
        self._interval = interval
        self._timing = timing
        self._act = act
        self._next = 0.0
        self._waiting: Handle | None = None

    def changed(self, urgent: bool) -> None:
        """Something changed."""
        left = self._next - self._timing.now()
        if urgent or left <= 0:
            self._fire()
        elif self._waiting is None:
            self._waiting = self._timing.call_later(left, self._fire)

    def stop(self) -> None:
        """Do not act any more."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _fire(self) -> None:
        self.stop()
        self._next = self._timing.now() + self._interval
        try:
            self._act()
        except Exception:  # called from a provider's stream: a fault of ours must not be taken for the provider's
            log.exception("the newest configuration could not be used; the last one goes on serving")


def only_servers(old: Snapshot | None, new: Snapshot) -> bool:
    """True when the two route alike and differ in nothing but the servers of services that both have."""
    if old is None:
        return False
    before, after = old.configuration, new.configuration
    services, others = before.http.services, after.http.services
    if services.keys() != others.keys() or old.sleeping != new.sleeping:
        return False
    bare = msgspec.structs.replace(before, http=msgspec.structs.replace(before.http, services={}))
    if bare != msgspec.structs.replace(after, http=msgspec.structs.replace(after.http, services={})):
        return False
    changed = [name for name, service in services.items() if others[name] != service]
    return bool(changed) and all(_same_but_servers(services[name], others[name]) for name in changed)


def _same_but_servers(one: Service, other: Service) -> bool:
    first, second = one.options, other.options
    if not isinstance(first, msgspec.Struct) or type(first) is not type(second) or not hasattr(first, "servers"):
        return False
    if msgspec.structs.replace(first, servers=()) != msgspec.structs.replace(second, servers=()):
        return False
    return msgspec.structs.replace(one, options=None) == msgspec.structs.replace(other, options=None)
