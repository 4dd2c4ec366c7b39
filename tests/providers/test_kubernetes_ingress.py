"""The provider against a small API server of the tests' own: old versions, missing rights, watches that end badly.

Today's API servers no longer have ``extensions/v1beta1``; this one plays lists and watches as they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from kubernetes_cluster import rules, told

from edgerouter.config.types import Duration
from edgerouter.contracts.snapshot import Outcome, ProviderContext, Snapshot
from edgerouter.control.prepare import kinds
from edgerouter.providers.kubernetes_ingress import IngressEndpoint, KubernetesIngressOptions, KubernetesIngressProvider

HERE = Path(__file__).parents[1] / "live" / "kubernetes"
OLD_ROLE = ("services", "endpoints", "secrets", "ingresses")


class Recorded:
    """Plays lists and watches. ``granted``: plurals that may be read (None: all); ``groups``: the server's APIs."""

    def __init__(self, *groups: str, granted: tuple[str, ...] | None = None) -> None:
        self.groups = ("v1", *groups)
        self.granted = granted
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.events: dict[str, asyncio.Queue[dict[str, Any] | None]] = {}
        self.seen: list[str] = []
        self.written: list[tuple[str, Any]] = []
        self.writable = True
        self.url = ""

    def add(self, *documents: dict[str, Any]) -> None:
        for document in documents:
            document["metadata"].setdefault("namespace", "default")
            self.lists.setdefault(_plural(document), []).append(document)

    def send(self, plural: str, kind: str, document: dict[str, Any]) -> None:
        """An event of the watch; the list follows."""
        self.queue(plural).put_nowait({"type": kind, "object": document})

    def queue(self, plural: str) -> asyncio.Queue[dict[str, Any] | None]:
        return self.events.setdefault(plural, asyncio.Queue())

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path, plural = request.path, request.path.rpartition("/")[2]
        self.seen.append(f"{request.method} {request.path_qs}")
        group = path.removeprefix("/apis/").removeprefix("/api/")
        known = next((name for name in self.groups if group == name or group.startswith(f"{name}/")), "")
        if not known:
            return _failure(404, "the server could not find the requested resource")
        if group == known:
            return web.json_response({"resources": [{"name": "ingresses"}]})
        if self.granted is not None and plural not in self.granted:
            return _failure(403, f"{plural} is forbidden")
        if request.method != "GET":
            return await self._write(request)
        if "watch" in request.query:
            return await self._watch(request, plural)
        return web.json_response({"metadata": {"resourceVersion": "7"}, "items": self.lists.get(plural, [])})

    async def _write(self, request: web.Request) -> web.Response:
        if not self.writable:
            return _failure(403, "you may not")
        self.written.append((request.path, await request.json()))
        return web.json_response({})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while (event := await self.queue(plural).get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Recorded]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


def _plural(document: dict[str, Any]) -> str:
    return {"Ingress": "ingresses", "Endpoints": "endpoints"}.get(document["kind"], document["kind"].lower() + "s")


