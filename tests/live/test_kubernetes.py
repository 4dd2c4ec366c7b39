"""Ingresses on a real API server: scenarios S13 to S17, faults, rights, and a server that goes away."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from live.kubernetes_server import (
    OLD,
    ROUTER,
    SAMPLES,
    ApiServer,
    Objects,
    eventually,
    grant,
    own_address,
    path_of,
    running,
)
from live.toolbox import EchoServer, Reply, Router, exchange, fetch

from edgerouter.config.ingress_versions import to_current

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def cluster() -> Iterator[ApiServer]:
    with running() as server:
        asyncio.run(grant(server))
        yield server


def scenario(name: str) -> list[dict[str, Any]]:
    """A scenario's objects as today's API takes them."""
    documents = yaml.safe_load_all((HERE / "kubernetes" / name).read_text())
    return [to_current(document) for document in documents if document]


def router(folder: Path, server: ApiServer, token: str = ROUTER, **options: Any) -> Router:
    given = {"endpoint": server.url, "token": token, "certAuthFilePath": str(server.ca), **options}
    return Router(folder, static={"providers": {"kubernetesIngress": given}, "api": {"insecure": True}}, workers=2)


def service(
    name: str, port: str = "http", annotations: dict[str, str] | None = None, number: int = 80
) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default", "annotations": annotations or {}}
    ports = [{"name": port, "port": number}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}}


def ingress(name: str, host: str, to: str, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    backend = {"service": {"name": to, "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    meta = {"name": name, "namespace": "default", "annotations": annotations or {}}
    body = {"metadata": meta, "spec": {"rules": [rule], **spec}}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", **body}


@contextlib.asynccontextmanager
async def servers(*names: str) -> AsyncIterator[dict[str, EchoServer]]:
    """Servers on an address that the API takes for endpoints."""
    async with contextlib.AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(EchoServer(name, host=own_address())) for name in names}


async def serving(router: Router, host: str, path: str = "/", status: int = 200) -> Reply:
    """The first answer with this status."""
    found: list[Reply] = []

    async def asked() -> bool:
        found.append(await fetch(router.port(), path, host=host))
        return found[-1].status == status

    await eventually(asked, f"{status} from {host}{path}; it was {found[-1].status if found else 'nothing'}")
    return found[-1]


async def test_s14_names_of_three_services_with_two_endpoints_each(cluster: ApiServer, tmp_path: Path) -> None:
    names = [f"{animal}-{number}" for animal in ("bear", "moose", "hare") for number in (1, 2)]
    async with cluster.admin() as admin, servers(*names) as up, router(tmp_path, cluster) as edge:
        assert (await fetch(edge.port(), "/", host="bear.minikube")).status == 404
        await admin.apply(*scenario("animals.yml"))
        for animal in ("bear", "moose", "hare"):
            await admin.slice(animal, *(up[f"{animal}-{n}"].address for n in (1, 2)), port="http")
        for animal in ("bear", "moose", "hare"):
            await serving(edge, f"{animal}.minikube")
            seen = {(await fetch(edge.port(), "/", host=f"{animal}.minikube")).json()["name"] for _ in range(8)}
            assert seen == {f"{animal}-1", f"{animal}-2"}
        await admin.delete(*scenario("animals.yml"))
        await serving(edge, "bear.minikube", status=404)


async def test_s14_a_services_breaker_trips_and_recovers(cluster: ApiServer, tmp_path: Path) -> None:
    async with cluster.admin() as admin, router(tmp_path, cluster) as edge:
        await admin.apply(*scenario("animals.yml"))
        dead = EchoServer("hare", host=own_address())
        async with dead:
            await admin.slice("hare", dead.address, port="http")
            await serving(edge, "hare.minikube")
        await serving(edge, "hare.minikube", status=502)
        await serving(edge, "hare.minikube", status=503)
        async with EchoServer("hare", host=own_address(), port=dead.port):
            await serving(edge, "hare.minikube")
        await admin.delete(*scenario("animals.yml"))


async def test_s15_one_host_with_stripped_prefixes(cluster: ApiServer, tmp_path: Path) -> None:
    async with cluster.admin() as admin, servers("bear", "moose", "hare") as up, router(tmp_path, cluster) as edge:
        await admin.apply(*scenario("all-animals.yml"), *(service(name) for name in up))
        for name, server in up.items():
            await admin.slice(name, server.address, port="http")
        for name in up:
            reply = await serving(edge, "animals.minikube", f"/{name}/den?x=1")
            assert (reply.json()["name"], reply.json()["path"]) == (name, "/den?x=1")
        await admin.delete(*scenario("all-animals.yml"))


async def test_s16_one_percent_goes_to_the_canary(cluster: ApiServer, tmp_path: Path) -> None:
    async with cluster.admin() as admin, servers("stable", "canary") as up, router(tmp_path, cluster) as edge:
        await admin.apply(*scenario("canary.yml"), service("animals-app"), service("animals-app-canary"))
        await admin.slice("animals-app", up["stable"].address, port="http")
        await admin.slice("animals-app-canary", up["canary"].address, port="http")
        await serving(edge, "any.test")
        before = {name: server.requests for name, server in up.items()}
        for _ in range(10):
            replies = await asyncio.gather(*(fetch(edge.port(), "/", host="any.test") for _ in range(40)))
            assert {reply.status for reply in replies} == {200}
        shares = {name: server.requests - before[name] for name, server in up.items()}
        assert shares["stable"] + shares["canary"] == 400
        assert 2 <= shares["canary"] <= 6  # two workers, each with a rotation of its own
        await admin.delete(*scenario("canary.yml"))


async def test_s13_and_s17_a_named_port_and_the_default_backend(cluster: ApiServer, tmp_path: Path) -> None:
    async with cluster.admin() as admin, servers("ui", "rest") as up, router(tmp_path, cluster) as edge:
        await admin.apply(*scenario("web-ui.yml"))
        await admin.slice("traefik-web-ui", up["ui"].address, port="web", namespace="kube-system")
        assert (await serving(edge, "traefik-ui.minikube")).json()["name"] == "ui"
        assert (await fetch(edge.port(), "/", host="unknown.test")).status == 404
        await admin.apply(*scenario("default-backend.yml"), service("defaultbackend"))
        await admin.slice("defaultbackend", up["rest"].address, port="http")
        assert (await serving(edge, "unknown.test", "/what/ever")).json()["name"] == "rest"
        assert (await serving(edge, "traefik-ui.minikube")).json()["name"] == "ui"
        await admin.delete(*scenario("default-backend.yml"), *scenario("web-ui.yml"))


async def test_endpoints_that_go_and_come_are_live_within_a_second(cluster: ApiServer, tmp_path: Path) -> None:
    async with cluster.admin() as admin, servers("one", "two") as up, router(tmp_path, cluster) as edge:
        await admin.apply(service("web"), ingress("web", "web.test", "web"))
        await admin.slice("web", up["one"].address, port="http")
        assert (await serving(edge, "web.test")).json()["name"] == "one"
        await admin.slice("web", up["two"].address, port="http")

        async def moved() -> bool:
            reply = await fetch(edge.port(), "/", host="web.test")
            assert reply.status == 200, "no request fails at a change"
            return bool(reply.json()["name"] == "two")

        await eventually(moved, "the new endpoint", patience=10)
        await admin.slice("web")
        reply = await serving(edge, "web.test", status=503)
        assert reply.headers["content-type"]
        await admin.delete(ingress("web", "web.test", "web"))


async def test_routes_outlive_the_api_server(cluster: ApiServer, tmp_path: Path) -> None:
    async with cluster.admin() as admin, servers("one") as up, router(tmp_path, cluster) as edge:
        await admin.apply(service("kept"), ingress("kept", "kept.test", "kept"))
        await admin.slice("kept", up["one"].address, port="http")
        await serving(edge, "kept.test")
        await asyncio.to_thread(cluster.stop_server)

        async def stale() -> bool:
            assert (await fetch(edge.port(), "/", host="kept.test")).status == 200
            return edge.find_log("lost its source") is not None

        await eventually(stale, "the loss to be told")
        await asyncio.to_thread(cluster.start_server)
        async with cluster.admin() as again:
            await again.apply(ingress("new", "new.test", "kept"))
            await serving(edge, "new.test")
            assert (await fetch(edge.port(), "/", host="kept.test")).status == 200
            await again.delete(ingress("new", "new.test", "kept"), ingress("kept", "kept.test", "kept"))


async def test_what_cannot_be_served_is_told_by_events_and_the_ledger(cluster: ApiServer, tmp_path: Path) -> None:
    async with cluster.admin() as admin, router(tmp_path, cluster, ingressEndpoint={"ip": "192.0.2.7"}) as edge:
        await admin.apply(
            service("good"), ingress("broken", "broken.test", "absent"), ingress("good", "good.test", "good")
        )

        async def told() -> list[str]:
            found = await admin.call("GET", "/api/v1/namespaces/default/events")
            events = [one for one in found["items"] if one["involvedObject"]["name"] == "broken"]
            return [f"{one['reason']}: {one['message']}" for one in events]

        (event, *_) = await eventually(told, "an Event about the broken Ingress")
        assert event.startswith("NO_SERVICE: there is no Service default/absent")

        async def status() -> bool:
            path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/good"
            return bool(
                (await admin.call("GET", path))["status"].get("loadBalancer") == {"ingress": [{"ip": "192.0.2.7"}]}
            )

        await eventually(status, "the Ingress's status")
        assert denied(edge) == []
        await admin.delete(ingress("broken", "broken.test", "absent"), ingress("good", "good.test", "good"))


def denied(edge: Router) -> list[str]:
    """What the account may not do, by the router's log."""
    found = {line["message"] for line in edge.lines if line.get("event") == "problem"}
    return sorted(line.partition("may not ")[2].partition(":")[0] for line in found if "may not " in line)


