"""Active health checks: who is asked, when, what was found; told to workers, the view and the log.

One task a server and service. Checks live in the control process alone, so that each server is asked once, however many
workers there are. A server is believed to be up until it is found down. A check that a new configuration does not
touch goes on with what it knows.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from edgerouter.clients.probe import Probe, probe_http
from edgerouter.clients.probe_grpc import probe_grpc
from edgerouter.clients.references import Resolver
from edgerouter.config.dynamic import ServersTransport
from edgerouter.contracts.messages import ServersHealth
from edgerouter.contracts.plan import Plan, ServiceEntry, TransportEntry
from edgerouter.control.health_probes import make_dial, make_probe
from edgerouter.control.health_trees import with_children
from edgerouter.control.view import ServerView, ServiceView
from edgerouter.services._load_balancer_options import HealthCheck, PassiveHealthCheck
from edgerouter.services._passive import FailureRecord
from edgerouter.telemetry.records import RecordBusy, SharedRecords
from edgerouter.worker.assemble_transports import transport_name
from edgerouter.worker.upstream_tls import tls_context

AT_ONCE: Final = 256  # checks that are under way at the same time
SPREAD: Final = 0.5  # seconds over which the first checks of many servers are spread
log = logging.getLogger("edgerouter.control")
Key = tuple[str, str]  # service, server's url


class Check:
    """One server of one service. ``reason`` is "" while it is up."""

    def __init__(self, key: Key, options: HealthCheck, name: str, transport: ServersTransport) -> None:
        self.key = key
        self.transport_name = name
        self.options = options
        self.transport = transport
        self.reason = ""
        self.since = time.time()
        self.task: asyncio.Task[None] | None = None

    def pause(self) -> float:
        """Seconds to the next question."""
        if self.reason and self.options.unhealthy_interval is not None:
            return float(self.options.unhealthy_interval)
        return float(self.options.interval)


class HealthChecks:
    """``changed`` is called with each finding; ``records`` are the workers' shared ones."""

    def __init__(self, changed: Callable[[ServersHealth], None], records: SharedRecords) -> None:
        self._changed = changed
        self._records = records
        self._checks: dict[Key, Check] = {}
        self._passive: dict[str, FailureRecord] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._contexts: dict[Key, ssl.SSLContext] = {}  # by transport and mode: gRPC asks for another ALPN

    # -- what is to be checked ----------------------------------------------------------------------------------------

    def follow(self, plan: Plan) -> None:
        """From now on check what this plan says."""
        transports = {e.name: e.options for e in plan.entries.values() if isinstance(e, TransportEntry)}
        wanted = dict(_wanted(plan, transports))
        self._passive = {name: record for name, record in self._records_of(plan)}
        gone = [key for key in self._checks if key not in wanted]
        up = tuple(key for key in gone if self._checks[key].reason)
        for key in gone:
            _stop(self._checks.pop(key))
        self._contexts.clear()
        for key, (options, name, transport) in wanted.items():
            self._renew(key, options, name, transport)
        if up:
            self._changed(ServersHealth(up=up))

    def _renew(self, key: Key, options: HealthCheck, name: str, transport: ServersTransport) -> None:
        known = self._checks.get(key)
        if known is not None and known.options == options and known.transport == transport:
            return
        check = Check(key, options, name, transport)
        if known is not None:
            _stop(known)
            check.reason, check.since = known.reason, known.since
        self._checks[key] = check
        delay = SPREAD * (len(self._checks) % 64) / 64 if len(self._checks) > 16 else 0.0
        check.task = asyncio.get_running_loop().create_task(self._run(check, delay))

    def _records_of(self, plan: Plan) -> Iterator[tuple[str, FailureRecord]]:
        for entry in plan.entries.values():
            if isinstance(entry, ServiceEntry) and not entry.refused and "passiveHealthCheck" in _options(entry):
                try:
                    options = Resolver().typed(entry.options["passiveHealthCheck"], PassiveHealthCheck)
                    yield entry.name, FailureRecord(options, entry.name, self._records, time.monotonic)
                except (RecordBusy, ValueError) as error:
                    log.warning("passive health of %s cannot be shown: %s", entry.name, error)

    def stop(self) -> None:
        """The end."""
        for check in self._checks.values():
            _stop(check)

    # -- checking -----------------------------------------------------------------------------------------------------

    async def _run(self, check: Check, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            async with self._turns:
                reason = await self._ask(check)
            self._found(check, reason)
            await asyncio.sleep(check.pause())

    async def _ask(self, check: Check) -> str:
        try:
            probe = make_probe(check.key[1], check.options, check.transport)
            ask = probe_grpc if check.options.mode == "grpc" else probe_http
            try:
                tls = await self._tls(probe, check)
            except (ValueError, OSError) as error:
                return f"serversTransport {check.transport_name!r} cannot be used: {error}"
            return await ask(probe, tls, make_dial(probe, check.transport))
        except Exception as error:  # a server's faults are sentences; this is a fault of ours, and no server's
            log.exception("health check of %s of service %s", check.key[1], check.key[0])
            return f"it could not be checked: {type(error).__name__}: {error}"

    async def _tls(self, probe: Probe, check: Check) -> ssl.SSLContext | None:
        if not probe.url.startswith("https:"):
            return None
        key = (check.transport_name, check.options.mode)
        if key not in self._contexts:
            loop = asyncio.get_running_loop()
            self._contexts[key] = await loop.run_in_executor(None, tls_context, check.transport)
        return self._contexts[key]

    def _found(self, check: Check, reason: str) -> None:
        service, url = check.key
        if not reason:
            self._clear_failures(service, url)
        was, check.reason = check.reason, reason
        if bool(was) == bool(reason):
            return
        check.since = time.time()
        if reason:
            log.warning("server %s of service %s is down: %s", url, service, reason, extra={"event": "server-down"})
            self._changed(ServersHealth(down=(check.key,)))
        else:
            log.info("server %s of service %s is up again", url, service, extra={"event": "server-up"})
            self._changed(ServersHealth(up=(check.key,)))

    def _clear_failures(self, service: str, url: str) -> None:
        record = self._passive.get(service)
        if record is not None:
            try:
                record.clear(url)
            except RecordBusy:
                return  # the next check comes by

    def watches_failures(self) -> bool:
        """True when some service has a passive health check: workers then find things out by themselves."""
        return bool(self._passive)

    # -- what is known ------------------------------------------------------------------------------------------------

    def known(self) -> ServersHealth:
        """All that a new worker must be told."""
        return ServersHealth(down=tuple(key for key, check in self._checks.items() if check.reason))

    def shown(self, services: Mapping[str, ServiceView]) -> dict[str, ServiceView]:
        """The same services with what is known of their servers and children; the others stay the same objects."""
        checked = {service for service, _ in self._checks} | set(self._passive)
        result = dict(services)
        for name in checked & set(result):
            view = result[name]
            result[name] = msgspec.structs.replace(view, servers=tuple(self._server(name, s) for s in view.servers))
        return with_children(result)

    def _server(self, service: str, view: ServerView) -> ServerView:
        check = self._checks.get((service, view.url))
        reason = "" if check is None else check.reason
        passive = self._passive.get(service)
        if not reason and passive is not None and passive.until(view.url):
            reason = "requests to it failed"
        return msgspec.structs.replace(view, up=not reason, reason=reason, checked=True)


def _stop(check: Check) -> None:
    if check.task is not None:
        check.task.cancel()


def _options(entry: ServiceEntry) -> Mapping[str, Any]:
    return entry.options if isinstance(entry.options, dict) else {}


Wanted = tuple[HealthCheck, str, ServersTransport]


def _wanted(plan: Plan, transports: Mapping[str, Any]) -> Iterator[tuple[Key, Wanted]]:
    for entry in plan.entries.values():
        if isinstance(entry, ServiceEntry) and not entry.refused and "healthCheck" in _options(entry) and entry.servers:
            try:
                options = Resolver().typed(entry.options["healthCheck"], HealthCheck)
                name = transport_name(entry.options)
                transport = Resolver().typed(transports.get(name, {}), ServersTransport)
            except ValueError as error:  # what it refers to is gone since the build
                log.error("servers of %s are not checked: %s", entry.name, error)
                continue
            for server in entry.servers:
                yield (entry.name, server.url), (options, name, transport)
