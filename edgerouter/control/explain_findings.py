"""What was found about a request, in words: a code, a sentence, and what to write. Pure; the routing is done before.

Order of the questions: what the winner itself answers, workloads that discovery left out and that would have taken the
request, routers that only an entry point, TLS or one clause kept away, hosts that are nearly the one asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from edgerouter.control.view import RouterView, ServiceView, View, WorkloadView
from edgerouter.http.exchange import Exchange
from edgerouter.routing.explain import LOST, NEAR, OTHER_ENTRYPOINT, OTHER_TLS, Explanation, Trial
from edgerouter.rules.compile import Rule

ROUTED: Final = "ROUTED"
MOST: Final = 20
_INTERNAL: Final = "@internal"  # the router's own pages are nobody's fault
NOWHERE: Final = "unix:/no-shared-network/"
_READ = Callable[[str], Rule | None]


class Finding(msgspec.Struct, frozen=True):
    """``about`` is the router, workload or service."""

    code: str
    message: str
    fix: str = ""
    about: str = ""


def find(found: Explanation, exchange: Exchange, view: View, read: _READ) -> tuple[int, str, tuple[Finding, ...]]:
    """Return what the client gets (0: a server's answer), the verdict in one word, and the findings."""
    present = [line for line in view.ledger if not line.left]
    status, verdict, findings = _winner(found, view, present)
    if verdict != ROUTED or any(line.verdict != ROUTED for line in present):
        findings += _left_out(found, exchange, view, present, read)
    findings += _kept_away(found, view)
    findings += _without_entry_point(exchange, view, read)
    if not found.winner:
        findings += _typos(found, exchange)
    unique = tuple(dict.fromkeys(findings))
    return status, verdict, unique[:MOST]


def _winner(found: Explanation, view: View, present: Iterable[WorkloadView]) -> tuple[int, str, list[Finding]]:
    """What the router that took the request makes of it."""
    name = found.winner
    if not name:
        return 404, "NO_ROUTE", []
    router = view.routers.get(name)
    if router is None:
        return 0, ROUTED, []
    why = _blamed(name, present)
    if router.refused:
        return 500, "BAD_CONFIG", why or [Finding("BAD_CONFIG", router.refused, _hint(router, view), name)]
    if router.asleep:
        return 503, "ASLEEP", why or [Finding("ASLEEP", router.asleep, "", name)]
    service = view.services.get(router.service)
    if service is not None and service.kind == "loadBalancer":
        return _balancer(service, why)
    return 0, ROUTED, []


def _balancer(service: ServiceView, why: list[Finding]) -> tuple[int, str, list[Finding]]:
    if any(server.url.startswith(NOWHERE) for server in service.servers):
        return 502, "NO_SHARED_NETWORK", why
    if not any(server.up and server.weight > 0 for server in service.servers):
        message = f"service {service.name} has no server that is up"
        return (
            503,
            "NO_SERVER",
            why or [Finding("NO_SERVER", message, "look at its servers and their health", service.name)],
        )
    return 0, ROUTED, []


def _hint(router: RouterView, view: View) -> str:
    path = f"http.routers.{router.name.rpartition('@')[0]}"
    return next((problem.hint for problem in view.problems if problem.path.startswith(path) and problem.hint), "")


def _blamed(router: str, present: Iterable[WorkloadView]) -> list[Finding]:
    """Workloads behind a router that take no requests."""
    return [
        _of(line)
        for line in present
        if line.verdict != ROUTED and router in {f"{one}@{line.provider}" for one in line.routers}
    ]


def _of(line: WorkloadView) -> Finding:
    reason = line.reason if line.name in line.reason else f"{line.kind} {line.name}: {line.reason}"
    return Finding(line.verdict, reason, line.fix, f"{line.kind} {line.name}")


def _left_out(
    found: Explanation, exchange: Exchange, view: View, present: Iterable[WorkloadView], read: _READ
) -> Iterator[Finding]:
    """Workloads that discovery rejected and whose rules hold for this request."""
    holding = {trial.name for trial in found.trials if trial.holds}
    for line in present:
        if line.verdict == ROUTED:
            continue
        names = {f"{one}@{line.provider}" for one in line.routers}
        rules = [read(rule) for rule in line.rules.values()]
        if names & holding or any(rule is not None and rule.predicate.test(exchange) for rule in rules):
            yield _of(line)


def _kept_away(found: Explanation, view: View) -> Iterator[Finding]:
    """Routers whose rule holds, or nearly, and which something else kept from the request."""
    for trial in found.trials:
        if trial.name.endswith(_INTERNAL):
            continue
        if trial.outcome == OTHER_ENTRYPOINT:
            fix = "call the entry point that it listens on, or add this one to its entryPoints"
            yield Finding("OTHER_ENTRY_POINT", f"router {trial.name}: {trial.reason}", fix, trial.name)
        elif trial.outcome == OTHER_TLS and trial.holds:
            fix = "call it with https" if trial.entry.tls else "call it with http, or add tls to the router"
            yield Finding("OTHER_TLS", f"router {trial.name}: {trial.reason}", fix, trial.name)
        elif trial.outcome == LOST and _shadowed(trial, view):
            message = f"router {trial.name}: {_shadowed(trial, view)}"
            yield Finding("SHADOWED", message, "raise its priority, or change one of the rules", trial.name)
        elif trial.outcome == NEAR and not found.winner:
            false = [verdict.text for verdict in trial.verdicts if not verdict.holds]
            fix = f"change the request or the rule: {', '.join(false)}"
            yield Finding("NEAR_MISS", f"router {trial.name} {trial.reason}", fix, trial.name)


def _shadowed(trial: Trial, view: View) -> str:
    router = view.routers.get(trial.name)
    return next((error for error in (router.errors if router else ()) if "same rule" in error), "")


def _without_entry_point(exchange: Exchange, view: View, read: _READ) -> Iterator[Finding]:
    """Routers that are not served at all, and whose rule would have held."""
    for router in view.routers.values():
        if router.key >= 0:
            continue
        rule = read(router.rule) if router.rule else None
        if rule is None:
            if exchange.request.host and exchange.request.host in router.rule.lower():
                yield Finding("BAD_RULE", f"router {router.name}: {router.errors[0]}", "mend the rule", router.name)
        elif rule.predicate.test(exchange):
            yield Finding(
                "NO_ENTRY_POINT", f"router {router.name}: {'; '.join(router.errors)}", _hint(router, view), router.name
            )


def _typos(found: Explanation, exchange: Exchange) -> list[Finding]:
    """Routers whose host is the one asked for but for a letter or two."""
    host = exchange.request.host
    findings = []
    for trial in found.trials:
        rule = trial.entry.rule
        for named in rule.hosts() if rule is not None else ():
            if named != host and _nearly(named, host):
                message = f"no router names the host {host!r}; router {trial.name} names {named!r}"
                findings.append(Finding("HOST_TYPO", message, f"ask for {named}, or write Host(`{host}`)", trial.name))
    return findings


def _nearly(one: str, other: str) -> bool:
    """True when the texts differ in at most two neighbouring letters (changed, added, left out or swapped)."""
    if abs(len(one) - len(other)) > 2:
        return False
    start, least = 0, min(len(one), len(other))
    while start < least and one[start] == other[start]:
        start += 1
    end = 0
    while end < least - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return max(len(one), len(other)) - start - end <= 2 < least
