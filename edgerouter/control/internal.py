"""The provider ``internal``: what the router itself offers, as an ordinary snapshot. Pure.

``api@internal``, ``dashboard@internal`` and ``prometheus@internal`` are load balancers with one server, a Unix socket
of the control process that answers for this service and nothing else; ``ping@internal`` and ``noop@internal`` answer in
the worker. So routers, middlewares and access control apply to them as to any service.
"""

from __future__ import annotations

from typing import Any, Final

from edgerouter.config.dynamic import (
    DynamicConfiguration,
    HttpConfiguration,
    Middleware,
    Observability,
    Router,
    Service,
)
from edgerouter.config.static import (
    INTERNAL as INTERNAL_POINT,
)
from edgerouter.config.static import (
    RedirectEntryPoint,
    StaticConfiguration,
    effective_entry_points,
    parse_address,
)
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Snapshot
from edgerouter.control.build_routers import MAX_PRIORITY

PING_PRIORITY: Final = MAX_PRIORITY
METRICS_PRIORITY: Final = MAX_PRIORITY
CHALLENGE_PRIORITY: Final = MAX_PRIORITY
API_PRIORITY: Final = MAX_PRIORITY - 1
DASHBOARD_PRIORITY: Final = MAX_PRIORITY - 2
CATCH_ALL: Final = "HostRegexp(`^.+$`)"  # a redirection needs a Host to redirect to


def socket_path(folder: str, service: str) -> str:
    """The Unix socket of an internal service in the control process's private folder."""
    return f"{folder.rstrip('/')}/{service}.sock"


def internal_snapshot(static: StaticConfiguration, folder: str) -> Snapshot:
    """Everything under ``@internal``. ``folder`` holds the control process's Unix sockets."""
    routers = _routers(static)
    middlewares: dict[str, Middleware] = {}
    problems: list[Problem] = []
    for name, point in effective_entry_points(static).items():
        target = point.http.redirections.entry_point
        if target is not None:
            _redirect(static, name, target, routers, middlewares, problems)
    http = HttpConfiguration(routers=routers, services=_services(static, folder), middlewares=middlewares)
    return Snapshot(configuration=DynamicConfiguration(http=http), problems=tuple(problems))


def _services(static: StaticConfiguration, folder: str) -> dict[str, Service]:
    def control(name: str) -> Service:
        return Service("loadBalancer", {"servers": [{"url": f"unix:{socket_path(folder, name)}"}]})

    services = {"noop": Service("noop", {})}
    if static.ping is not None:
        services["ping"] = Service("ping", {"terminatingStatus": static.ping.terminating_status_code})
    if static.api is not None:
        services["api"] = control("api")
        if static.api.dashboard:
            services["dashboard"] = control("dashboard")
    if static.metrics.prometheus is not None:
        services["prometheus"] = control("prometheus")
    if _http_challenges(static):
        services["acme-http"] = control("acme-http")
    return services


def _http_challenges(static: StaticConfiguration) -> tuple[str, ...]:
    """The entry points on which authorities come for their proofs."""
    challenges = (resolver.acme.http_challenge for resolver in static.certificates_resolvers.values())
    return tuple(dict.fromkeys(one.entry_point for one in challenges if one is not None))


def _routers(static: StaticConfiguration) -> dict[str, Router]:
    routers: dict[str, Router] = {}
    base = "" if static.api is None else static.api.base_path.rstrip("/")
    logs = static.access_log is not None and static.access_log.add_internals
    seen = Observability(access_logs=logs, metrics=static.metrics.add_internals)

    def add(name: str, point: str, path: str, priority: int) -> None:
        rule = f"PathPrefix(`{path}`)"
        router = Router(entry_points=(point,), rule=rule, service=name, priority=priority, observability=seen)
        routers[name if name not in routers else f"{point}-{name}"] = router

    if static.api is not None and static.api.insecure:
        add("api", INTERNAL_POINT, f"{base}/api", API_PRIORITY)
        if static.api.dashboard:
            add("dashboard", INTERNAL_POINT, f"{base}/", DASHBOARD_PRIORITY)
    for point in _http_challenges(static):
        add("acme-http", point, "/.well-known/acme-challenge/", CHALLENGE_PRIORITY)
    if static.ping is not None and not static.ping.manual_routing:
        add("ping", static.ping.entry_point, "/ping", PING_PRIORITY)
    prometheus = static.metrics.prometheus
    if prometheus is not None and not prometheus.manual_routing:
        add("prometheus", prometheus.entry_point, "/metrics", METRICS_PRIORITY)
    return routers


def _redirect(
    static: StaticConfiguration,
    name: str,
    target: RedirectEntryPoint,
    routers: dict[str, Router],
    middlewares: dict[str, Middleware],
    problems: list[Problem],
) -> None:
    port = _port(static, target.to)
    label = target.to.lstrip(":")
    if not port:
        path = f"entryPoints.{name}.http.redirections.entryPoint.to"
        hint = f"write one of {', '.join(effective_entry_points(static))}, or :port"
        problems.append(Problem(path, f"{target.to!r} is neither an entry point nor a port", hint))
    options: dict[str, Any] = {"scheme": target.scheme, "permanent": target.permanent, "port": port}
    middleware = f"redirect-{name}-to-{label}"
    if port:
        middlewares[middleware] = Middleware("redirectScheme", options)
    # Without a port the router stays and refuses: what should have been redirected must not be served.
    routers[f"{name}-to-{label}"] = Router(
        entry_points=(name,),
        rule=CATCH_ALL,
        middlewares=(middleware,),
        service="noop",
        priority=target.priority,
    )


def _port(static: StaticConfiguration, to: str) -> str:
    """The port that clients are sent to, "" when ``to`` means none."""
    if to.startswith(":") and to[1:].isdigit():
        return to[1:]
    point = effective_entry_points(static).get(to)
    return "" if point is None else str(parse_address(point.address).port)
