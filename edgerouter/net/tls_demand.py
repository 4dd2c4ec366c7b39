"""Names that no certificate bears, at entry points where one may be had on demand: the connections that wait for it.

A connection waits before its handshake begins, bounded in time and number. Hellos are free of charge for whoever sends
them, so a name is asked about once, new names only so many in a second, few of them of one address; who does
not wait goes on at once with what is there. Names with a certificate never come here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

from edgerouter.net.tls_names import CertificateTable
from edgerouter.net.tls_transport import Opening

MOST_PARKED: Final = 100  # connections of a worker that wait for a certificate
MOST_OF_ONE: Final = 8  # of these, those of one address
MOST_ASKED: Final = 50  # names that a worker asks about in one second
MOST_ASKED_OF_ONE: Final = 4  # of these, those that clients of one address ask for
MOST_REFUSED: Final = 4096  # names whose refusal is remembered
LONGEST: Final = 253  # letters of a DNS name (RFC 1035 section 2.3.4)
GIVEN_UP: Final = 5.0  # seconds in which nobody waits again for a name that was waited for in vain


@mypyc_attr(allow_interpreted_subclasses=True)
class Parked(Opening):
    """A connection whose hello is read. ``server_name`` is in lower case."""

    def __init__(self) -> None:
        self.client_address = ""
        self.server_name = ""

    def go_on(self) -> None:
        """Begin the handshake with what is there now."""


class TlsDemand:
    """``points``: entry point -> seconds that its connections wait at most. ``ask``: have a name looked into, of an
    entry point; the answer is a certificate in the table (``arrived``), or ``refused``."""

    def __init__(self) -> None:
        self.points: dict[str, float] = {}
        self.ask: Callable[[str, str], None] | None = None
        self._parked: dict[str, dict[Parked, None]] = {}
        self._count = 0
        self._of_one: dict[str, int] = {}
        self._refused: dict[str, float] = {}
        self._second = 0
        self._this_second = 0
        self._asked_of_one: dict[str, int] = {}

    def park(self, front: Parked, point: str, now: float) -> bool:
        """Let it wait; False when it is to go on at once."""
        name = front.server_name
        if self.ask is None or "." not in name or len(name) > LONGEST or self._refused.get(name, 0.0) > now:
            return False
        if self._count >= MOST_PARKED or self._of_one.get(front.client_address, 0) >= MOST_OF_ONE:
            return False
        waiting = self._parked.get(name)
        if waiting is None:
            if not self._may_ask(front.client_address, now):
                return False
            waiting = self._parked[name] = {}
            self.ask(name, point)
        waiting[front] = None
        self._count += 1
        self._of_one[front.client_address] = self._of_one.get(front.client_address, 0) + 1
        return True

    def leave(self, front: Parked) -> None:
        """It waits no more."""
        waiting = self._parked.get(front.server_name)
        if waiting is None or front not in waiting:
            return
        del waiting[front]
        if not waiting:
            del self._parked[front.server_name]
        self._count -= 1
        left = self._of_one.get(front.client_address, 1) - 1
        if left:
            self._of_one[front.client_address] = left
        else:
            self._of_one.pop(front.client_address, None)

    def refused(self, name: str, now: float, seconds: float) -> None:
        """No certificate comes for this name; for that long it is not asked about again."""
        self._refused.pop(name, None)
        if len(self._refused) >= MOST_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[name] = now + seconds
        self._wake(name)

    def arrived(self, table: CertificateTable) -> None:
        """There are other certificates than before."""
        for name in list(self._parked):
            if table.find(name) is not None:
                self._wake(name)

    def _wake(self, name: str) -> None:
        for front in list(self._parked.get(name, ())):
            self.leave(front)
            front.go_on()

    def _may_ask(self, address: str, now: float) -> bool:
        second = int(now)
        if second != self._second:
            self._second, self._this_second = second, 0
            self._asked_of_one.clear()
        of_one = self._asked_of_one.get(address, 0)
        if self._this_second >= MOST_ASKED or of_one >= MOST_ASKED_OF_ONE:
            return False
        self._this_second += 1
        self._asked_of_one[address] = of_one + 1
        return True
