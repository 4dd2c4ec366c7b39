"""What people are told in the log: what to open, what was applied, what is wrong (each problem once). No decisions."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from edgerouter.config.static import INTERNAL, StaticConfiguration
from edgerouter.config.types import Problem
from edgerouter.control.sockets import Opened
from edgerouter.control.upgrade import Outcome

log = logging.getLogger("edgerouter.control")


def listening(opened: list[Opened], workers: int) -> None:
    """One line an entry point, with the port that it really has."""
    for entry in opened:
        place = f"{_bracketed(entry.host) or '*'}:{entry.port}"
        fields = {"event": "listening", "entryPoint": entry.name, "address": entry.host, "port": entry.port}
        log.info("entry point %s listens on %s (%d workers)", entry.name, place, workers, extra=fields)


def ready(static: StaticConfiguration, opened: list[Opened], seconds: float, version: str) -> None:
    """The router serves: what to open in a browser."""
    ports = {entry.name: entry for entry in opened}
    pages = [f"{what}: {_url(ports[point])}{path}" for what, point, path in _pages(static) if point in ports]
    told = "; ".join(pages) or "no page of its own is served"
    log.info("edgerouter %s is ready after %.1f s; %s", version, seconds, told, extra={"event": "ready"})


def succeeded(outcome: Outcome, before: str, seconds: float) -> None:
    """A live upgrade is over; or it failed, and this is the program from before."""
    if outcome.state == "failed":
        text = "the upgrade failed, version %s goes on: %s"
        log.error(text, outcome.version, outcome.reason, extra={"event": "upgradeFailed"})
        return
    fields = {"event": "upgraded", "version": outcome.version, "seconds": round(seconds, 3)}
    text = "version %s has taken over from %s after %.1f s; the old workers finish what they hold"
    log.info(text, outcome.version, before, seconds, extra=fields)


class ProblemLog:
    """Writes each problem when it appears, and once more when it is gone."""

    def __init__(self) -> None:
        self._known: set[Problem] = set()

    def tell(self, problems: Iterable[Problem]) -> None:
        """``problems``: all there are now."""
        now = set(problems)
        for problem in sorted(now - self._known):
            level = logging.WARNING if problem.severity == "warning" else logging.ERROR
            hint = f"; {problem.hint}" if problem.hint else ""
            source = f" ({problem.source})" if problem.source else ""
            fields = {"event": "problem", "path": problem.path, "source": problem.source}
            log.log(level, "%s: %s%s%s", problem.path, problem.message, hint, source, extra=fields)
        for problem in sorted(self._known - now):
            log.info("no longer: %s: %s", problem.path, problem.message, extra={"event": "solved"})
        self._known = now


def applied(generation: int, routers: int, services: int, seconds: float, everywhere: bool) -> None:
    """A configuration is live; ``seconds`` from the build's start to the last worker's answer."""
    fields = {"event": "applied", "generation": generation, "seconds": round(seconds, 4)}
    if everywhere:
        text = "configuration %d is live: %d routers, %d services, after %.0f ms"
        log.info(text, generation, routers, services, seconds * 1000, extra=fields)
    else:
        log.warning("configuration %d: not all workers serve it after %.0f s", generation, seconds, extra=fields)


def _pages(static: StaticConfiguration) -> list[tuple[str, str, str]]:
    pages = []
    if static.api is not None and static.api.insecure:
        base = static.api.base_path.rstrip("/")
        if static.api.dashboard:
            pages.append(("dashboard", INTERNAL, f"{base}/dashboard/"))
        pages.append(("API", INTERNAL, f"{base}/api/overview"))
    prometheus = static.metrics.prometheus
    if prometheus is not None and not prometheus.manual_routing:
        pages.append(("metrics", prometheus.entry_point, "/metrics"))
    if static.ping is not None and not static.ping.manual_routing:
        pages.append(("ping", static.ping.entry_point, "/ping"))
    return pages


def _url(entry: Opened) -> str:
    host = entry.host if entry.host not in ("", "0.0.0.0", "::") else "localhost"
    return f"http://{_bracketed(host)}:{entry.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