def _failure(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


def documents(name: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all((HERE / name).read_text()) if one]


def endpoints(service: str, address: str = "10.0.0.1") -> dict[str, Any]:
    subset = {"addresses": [{"ip": address}], "ports": [{"name": "http", "port": 80}, {"port": 80}]}
    return {"kind": "Endpoints", "metadata": {"name": service}, "subsets": [subset]}


@contextlib.asynccontextmanager
async def watching(server: Recorded, **options: Any) -> AsyncIterator[AsyncIterator[Snapshot]]:
    async with reporting(server, **options) as (_, stream):
        yield stream


@contextlib.asynccontextmanager
async def reporting(
    server: Recorded, **options: Any
) -> AsyncIterator[tuple[KubernetesIngressProvider, AsyncIterator[Snapshot]]]:
    context = ProviderContext(name="kubernetesIngress", kinds=kinds())
    provider = KubernetesIngressProvider(KubernetesIngressOptions(endpoint=server.url, **options), context)
    stream = provider.watch()
    try:
        async with asyncio.timeout(60):
            yield provider, stream
    finally:
        await stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", ["extensions/v1beta1", "networking.k8s.io/v1beta1"])
async def test_ingresses_of_old_servers_with_the_old_role(version: str) -> None:
    server = Recorded(version, granted=OLD_ROLE)
    server.add(*documents("animals.yml"), *(endpoints(name) for name in ("bear", "moose", "hare")))
    async with server.running(), watching(server) as stream:
        snapshot = await until_served(stream)
    assert list(rules(snapshot)) == ["Host(`moose.minikube`)", "Host(`hare.minikube`)", "Host(`bear.minikube`)"]
    named = [line for line in told(snapshot) if "may not" in line]
    assert [line.partition("may not ")[2].partition(":")[0] for line in named] == _missing(version)


def _missing(version: str) -> list[str]:
    """What the old role lacks on each of them: slices are asked for everywhere, and classes where they are known."""
    return [] if version.startswith("extensions") else ["list ingressclasses.networking.k8s.io"]


async def until_served(stream: AsyncIterator[Snapshot]) -> Snapshot:
    """The first snapshot in which nobody sleeps."""
    async for snapshot in stream:
        if snapshot.workloads and not snapshot.sleeping:
            return snapshot
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("plural", ["services", "endpoints", "ingresses", "secrets"])
async def test_each_right_that_is_missing_is_one_problem(plural: str) -> None:
    granted = tuple(name for name in (*OLD_ROLE, "ingressclasses") if name != plural)
    server = Recorded("networking.k8s.io/v1", granted=granted)
    server.add(*documents("animals.yml"))
    async with server.running(), watching(server) as stream:
        async for snapshot in stream:
            found = [line for line in told(snapshot) if f"may not list {plural}" in line]
            if found:
                break
    assert len(found) == 1 and snapshot.problems[0].hint.startswith("grant apiGroups")


async def test_changes_come_by_the_watch_and_an_expired_one_lists_again() -> None:
    server = Recorded("networking.k8s.io/v1", "discovery.k8s.io/v1")
    server.add(*documents("animals.yml"))
    async with server.running(), watching(server, disable_ingress_class_lookup=True) as stream:
        first = await anext(stream)
        assert len(first.workloads) == 1 and len(first.sleeping) == 3
        (ingress,) = server.lists["ingresses"]
        changed = {**ingress, "metadata": {**ingress["metadata"], "name": "more", "resourceVersion": "8"}}
        server.send("ingresses", "ADDED", changed)
        assert len((await anext(stream)).workloads) == 2
        server.send("ingresses", "BOOKMARK", {"metadata": {"resourceVersion": "99"}})
        server.queue("ingresses").put_nowait(None)  # the watch ends as they all do
        server.send("ingresses", "DELETED", changed)
        assert len((await anext(stream)).workloads) == 1
        assert any("resourceVersion=99" in seen for seen in server.seen)
        server.lists["ingresses"] = []
        server.send("ingresses", "ERROR", {"code": 410, "message": "too old resource version"})
        assert (await anext(stream)).workloads == ()


async def test_changes_within_the_throttle_are_one_snapshot() -> None:
    server = Recorded("networking.k8s.io/v1", "discovery.k8s.io/v1")
    server.add(*documents("animals.yml"))
    options = {"disable_ingress_class_lookup": True, "throttle_duration": Duration(0.5)}
    async with server.running(), watching(server, **options) as stream:
        await anext(stream)
        (ingress,) = server.lists["ingresses"]
        began = asyncio.get_running_loop().time()
        for name in ("more", "most"):
            changed = {**ingress, "metadata": {**ingress["metadata"], "name": name, "resourceVersion": "8"}}
            server.send("ingresses", "ADDED", changed)
        assert len((await anext(stream)).workloads) == 3
        assert asyncio.get_running_loop().time() - began >= 0.5


async def test_a_server_that_goes_away_is_a_lost_connection() -> None:
    server = Recorded("networking.k8s.io/v1", "discovery.k8s.io/v1")
    with pytest.raises(ConnectionError, match="the Kubernetes API server at"):
        async with contextlib.AsyncExitStack() as stack:
            running = await stack.enter_async_context(contextlib.AsyncExitStack())
            await running.enter_async_context(server.running())
            stream = await stack.enter_async_context(watching(server))
            await anext(stream)
            ending = asyncio.ensure_future(running.aclose())
            try:
                await anext(stream)
            finally:
                await ending


def published(**spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": "edge", "namespace": "kube-system"}, "spec": spec}


def node(*addresses: tuple[str, str]) -> dict[str, Any]:
    status = {"addresses": [{"type": kind, "address": address} for kind, address in addresses]}
    return {"kind": "Node", "metadata": {"name": "n1", "namespace": ""}, "status": status}


@pytest.mark.parametrize(
    ("service", "options", "wanted"),
    [
        (published(type="NodePort"), {}, [{"ip": "192.0.2.1"}]),
        (published(type="NodePort"), {"report_node_internal_ips": True}, [{"ip": "10.0.0.1"}]),
        (published(externalIPs=["192.0.2.9"]), {}, [{"ip": "192.0.2.9"}]),
        (published(type="ExternalName", externalName="edge.test"), {}, [{"hostname": "edge.test"}]),
        (
            published(type="LoadBalancer") | {"status": {"loadBalancer": {"ingress": [{"hostname": "lb.test"}]}}},
            {},
            [{"hostname": "lb.test"}],
        ),
    ],
)
async def test_statuses_name_the_addresses_of_the_published_service(
    service: dict[str, Any], options: dict[str, Any], wanted: list[dict[str, str]]
) -> None:
    server = Recorded("networking.k8s.io/v1", "discovery.k8s.io/v1")
    server.add(*documents("web-ui.yml"), service, node(("ExternalIP", "192.0.2.1"), ("InternalIP", "10.0.0.1")))
    endpoint = IngressEndpoint(published_service="kube-system/edge")
    async with server.running(), reporting(server, ingress_endpoint=endpoint, **options) as (provider, stream):
        await written(server, provider, stream)
    path, body = server.written[0]
    assert path.endswith("/namespaces/kube-system/ingresses/traefik-web-ui/status")
    assert body["status"]["loadBalancer"]["ingress"] == wanted


async def written(server: Recorded, provider: KubernetesIngressProvider, stream: AsyncIterator[Snapshot]) -> None:
    """Report each snapshot, as the supervisor does, until something is written besides Events."""
    async for snapshot in stream:
        await provider.report(Outcome(provider="kubernetesIngress", workloads=snapshot.workloads))
        server.written = [(path, body) for path, body in server.written if not path.endswith("/events")]
        if server.written and server.written[-1][1]["status"]["loadBalancer"]["ingress"]:
            server.written = server.written[-1:]
            return


async def test_a_published_service_that_gets_its_address_later_is_followed() -> None:
    server = Recorded("networking.k8s.io/v1", "discovery.k8s.io/v1")
    waiting = published(type="LoadBalancer")
    server.add(*documents("web-ui.yml"), waiting)
    endpoint = IngressEndpoint(published_service="kube-system/edge")
    async with server.running(), reporting(server, ingress_endpoint=endpoint) as (provider, stream):
        first = await anext(stream)
        await provider.report(Outcome(provider="kubernetesIngress", workloads=first.workloads))
        server.written.clear()
        there = {**waiting, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.5"}]}}}
        server.send("services", "MODIFIED", there)
        assert await anext(stream) == first  # so nobody reports it
        while not any(path.endswith("/status") for path, _ in server.written):
            await asyncio.sleep(0.01)
    assert server.written[-1][1]["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.5"}]


async def test_what_may_not_be_written_is_one_problem_each_and_not_tried_again() -> None:
    server = Recorded("networking.k8s.io/v1", "discovery.k8s.io/v1")
    server.writable = False
    server.add(*documents("animals.yml"))
    endpoint = IngressEndpoint(ip="192.0.2.7")
    async with server.running(), reporting(server, ingress_endpoint=endpoint) as (provider, stream):
        async for snapshot in stream:
            await provider.report(Outcome(provider="kubernetesIngress", workloads=snapshot.workloads))
            found = [line for line in told(snapshot) if "may not" in line]
            if len(found) == 2:
                break
    assert [line.partition("may not ")[2].partition(":")[0] for line in found] == [
        "create events",
        "update ingresses/status.networking.k8s.io",
    ]
    assert sum(seen.startswith(("POST", "PUT")) for seen in server.seen) == 2


async def test_one_namespace_is_all_that_is_looked_at() -> None:
    server = Recorded("networking.k8s.io/v1", "discovery.k8s.io/v1")
    server.add(*documents("animals.yml"))
    options = {"namespaces": ("default",), "disable_cluster_scope_resources": True}
    async with server.running(), watching(server, **options) as stream:
        assert len((await anext(stream)).workloads) == 1
    asked = [seen for seen in server.seen if "?" in seen]
    assert asked and all("/namespaces/default/" in seen for seen in asked)


async def test_the_published_service_may_stand_elsewhere() -> None:
    server = Recorded("networking.k8s.io/v1", "discovery.k8s.io/v1")
    endpoint = IngressEndpoint(published_service="kube-system/edge")
    async with server.running(), watching(server, namespaces=("default",), ingress_endpoint=endpoint) as stream:
        await anext(stream)
    elsewhere = {seen.partition("?")[0] for seen in server.seen if "/namespaces/kube-system/" in seen}
    assert elsewhere == {"GET /api/v1/namespaces/kube-system/services"}
