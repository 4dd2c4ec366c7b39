"""Every name that TLS is served or wanted for: its state, where it comes from, when it ends, what is tried next. Pure.

Resolvers tell of theirs in the ledger (kind ``certificate``); certificates of other providers are in the view.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

import msgspec

from edgerouter.control.view import CertificateView, View, WorkloadView

SERVED: Final = "SERVED"  # from a file, or another provider
# What needs somebody first, what is all right last.
_ORDER: Final = ("FAILED", "BROKEN", "EXPIRED", "ORDERING", "WAITING", "ISSUED", SERVED, "COVERED", "PARKED", "REFUSED")


class CertificateLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Names, main one first. ``state``: ISSUED, ORDERING, WAITING, FAILED, COVERED (another certificate serves them),
    PARKED (no router wants them), REFUSED (a client asked on demand, and may not have them) of a resolver; SERVED,
    EXPIRED, BROKEN of any other source. Moments as in RFC 3339, "" where there is none; ``failures`` in a row;
    ``code``, ``error`` and ``fix`` of the last attempt."""

    names: tuple[str, ...]
    state: str
    source: str
    router: str = ""
    expires: str = ""
    next_attempt: str = ""
    failures: int = 0
    code: str = ""
    error: str = ""
    fix: str = ""


def certificate_lines(view: View) -> list[CertificateLine]:
    """Those that need somebody first."""
    lines = [_of_resolver(item) for item in view.ledger if item.kind == "certificate" and not item.left]
    theirs = {item.provider for item in view.ledger if item.kind == "certificate"}
    others = [item for item in view.certificates.values() if item.provider not in theirs]
    lines += [_of_view(item) for item in others if not item.default or item.provider]
    return sorted(lines, key=lambda line: (_ORDER.index(line.state) if line.state in _ORDER else 0, line.names))


def _of_resolver(item: WorkloadView) -> CertificateLine:
    state, _, code = item.verdict.partition("_")
    detail = item.detail
    return CertificateLine(
        names=tuple(detail.get("names", item.name).split(", ")),
        state=state,
        source=f"resolver {detail.get('resolver', '')}",
        router=item.routers[0] if item.routers else "",
        expires=detail.get("expires", ""),
        next_attempt=detail.get("next attempt", ""),
        failures=int(detail.get("failures", "0")),
        code=code,
        error=item.reason,
        fix=item.fix,
    )


def _of_view(item: CertificateView) -> CertificateLine:
    state = {"expired": "EXPIRED", "disabled": "BROKEN"}.get(item.status, SERVED)
    end = datetime.datetime.fromtimestamp(item.not_after, datetime.UTC) if item.not_after else None
    return CertificateLine(
        names=item.names or (item.common_name or item.name,),
        state=state,
        source=item.source,
        expires=end.isoformat().replace("+00:00", "Z") if end else "",
        error="; ".join(item.errors),
    )


def certificates_text(lines: Sequence[CertificateLine], now: float) -> str:
    """For people: a line each, and below it what went wrong and what to do."""
    if not lines:
        return "no certificate is served or wanted; routers ask for one by tls.certResolver\n"
    texts = []
    for line in lines:
        words = [f"{line.state:<9}", ", ".join(line.names)]
        words += [f"expires {line.expires[:10]} ({_left(line.expires, now)})"] if line.expires else []
        words += [line.source, line.router]
        texts.append("  ".join(word for word in words if word))
        if line.error:
            texts.append(f"    {line.code + ': ' if line.code else ''}{line.error}")
        if line.fix:
            texts.append(f"    fix: {line.fix}")
        if line.failures:
            times = "once" if line.failures == 1 else f"{line.failures} times"
            again = f"now: edgerouter certificates retry {line.names[0]}"
            texts.append(f"    failed {times}, next attempt {line.next_attempt}; {again}")
        elif line.next_attempt and line.state == "ISSUED":
            texts.append(f"    renewed from {line.next_attempt}")
    return "\n".join(texts) + "\n"


def _left(moment: str, now: float) -> str:
    seconds = datetime.datetime.fromisoformat(moment).timestamp() - now
    if seconds <= 0:
        return "over"
    return f"{seconds / 86400:.0f} days left" if seconds >= 2 * 86400 else f"{seconds / 3600:.0f} hours left"