async def test_the_old_role_is_enough_and_each_missing_right_is_named(cluster: ApiServer, tmp_path: Path) -> None:
    status = {"ingressEndpoint": {"ip": "192.0.2.7"}}
    async with cluster.admin() as admin, servers("one") as up, router(tmp_path, cluster, OLD, **status) as edge:
        annotated = {"kubernetes.io/ingress.class": "traefik"}
        broken = ingress("broken", "broken.test", "absent", annotated)
        await admin.apply(service("aged"), ingress("aged", "aged.test", "aged", annotated), broken)
        address, port = up["one"].address
        subsets = [{"addresses": [{"ip": address}], "ports": [{"name": "http", "port": port}]}]
        meta = {"name": "aged", "namespace": "default"}
        await admin.apply({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets})
        await serving(edge, "aged.test")
        wanted = [
            "create events",
            "list endpointslices.discovery.k8s.io",
            "list ingressclasses.networking.k8s.io",
            "update ingresses/status.networking.k8s.io",
        ]

        async def told() -> bool:
            return denied(edge) == wanted

        await eventually(told, f"{wanted}; told is {denied(edge)}")
        await admin.delete(ingress("aged", "aged.test", "aged"), broken)


async def test_the_manifests_that_are_shipped_are_accepted(cluster: ApiServer) -> None:
    async with cluster.admin() as admin:
        for file in sorted(SAMPLES.glob("*.yml")):
            for document in yaml.safe_load_all(file.read_text()):
                await dry_run(admin, document)
                if document["kind"] == "Namespace":  # what follows is in it
                    await admin.apply(document)


