"""The life of one wanted certificate: when it is tried, what went wrong, when it is tried again. Pure.

    WAITING -> (preflight) -> ORDERING -> ISSUED -> (renewal) ORDERING ...
                   |             |
                   +---> FAILED <+  (next attempt, with the authority's own words)

A failure is tried again after a minute, then after twice as long each time, up to a day; after four times as long when
the authority was asked: the best-known one takes five failures of a name in an hour.
"""

from __future__ import annotations

from typing import Final

import msgspec

from edgerouter.certs.acme.wanted import Names

WAITING: Final = "WAITING"
ORDERING: Final = "ORDERING"
ISSUED: Final = "ISSUED"
FAILED: Final = "FAILED"
COVERED: Final = "COVERED"  # another certificate serves these names
PARKED: Final = "PARKED"  # no router wants it any more
REFUSED: Final = "REFUSED"  # a client asked for it, and may not have it

FIRST_RETRY: Final = 60.0
LONGEST_RETRY: Final = 86_400.0
PARK_AFTER: Final = 7 * 86_400.0  # seconds without a router until a certificate is renewed no more

# What was found before the authority was asked: to look again costs nothing.
FREE: Final = frozenset(
    {"NXDOMAIN", "NO_ADDRESS", "NOT_US", "CAA", "DNS", "UNREACHABLE", "STORAGE", "FAULT", "BUDGET", "ASK_UNREACHABLE"}
)
UNSAID: Final = 3600.0  # seconds after a limit of the authority that does not say how long
ASK_RENEWAL: Final = 6 * 3600.0  # seconds between questions when a certificate is to be renewed (RFC 9773 section 4.3)
LEAST_ASK: Final = 60.0  # however soon the authority wants to be asked

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR
# Lifetime -> how long before the end it is renewed, where the authority does not say (Traefik's table).
_AHEAD: Final = (
    (365 * _DAY, 120 * _DAY),
    (90 * _DAY, 30 * _DAY),
    (30 * _DAY, 10 * _DAY),
    (6 * _DAY, 2 * _DAY),
    (_DAY, 6 * _HOUR),
)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one set of names. Times are Unix seconds; ``code`` names what failed, ``error`` says it."""

    names: Names
    state: str = WAITING
    router: str = ""
    failures: int = 0
    since: float = 0.0
    next_attempt: float = 0.0
    code: str = ""
    error: str = ""
    fix: str = ""
    not_after: float = 0.0
    demanded: bool = False  # no router names it: a client did
    asked: float = 0.0  # the failures that somebody wants tried again before their time: those due until then


def renewal_of(not_before: float, not_after: float, random: float) -> float:
    """When a certificate is to be renewed; ``random`` (0 to 1) spreads many over a tenth of the time that is left."""
    lifetime = not_after - not_before
    ahead = next((ahead for least, ahead in _AHEAD if lifetime >= least * 0.98), lifetime / 3)
    return not_after - ahead - random * ahead / 10


def failed(attempt: Attempt, now: float, code: str, error: str, fix: str = "", after: float = 0.0) -> Attempt:
    """The same after a failure. ``after``: seconds that the authority itself asked to wait."""
    failures = attempt.failures + 1
    delay = min(LONGEST_RETRY, FIRST_RETRY * (2 if code in FREE else 4) ** min(failures - 1, 20))
    if code in ("RATE_LIMITED", "ON_DEMAND_BUDGET"):
        delay = after or UNSAID
    return msgspec.structs.replace(
        attempt,
        state=FAILED,
        failures=failures,
        since=now,
        next_attempt=now + max(delay, after),
        code=code,
        error=error[:600],
        fix=fix,
    )


def issued(attempt: Attempt, now: float, not_before: float, not_after: float, random: float) -> Attempt:
    """The same with a certificate in hand."""
    return Attempt(
        names=attempt.names,
        router=attempt.router,
        demanded=attempt.demanded,
        state=ISSUED,
        since=now,
        next_attempt=renewal_of(not_before, not_after, random),
        not_after=not_after,
    )


def asked_to_renew(attempt: Attempt, moment: float) -> Attempt:
    """The same, to be renewed when the authority says; never so late that no time is left for a second attempt."""
    latest = attempt.not_after - (attempt.not_after - attempt.since) / 10
    return msgspec.structs.replace(attempt, next_attempt=min(moment, latest))


def due(attempt: Attempt, now: float) -> bool:
    """True when something is to be done about it now."""
    return attempt.state in (WAITING, FAILED, ISSUED) and now >= attempt.next_attempt
