"""A view as it looks in life, for the tests of API and page: `python tests/dashboard/sample_view.py` serves it."""

from __future__ import annotations

import time

import msgspec

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Problem, Secret
from edgerouter.control.view import (
    CertificateView,
    EntryPointView,
    MiddlewareView,
    ProviderView,
    RouterView,
    ServerView,
    ServiceView,
    View,
    WorkerView,
    WorkloadView,
)


class Auth(Model, frozen=True):
    """Options with a secret, to see that it is never shown."""

    users: Secret = Secret("")


def _router(name: str, rule: str, key: int, **more: object) -> RouterView:
    fields = {"service": name, "priority": len(rule), "entry_points": ("web",), "provider": name.split("@")[1]}
    return RouterView(**{"name": name, "rule": rule, "key": key, **fields, **more})  # type: ignore[arg-type]


def _service(name: str, key: int, *servers: ServerView, **more: object) -> ServiceView:
    options = {"passHostHeader": True}
    fields = {"kind": "loadBalancer", "options": options, "used_by": (name,), "provider": name.split("@")[1]}
    return ServiceView(**{"name": name, "key": key, "servers": servers, **fields, **more})  # type: ignore[arg-type]


def _routers() -> list[RouterView]:
    return [
        _router("catalog@docker", 'Host("acme.com") && PathPrefix("/catalog")', 1, middlewares=("strip@file",)),
        _router("eshop@docker", 'Host("acme.com")', 2),
        _router("canary@file", "Host(`pay.acme.com`)", 3, entry_points=("websecure",), tls=True, service="pay@file"),
        _router(
            "images@docker",
            "Host(`img.acme.com`) && (PathPrefix(`/thumbs`) || Header(`X-Size`, `small`)) && !Method(`POST`)",
            4,
        ),
        _router("reports@docker", "Host(`reports.acme.com`)", 5, asleep="its only container stopped 3 min ago"),
        _router(
            "admin@docker",
            "Host(`admin.acme.com`)",
            6,
            status="disabled",
            middlewares=("auth@file", "missing@file"),
            refused='middleware "missing@file" does not exist',
            errors=('middleware "missing@file" does not exist',),
        ),
        _router("api@internal", "PathPrefix(`/api`)", 7, entry_points=("traefik",)),
    ]


def _services() -> list[ServiceView]:
    weights = {"services": [{"name": "pay-v1", "weight": 99}, {"name": "pay-v2", "weight": 1}]}
    return [
        _service("catalog@docker", 1, ServerView(url="http://172.17.0.3:3000")),
        _service("eshop@docker", 2, *(ServerView(url=f"http://172.17.0.{n}:5000") for n in (4, 5, 6, 7, 8))),
        _service("pay@file", 3, kind="weighted", options=weights, used_by=("canary@file",)),
        _service("pay-v1@file", 4, ServerView(url="http://10.0.0.11:8080"), ServerView(url="http://10.0.0.12:8080")),
        _service("pay-v2@file", 5, ServerView(url="http://10.0.0.13:8080")),
        _service(
            "images@docker",
            6,
            ServerView(url="http://172.17.0.9:80"),
            ServerView(url="http://172.17.0.10:80", up=False),
        ),
        _service("reports@docker", 7),
        _service("admin@docker", 8, ServerView(url="http://172.17.0.12:80")),
        _service("api@internal", 9, ServerView(url="unix:/run/edgerouter/control.sock")),
    ]


def _ledger(now: float) -> tuple[WorkloadView, ...]:
    def seen(
        name: str, verdict: str, reason: str = "", fix: str = "", left: float = 0.0, **more: object
    ) -> WorkloadView:
        fields = {"provider": "docker", "id": name * 2, "kind": "container", "first_seen": now - 9000}
        fields |= {"changed": now - 4000, **more}
        return WorkloadView(name=name, verdict=verdict, reason=reason, fix=fix, left=left, **fields)  # type: ignore[arg-type]

    return (
        seen("catalog", "ROUTED", "port 3000 on network bridge", routers=("catalog@docker",)),
        seen("eshop-1", "ROUTED", "port 5000 on network bridge", routers=("eshop@docker",)),
        seen("postgres", "NOT_ENABLED", "it has no label edgerouter.enable and exposedByDefault is off"),
        seen("reports", "NOT_RUNNING", "stopped with exit code 0", routers=("reports@docker",), changed=now - 180),
        seen(
            "worker",
            "NO_PORT",
            "its image exposes no port",
            "edgerouter.http.services.worker.loadbalancer.server.port=8080",
        ),
        seen("admin", "UNHEALTHY", "its HEALTHCHECK fails: connection refused", "see docker inspect admin"),
        seen(
            "shop.acme.com",
            "FAILED_CAA",
            "shop.acme.com: the CAA record of acme.com allows 'other.test', not 'letsencrypt.org'",
            "add this authority to the CAA record",
            kind="certificate",
            provider="le.acme",
            detail={
                "names": "shop.acme.com",
                "resolver": "le",
                "next attempt": "2026-11-21T10:00:00Z",
                "failures": "3",
            },
        ),
        seen("eshop-0", "ROUTED", left=now - 600),
    )