async def dry_run(admin: Objects, document: dict[str, Any]) -> None:
    meta = {**document["metadata"], "name": f"{document['metadata']['name']}-try"}
    query = "?dryRun=All&fieldValidation=Strict"
    found = await admin.call("POST", path_of(document) + query, {**document, "metadata": meta})
    assert found["kind"] == document["kind"]


def tls_secret(name: str, host: str) -> dict[str, Any]:
    made = trustme.CA().issue_cert(host)
    parts = {"tls.crt": made.cert_chain_pems[0].bytes(), "tls.key": made.private_key_pem.bytes()}
    data = {key: base64.b64encode(value).decode() for key, value in parts.items()}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta, "data": data}


def served_certificate(port: int, host: str) -> bytes:
    """What a client of this name is shown, in DER."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 30) as raw,
        context.wrap_socket(raw, server_hostname=host) as tls,
    ):
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: tls.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
        return tls.getpeercert(True) or b""


async def test_s17_a_tls_secret_is_served_and_rotated_without_a_lost_request(
    cluster: ApiServer, tmp_path: Path
) -> None:
    host = "secure.test"
    first, second = tls_secret("secure", host), tls_secret("secure", host)
    wanted = [ssl.PEM_cert_to_DER_cert(base64.b64decode(one["data"]["tls.crt"]).decode()) for one in (first, second)]
    entry = ingress("secure", host, "secure", tls=[{"hosts": [host], "secretName": "secure"}])
    async with cluster.admin() as admin, servers("one") as up, router(tmp_path, cluster) as edge:
        await admin.apply(service("secure"), first, entry)
        await admin.slice("secure", up["one"].address, port="http")
        await serving(edge, host)

        async def shown(certificate: bytes) -> bool:
            return await asyncio.to_thread(served_certificate, edge.port(), host) == certificate

        await eventually(lambda: shown(wanted[0]), "the first certificate")
        async with asking(edge.port(), host) as answers:
            await admin.apply(second)
            await eventually(lambda: shown(wanted[1]), "the second certificate")
            seen = len(answers)
            await eventually(lambda: more(answers, seen), "answers after it")
        assert set(answers) == {200}
        await admin.delete(entry, second)


async def more(answers: list[int], than: int) -> bool:
    return len(answers) > than + 20


@contextlib.asynccontextmanager
async def asking(port: int, host: str) -> AsyncIterator[list[int]]:
    """Clients that ask over TLS without a pause, two on connections that stay and two on new ones; all statuses."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    answers: list[int] = []

    async def client(stays: bool) -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
            try:
                for _ in range(1_000_000 if stays else 1):
                    answers.append((await exchange(reader, writer, "/", host)).status)
            finally:
                writer.close()

    tasks = [asyncio.ensure_future(client(stays)) for stays in (True, True, False, False)]
    try:
        yield answers
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert ended == [], f"clients failed: {[task.exception() for task in ended if not task.cancelled()]}"


