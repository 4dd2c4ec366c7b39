"""What is shown of an attempt: its line in the ledger, and its problem. Pure."""

from __future__ import annotations

import time

from edgerouter.certs.acme import state
from edgerouter.certs.acme.state import Attempt
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Workload


def line(resolver: str, attempt: Attempt) -> Workload:
    """The ledger's line of a certificate."""
    times = {"next attempt": attempt.next_attempt, "expires": attempt.not_after}
    detail = {"failures": str(attempt.failures)} if attempt.failures else {}
    detail |= {name: when(value) for name, value in times.items() if value and attempt.state != state.COVERED}
    return Workload(
        id=f"{resolver}:{','.join(attempt.names)}",
        name=attempt.names[0],
        kind="certificate",
        verdict=attempt.state if not attempt.code else f"{attempt.state}_{attempt.code}",
        reason=attempt.error,
        fix=attempt.fix,
        routers=(attempt.router,) if attempt.router else (),
        detail=detail | {"names": ", ".join(attempt.names), "resolver": resolver},
    )


def problem(resolver: str, attempt: Attempt) -> Problem:
    """The problem of one that failed."""
    path = f"certificatesResolvers.{resolver}: {', '.join(attempt.names)}"
    message = f"{attempt.code}: {attempt.error} (attempt {attempt.failures}, next {when(attempt.next_attempt)})"
    return Problem(path, message, attempt.fix, f"{resolver}.acme", "warning")


def when(moment: float) -> str:
    """A moment as people read it, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
