"""The metrics of certificate resolvers. Counts live as long as the control process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from edgerouter.certs.acme.state import Attempt
from edgerouter.contracts.snapshot import Sample

_ATTEMPTS: Final = "edgerouter_acme_attempts_total"
_FAILURES: Final = "edgerouter_acme_failures_total"
_DEMANDS: Final = "edgerouter_acme_on_demand_total"
_STATES: Final = "edgerouter_acme_certificates"
_LEFT: Final = "edgerouter_acme_certificate_expiry_seconds"
_NEXT: Final = "edgerouter_acme_next_attempt_seconds"
FAMILIES: Final = {
    _ATTEMPTS: ("counter", "Attempts of this router to get a certificate, failed ones too."),
    _FAILURES: ("counter", "Attempts of this router that failed, by the reason's code."),
    _DEMANDS: ("counter", "Names that clients asked for and no router names, by what became of the question."),
    _STATES: ("gauge", "Certificates that routers want, by state."),
    _LEFT: ("gauge", "Seconds until a resolver's certificate expires; negative once it has."),
    _NEXT: ("gauge", "Seconds until a certificate is tried again or renewed."),
}


class Numbers:
    """One resolver's. Written on the loop, read in threads: each change is one assignment."""

    def __init__(self, resolver: str) -> None:
        self._resolver = resolver
        self._attempts = 0
        self._failures: Counter[str] = Counter()
        self._demands: Counter[str] = Counter()

    def attempt(self, code: str) -> None:
        """One more; ``code`` is "" for one that succeeded."""
        self._attempts += 1
        if code:
            self._failures[code] += 1

    def demand(self, outcome: str) -> None:
        """A client asked for a name: ``ALLOWED``, or the code of its refusal."""
        self._demands[outcome] += 1

    def samples(self, attempts: Iterable[Attempt], now: float) -> Iterator[Sample]:
        """All that there is now."""
        own = {"resolver": self._resolver}
        yield Sample(_ATTEMPTS, "counter", own, self._attempts)
        for code, count in sorted(dict(self._failures).items()):
            yield Sample(_FAILURES, "counter", own | {"code": code}, count)
        for outcome, count in sorted(dict(self._demands).items()):
            yield Sample(_DEMANDS, "counter", own | {"outcome": outcome}, count)
        known = list(attempts)
        for state, count in sorted(Counter(one.state for one in known).items()):
            yield Sample(_STATES, "gauge", own | {"state": state}, count)
        for one in known:
            names = own | {"name": one.names[0], "sans": ",".join(one.names)}
            if one.not_after:
                yield Sample(_LEFT, "gauge", names, round(one.not_after - now))
            if one.next_attempt:
                yield Sample(_NEXT, "gauge", names, round(max(0.0, one.next_attempt - now)))
