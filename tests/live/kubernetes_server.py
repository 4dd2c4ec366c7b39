"""A real kube-apiserver with a real etcd, for as long as a module's tests run. Nothing is faked: objects are written
through the API, accounts are told apart by RBAC. No kubelet runs, so tests write endpoints themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from live.toolbox import CHECKOUT

ADMIN, ROUTER, OLD = "admin-token", "router-token", "old-token"
TOKENS = f"""{ADMIN},admin,admin,"system:masters"
{ROUTER},router,router,"system:authenticated"
{OLD},old,old,"system:authenticated"
"""
SAMPLES = CHECKOUT / "config" / "samples" / "kubernetes"
# What users granted years ago, but for the group that Ingresses stand in today.
OLD_RULES = [
    {"apiGroups": [""], "resources": ["services", "endpoints", "secrets"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["get", "list", "watch"]},
]
START_SECONDS = 180.0
BUILD_SECONDS = 3000.0


def own_address() -> str:
    """An address of this machine that is not loopback: the API server takes no other for endpoints."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: the kernel only chooses the way
            return str(probe.getsockname()[0])
        except OSError:
            pytest.skip("this machine has no address but loopback")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binaries() -> tuple[str, str]:
    """Paths of kube-apiserver (built on first use) and etcd; skips where they cannot be had."""
    built = subprocess.run(
        ["bash", str(CHECKOUT / ".ci/kube-apiserver.sh")], capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    if built.returncode:
        pytest.skip(f"no kube-apiserver: {built.stderr.strip().splitlines()[-1:]}")
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    etcd = shutil.which("etcd", path=f"{assets}:{os.environ['PATH']}:/usr/sbin") if assets else shutil.which("etcd")
    if etcd is None:
        pytest.skip("no etcd: apt-get install etcd-server")
    return built.stdout.strip(), etcd


# What accounts ask of the API, one JSON line a request: RequestReceived and the long tail are left out.
AUDIT_POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules: [{level: Metadata, users: [router, old]}, {level: None}]
"""


class ApiServer:
    """One cluster. ``url`` is where it listens; it stays the same over ``restart``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.audit = folder / "audit.log"
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca = folder / "certs" / "apiserver.crt"
        self._etcd_port, self._peer_port = free_port(), free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._kube, self._etcd = binaries()

    def start(self) -> None:
        """Start both, and wait until the API server is ready."""
        (self.folder / "tokens.csv").write_text(TOKENS)
        (self.folder / "audit.yml").write_text(AUDIT_POLICY)
        key = self.folder / "accounts.key"
        if not key.exists():
            subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd_port, self._peer_port))
        self._run(
            "etcd",
            [
                *(self._etcd, f"--data-dir={self.folder}/etcd", f"--listen-client-urls={client}"),
                *(f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}"),
                *(f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}", "--unsafe-no-fsync"),
            ],
        )
        self.start_server()

    def start_server(self) -> None:
        """Start the API server alone."""
        folder, key = self.folder, self.folder / "accounts.key"
        self._run(
            "kube-apiserver",
            [
                *(self._kube, f"--etcd-servers=http://127.0.0.1:{self._etcd_port}", f"--secure-port={self.port}"),
                *("--bind-address=127.0.0.1", f"--cert-dir={folder}/certs", f"--token-auth-file={folder}/tokens.csv"),
                *("--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16"),
                *("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}"),
                *(f"--service-account-signing-key-file={key}", "--disable-admission-plugins=ServiceAccount"),
                *(f"--advertise-address={own_address()}", "--watch-cache=true", "--profiling=false"),
                *(f"--audit-policy-file={folder}/audit.yml", f"--audit-log-path={self.audit}"),
            ],
        )
        self._wait_ready()

    def stop_server(self) -> None:
        """End the API server; etcd and its objects stay."""
        self._end("kube-apiserver")

    def stop(self) -> None:
        """End everything."""
        for name in list(self._processes):
            self._end(name)

    def asked(self, user: str = "router") -> list[str]:
        """What an account asked so far and got an end of: ``list services``, ``watch ingresses`` ..., in order."""
        lines = (json.loads(line) for line in self.audit.read_text().splitlines())
        return [
            f"{line['verb']} {line['objectRef']['resource']}"
            for line in lines
            if line["user"]["username"] == user and "objectRef" in line
        ]

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()  # asked politely, it waits for its watchers; what is written is in etcd
        process.wait()

    def _wait_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not self._ready():
            assert self._processes["kube-apiserver"].poll() is None, self._last_words()
            assert time.monotonic() < end, self._last_words()
            time.sleep(0.1)

    def _ready(self) -> bool:
        command = ["curl", "-ks", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {ADMIN}"]
        found = subprocess.run([*command, f"{self.url}/readyz"], capture_output=True, text=True, timeout=30)
        return found.stdout == "200"

    def _last_words(self) -> str:
        return (self.folder / "kube-apiserver.log").read_text()[-3000:]

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncIterator[Objects]:
        """A client that may do everything."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(
            self.url, connector=connector, headers={"Authorization": f"Bearer {ADMIN}"}
        ) as session:
            yield Objects(session)


_PLURALS = {
    "Ingress": "ingresses",
    "IngressClass": "ingressclasses",
    "Endpoints": "endpoints",
    "DaemonSet": "daemonsets",
}
_CLUSTER = ("Namespace", "ClusterRole", "ClusterRoleBinding", "IngressClass", "Node")


def path_of(document: dict[str, Any]) -> str:
    """The collection that an object belongs to."""
    group, kind, meta = document["apiVersion"], document["kind"], document["metadata"]
    base = f"/apis/{group}" if "/" in group else f"/api/{group}"
    within = "" if kind in _CLUSTER else f"/namespaces/{meta.get('namespace', 'default')}"
    return f"{base}{within}/{_PLURALS.get(kind, kind.lower() + 's')}"


class Objects:
    """What tests do to a cluster's objects."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, method: str, path: str, body: Any = None, expect: tuple[int, ...] = (200, 201)) -> Any:
        async with self._session.request(method, path, json=body) as response:
            found = await response.json(content_type=None)
            assert response.status in expect, f"{method} {path}: {response.status} {found}"
            return found

    async def apply(self, *documents: dict[str, Any] | str) -> None:
        """Create objects, or replace those that are there."""
        for document in documents:
            for one in yaml.safe_load_all(document) if isinstance(document, str) else (document,):
                if one:
                    await self._put(one)

    async def _put(self, document: dict[str, Any]) -> None:
        path, name = path_of(document), document["metadata"]["name"]
        async with self._session.post(path, json=document) as response:
            if response.status != 409:
                assert response.status == 201, f"POST {path}: {await response.text()}"
                return
        for _ in range(10):
            there = await self.call("GET", f"{path}/{name}")
            meta = {**document["metadata"], "resourceVersion": there["metadata"]["resourceVersion"]}
            body = {**document, "metadata": meta}
            if document["kind"] == "Service":
                body["spec"] = {**document["spec"], "clusterIP": there["spec"].get("clusterIP")}
            async with self._session.put(f"{path}/{name}", json=body) as response:
                if response.status != 409:  # somebody (a status) was quicker: take the new version
                    assert response.status == 200, f"PUT {path}/{name}: {await response.text()}"
                    return
        raise AssertionError(f"{path}/{name} changes all the time")

    async def delete(self, *documents: dict[str, Any] | str) -> None:
        for document in documents:
            for one in yaml.safe_load_all(document) if isinstance(document, str) else (document,):
                await self.call("DELETE", f"{path_of(one)}/{one['metadata']['name']}", expect=(200, 202, 404))

    async def slice(self, service: str, *servers: tuple[str, int], port: str = "", namespace: str = "default") -> None:
        """Write a service's endpoints: one slice for each port number."""
        for number, (address, at) in enumerate(servers):
            await self.apply(endpoint_slice(service, address, at, port, namespace, f"{service}-{number}"))
        found = await self.call("GET", f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
        for one in found["items"]:
            meta = one["metadata"]
            mine = meta.get("labels", {}).get("kubernetes.io/service-name") == service
            if mine and int(meta["name"].rpartition("-")[2]) >= len(servers):
                path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{meta['name']}"
                await self.call("DELETE", path)


def endpoint_slice(service: str, address: str, at: int, port: str, namespace: str, name: str) -> dict[str, Any]:
    """One ready endpoint."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": port, "port": at, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }


@contextlib.contextmanager
def running() -> Iterator[ApiServer]:
    """A cluster for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="edgerouter-kube-") as folder:
        server = ApiServer(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


async def eventually(check: Any, what: str, patience: float = 60.0) -> Any:
    """The first true result of an async ``check``."""
    end = time.monotonic() + patience
    while True:
        found = await check()
        if found:
            return found
        assert time.monotonic() < end, f"waited {patience} s in vain for {what}"
        await asyncio.sleep(0.05)


async def grant(server: ApiServer) -> None:
    """The shipped role for one account, the old one for another."""
    async with server.admin() as admin:
        for document in yaml.safe_load_all((SAMPLES / "rbac.yml").read_text()):
            await admin.apply(document)
        group = "rbac.authorization.k8s.io"
        role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "old"}, "rules": OLD_RULES}
        await admin.apply(role)
        for user, name in (("router", "edgerouter"), ("old", "old")):
            reference = {"apiGroup": group, "kind": "ClusterRole", "name": name}
            subject = {"apiGroup": group, "kind": "User", "name": user}
            meta = {"name": f"{user}-of-tests"}
            binding = {"kind": "ClusterRoleBinding", "metadata": meta, "roleRef": reference, "subjects": [subject]}
            await admin.apply({"apiVersion": f"{group}/v1", **binding})