def _certificates(now: float) -> list[CertificateView]:
    day = 86400.0
    shop = {"names": ("acme.com", "www.acme.com"), "common_name": "acme.com", "not_before": now - 10 * day}
    return [
        CertificateView(name="5e" * 32, source="/certs/acme.pem", provider="file", not_after=now + 80 * day, **shop),  # type: ignore[arg-type]
        CertificateView(
            name="a1" * 32,
            source="/certs/old.pem",
            provider="file",
            status="expired",
            names=("old.acme.com",),
            not_before=now - 400 * day,
            not_after=now - 35 * day,
        ),
        CertificateView(
            name="/certs/broken.pem",
            source="/certs/broken.pem",
            provider="file",
            status="disabled",
            errors=("the key does not belong to the certificate",),
        ),
    ]


def sample_view(now: float = 0.0) -> View:
    """Six routers of which two are not well, a stale provider, a ledger and two problems."""
    now = now or time.time()
    routers, services = _routers(), _services()
    middlewares = [
        MiddlewareView(
            name="strip@file",
            provider="file",
            kind="stripPrefix",
            options={"prefixes": ["/catalog"]},
            used_by=("catalog@docker",),
        ),
        MiddlewareView(
            name="auth@file",
            provider="file",
            kind="basicAuth",
            options=Auth(users=Secret("admin:hunter2")),
            used_by=("admin@docker",),
        ),
    ]
    return View(
        started=now - 86400 * 3,
        generation=14,
        published=now - 720,
        build_seconds=0.004,
        routers={item.name: item for item in sorted(routers, key=lambda item: item.name)},
        services={item.name: item for item in sorted(services, key=lambda item: item.name)},
        middlewares={item.name: item for item in middlewares},
        entry_points={
            "web": EntryPointView(name="web", address=":80", key=1, options={"address": ":80", "asDefault": True}),
            "websecure": EntryPointView(name="websecure", address=":443", key=2, options={"address": ":443"}),
            "traefik": EntryPointView(name="traefik", address=":8080", key=3, options={"address": ":8080"}),
        },
        certificates={item.name: item for item in _certificates(now)},
        problems=(
            Problem(
                "http.routers.admin.middlewares[1]",
                'middleware "missing@file" does not exist',
                "define http.middlewares.missing in a file, or write auth@file only",
                "container admin",
            ),
            Problem(
                "edgerouter.http.routers.old.rule",
                "HostHeader is the 1.x name of this matcher",
                "write Host(`old.acme.com`)",
                "container old",
                "warning",
            ),
        ),
        ledger=_ledger(now),
        providers={
            "docker": ProviderView(name="docker", kind="docker", state="running", snapshots=41),
            "file": ProviderView(
                name="file", kind="file", state="stale", reason="/etc/routes.yaml: line 7: no such key", since=now - 300
            ),
            "internal": ProviderView(name="internal", kind="internal", state="ended", snapshots=1),
        },
        workers=tuple(
            WorkerView(slot=slot, pid=100 + slot, state="serving", generation=14, started=now - 86400)
            for slot in range(4)
        ),
    )


def healthy_view() -> View:
    """The same without anything wrong."""
    view = sample_view()
    good = {"catalog@docker", "eshop@docker", "canary@file", "api@internal"}
    routers = {name: item for name, item in view.routers.items() if name in good}
    services = {
        name: item
        for name, item in view.services.items()
        if name not in ("images@docker", "reports@docker", "admin@docker")
    }
    providers = {"docker": view.providers["docker"]}
    return msgspec.structs.replace(view, routers=routers, services=services, providers=providers, problems=())


def main() -> None:
    """Serve the sample on 127.0.0.1, port as the first argument, "well" or "empty" as the second."""
    import sys

    from aiohttp import web

    from edgerouter.config.static import Api, StaticConfiguration
    from edgerouter.control.view import Picture
    from edgerouter.dashboard.api import make_app

    which = sys.argv[2] if len(sys.argv) > 2 else ""
    view = healthy_view() if which == "well" else View(started=time.time()) if which == "empty" else sample_view()
    web.run_app(make_app(Picture(view), None, StaticConfiguration(api=Api())), host="127.0.0.1", port=int(sys.argv[1]))


if __name__ == "__main__":
    main()