async def test_s12_the_flags_as_they_are_written(cluster: ApiServer, tmp_path: Path) -> None:
    user = {"name": "it", "user": {"token": ROUTER}}
    where = {"name": "it", "cluster": {"server": cluster.url, "certificate-authority": str(cluster.ca)}}
    context = {"name": "it", "context": {"cluster": "it", "user": "it"}}
    file = tmp_path / "kubeconfig"
    document = {"apiVersion": "v1", "kind": "Config", "current-context": "it", "contexts": [context]}
    file.write_text(yaml.safe_dump({**document, "clusters": [where], "users": [user]}))
    flags = ("--api", "--kubernetes", "--logLevel=INFO")
    edge = Router(tmp_path, flags=flags, env={"KUBECONFIG": str(file)})
    async with cluster.admin() as admin, servers("one") as up, edge:
        text = edge.log_text()
        assert "this is a flag of Traefik 1.x; write --providers.kubernetesIngress" in text
        assert "this is a flag of Traefik 1.x; write --log.level" in text
        before = await fetch(edge.port(), "/", host="any.test")
        assert (before.status, before.text.splitlines()[0]) == (404, "404 page not found")
        assert (await fetch(edge.port("traefik"), "/dashboard/")).status == 200
        await admin.apply(service("first"), ingress("first", "first.test", "first"))
        await admin.slice("first", up["one"].address, port="http")
        await serving(edge, "first.test")
        await admin.delete(ingress("first", "first.test", "first"))


async def test_hostile_objects_hurt_nobody_else(cluster: ApiServer, tmp_path: Path) -> None:
    """What somebody with a namespace of his own may write; ``mine`` is served all the time, by its own server."""
    meta = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "evil"}}
    prefix = "traefik.ingress.kubernetes.io/"
    async with cluster.admin() as admin, servers("mine", "thief") as up, router(tmp_path, cluster) as edge:
        await admin.apply(meta, service("mine"), ingress("mine", "mine.test", "mine"))
        await admin.slice("mine", up["mine"].address, port="http")
        assert (await serving(edge, "mine.test")).json()["name"] == "mine"
        claim = evil(ingress("claim", "mine.test", "thief"))
        bad = tls_secret("no-cert", "mine.test")
        bad["data"]["tls.key"] = base64.b64encode(b"nothing").decode()
        no_cert = evil(ingress("no-cert", "b.test", "thief", tls=[{"hosts": ["mine.test"], "secretName": "no-cert"}]))
        # etcd takes 1.5 MB, and the API 256 KB of annotations: the most that can be said is said.
        huge = evil(ingress("huge", "c.test", "thief", {f"{prefix}router.middlewares": "x" * 250_000}))
        inner = evil(ingress("inner", "d.test", "thief", {f"{prefix}router.middlewares": "dashboard@internal"}))
        local = evil(service("local"))
        local["spec"] = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": 80}]}
        hostile = [claim, no_cert, huge, inner, evil(ingress("local", "e.test", "local"))]
        await admin.apply(evil(service("thief")), local, evil(bad), *hostile)
        await admin.slice("thief", up["thief"].address, port="http", namespace="evil")
        words = {
            "evil/claim": "belongs to the Ingress default/mine, which is older",
            "evil/no-cert": "secret 'no-cert': tls.key holds no private key",
            "evil/huge": "longer than 64 KiB",
            "evil/inner": "annotations may not use dashboard@internal",
            "evil/local": "is an ExternalName, and those are not allowed",
        }

        async def told() -> bool:
            assert (await fetch(edge.port(), "/", host="mine.test")).json()["name"] == "mine"
            page = (await fetch(edge.port("traefik"), "/api/workloads")).json()
            reasons = {line["name"]: line["reason"] for line in page}
            return all(word in reasons.get(name, "") for name, word in words.items())

        await eventually(told, "a reason for each of them")
        assert (await fetch(edge.port(), "/", host="mine.test")).json()["name"] == "mine"
        assert (await fetch(edge.port(), "/", host="e.test")).status in (404, 503)
        await admin.delete(*hostile, ingress("mine", "mine.test", "mine"))


def evil(document: dict[str, Any]) -> dict[str, Any]:
    """The same in somebody else's namespace."""
    return {**document, "metadata": {**document["metadata"], "namespace": "evil"}}


async def test_the_shipped_role_lacks_nothing_and_only_watches(cluster: ApiServer, tmp_path: Path) -> None:
    async with cluster.admin() as admin, servers("one") as up, router(tmp_path, cluster) as edge:
        await admin.apply(service("plain"), ingress("plain", "plain.test", "plain"))
        await admin.slice("plain", up["one"].address, port="http")
        await serving(edge, "plain.test")
        assert denied(edge) == []
        since = len(cluster.asked())
        for number in range(3):
            await admin.apply(ingress(f"more-{number}", f"more-{number}.test", "plain"))
            await serving(edge, f"more-{number}.test")
        assert [line for line in cluster.asked()[since:] if not line.startswith("watch ")] == []
        await admin.delete(*(ingress(f"more-{number}", "", "plain") for number in range(3)))
        await admin.delete(ingress("plain", "plain.test", "plain"))


def ingress_class(name: str, default: bool = False) -> dict[str, Any]:
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"} if default else {}
    meta = {"name": name, "annotations": annotations}
    spec = {"controller": "edgerouter/ingress-controller"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": meta, "spec": spec}


async def test_s17_two_routers_each_with_a_class_of_its_own(cluster: ApiServer, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("inner", "outer")]
    for folder in folders:
        folder.mkdir()
    inner, outer = (router(folder, cluster, ingressClass=folder.name) for folder in folders)
    # With a default class the API server writes its name into whatever names none.
    objects = [
        ingress("to-inner", "*.inner.test", "both", ingressClassName="inner"),
        ingress("to-outer", "outer.test", "both", ingressClassName="outer"),
        ingress("to-default", "default.test", "both"),
    ]
    classes = [ingress_class("inner"), ingress_class("outer", default=True)]
    async with cluster.admin() as admin, servers("one") as up, inner, outer:
        await admin.apply(service("both"), *classes, *objects)
        await admin.slice("both", up["one"].address, port="http")
        await serving(inner, "a.inner.test")
        await serving(outer, "outer.test")
        await serving(outer, "default.test")
        others = [(inner, "outer.test"), (inner, "default.test"), (outer, "a.inner.test")]
        assert [(await fetch(edge.port(), "/", host=host)).status for edge, host in others] == [404] * 3
        await admin.delete(*objects, *classes)
