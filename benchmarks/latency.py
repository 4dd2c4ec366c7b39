"""Does control work delay requests? p99 at 2,000 requests a second, quiet and while the configuration never rests.

The worker has core 0; control process, load, upstream and the noise share core 1. Open loop (h2load --h1 --rps). The
noise: a stub Docker API that answers from memory and changes 1,000 labels a minute, one new certificate a second
(parsed, checked, published), the API polled ten times a second. Quiet and noisy runs alternate in pairs; wanted are a
median ratio of at most 1.5 and no loop stall over 5 ms.

What measures must not be what is measured: load and upstream go before the noise on core 1 (real-time turns), or the
p99 is the time that h2load itself waited for the control process's turn to end; and the worker goes before whatever
else the machine does on core 0. A witness before the worker tells whose a stall is (``_witness.py``). ``--share``
leaves all at one priority, as does a machine without that right.
``python benchmarks/latency.py [--share] [pairs] [seconds] [routers]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from typing import Any

from _peers import HERE, Peer, free_port, running, start_upstream, wait_for
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

RATE, CONNECTIONS, CHANGES = 2000, 50, 1000 / 60  # requests a second, connections, label changes a second
NETWORK = {"Name": "bridge", "Id": "b" * 64, "Driver": "bridge", "Scope": "local"}


class Daemon:
    """As much of the Docker API as is asked for, from memory; ``change`` gives one container another rule."""

    def __init__(self, containers: int, upstream: int) -> None:
        self.upstream = upstream
        self.turn = 0
        self.containers = [self._container(number, 0) for number in range(containers)]
        self.streams: list[web.StreamResponse] = []

    def _container(self, number: int, turn: int) -> dict[str, Any]:
        labels = {
            "traefik.enable": "true",
            f"traefik.http.routers.c{number}.rule": f"Host(`c{number}.test`) && PathPrefix(`/v{turn}`)",
            f"traefik.http.services.c{number}.loadbalancer.server.url": f"http://127.0.0.1:{self.upstream}",
        }
        return {
            "Id": f"{turn:032x}{number:032x}",
            "Names": [f"/c{number}"],
            "Created": 1_700_000_000 + turn,
            "Labels": labels,
            "State": "running",
            "Status": "Up",
            "HostConfig": {"NetworkMode": "bridge"},
            "NetworkSettings": {"Networks": {"bridge": {"NetworkID": "b" * 64, "IPAddress": "127.0.0.1"}}},
            "Mounts": [],
        }

    async def change(self) -> None:
        """A container is replaced by one with other labels, and the events say so."""
        self.turn += 1
        number = self.turn % len(self.containers)
        old, new = self.containers[number], self._container(number, self.turn)
        self.containers[number] = new
        for action, container in (("die", old), ("destroy", old), ("create", new), ("start", new)):
            event = {"Type": "container", "Action": action, "Actor": {"ID": container["Id"], "Attributes": {}}}
            for stream in list(self.streams):
                with contextlib.suppress(ConnectionError):
                    await stream.write(json.dumps({**event, "time": int(time.time())}).encode() + b"\n")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Every question of the provider."""
        path = re.sub(r"^/v[0-9.]+", "", request.path)
        if path == "/events":
            stream = web.StreamResponse(headers={"Content-Type": "application/json"})
            await stream.prepare(request)
            self.streams.append(stream)
            await asyncio.Event().wait()
        return web.json_response(self._answer(path))

    def _answer(self, path: str) -> Any:
        if path == "/version":
            return {"ApiVersion": "1.41", "Version": "20.10.24", "MinAPIVersion": "1.12"}
        if path == "/networks":
            return [NETWORK]
        if path == "/containers/json":
            return self.containers
        found = re.fullmatch(r"/containers/([0-9a-f]+)/json", path)
        known = {container["Id"]: container for container in self.containers}
        if found is None or found.group(1) not in known:
            return {"Name": "stub", "OperatingSystem": "stub"}
        listed = known[found.group(1)]
        return {
            **listed,
            "Name": listed["Names"][0],
            "Created": "2026-01-01T00:00:00Z",
            "State": {"Status": "running", "Running": True},
            "Config": {"Labels": listed["Labels"], "ExposedPorts": {"80/tcp": {}}},
        }


class Noise(threading.Thread):
    """The stub's loop, with the changes while ``on`` is set."""

    def __init__(self, daemon: Daemon, path: str, folder: pathlib.Path, api: int) -> None:
        super().__init__(daemon=True)
        self.stub, self.path, self.folder, self.api = daemon, path, folder, api
        self.on, self.ready = threading.Event(), threading.Event()
        self.done = {"labels": 0, "certificates": 0, "polls": 0}

    def run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self.stub.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, self.path).start()
        self.ready.set()
        await asyncio.gather(
            self._now_and_then("labels", CHANGES, self.stub.change),
            self._now_and_then("certificates", 1, lambda: asyncio.to_thread(certificate, self.folder)),
            self._now_and_then("polls", 10, lambda: asyncio.to_thread(self._poll)),
        )

    async def _now_and_then(self, what: str, rate: float, work: Any) -> None:
        while True:
            await asyncio.sleep(1 / rate)
            if self.on.is_set():
                await work()
                self.done[what] += 1

    def _poll(self) -> None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{self.api}/api/http/routers?per_page=100", timeout=5).read()


def certificate(folder: pathlib.Path) -> None:
    """A certificate that is new, put in place at once."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "c0.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now)
    made = made.not_valid_after(now + datetime.timedelta(days=9))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("c0.test")]), False)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for file, data in (("c.key", private), ("c.crt", pem)):
        (folder / f"{file}.new").write_bytes(data)
        os.replace(folder / f"{file}.new", folder / file)


def first_on_its_core(pid: int, rank: int = 1) -> bool:
    """Give a process real-time turns; whether that was allowed."""
    try:
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(rank))
    except PermissionError:
        print("no right to real-time turns: load and noise share core 1 as equals, as with --share", file=sys.stderr)
        return False
    return True


def main(arguments: list[str]) -> int:
    share = "--share" in arguments
    numbers = [word for word in arguments if word != "--share"]
    pairs, seconds, containers = (int(word) for word in [*numbers, *["7", "10", "200"][len(numbers) :]])
    os.sched_setaffinity(0, {1})  # the stub and all that makes noise: threads of this process
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        with running(start_upstream(folder)) as upstream:
            api = free_port()
            noise = Noise(Daemon(containers, upstream.port), f"{name}/docker.sock", folder, api)
            certificate(folder)
            noise.start()
            noise.ready.wait(10)
            with running(start(folder, upstream.port, api)) as router:
                wait_for(router.port, router.process, "c1.test", "/v0")
                first = [*upstream.pids(), *workers(router)]
                ranked = not share and all(first_on_its_core(pid) for pid in first)
                with running(witness(folder / "late", ranked)):
                    measure(router, noise, pairs, seconds, ["chrt", "--rr", "1"] if ranked else [])
    return 0


def start(folder: pathlib.Path, upstream: int, api: int) -> Peer:
    """The router: its worker on core 0, the rest on core 1."""
    servers = [{"url": f"http://127.0.0.1:{upstream}"}]
    files = {
        "http": {
            "routers": {"load": {"rule": "Host(`load.test`)", "service": "load"}},
            "services": {"load": {"loadBalancer": {"servers": servers}}},
        },
        "tls": {"certificates": [{"certFile": str(folder / "c.crt"), "keyFile": str(folder / "c.key")}]},
    }
    (folder / "load.yaml").write_text(json.dumps(files))
    port = free_port()
    flags = [f"--entrypoints.web.address=127.0.0.1:{port}", f"--entrypoints.traefik.address=127.0.0.1:{api}"]
    flags += [f"--providers.file.filename={folder / 'load.yaml'}", "--workers=1", "--api.insecure=true"]
    flags += [f"--providers.docker.endpoint=unix://{folder / 'docker.sock'}"]
    process = subprocess.Popen(["taskset", "-c", "1", sys.executable, "-m", "edgerouter", *flags], cwd=folder)
    wait_for(port, process, "load.test")
    peer = Peer("edgerouter", process, port)
    for pid in workers(peer):
        os.sched_setaffinity(pid, {0})
    return peer


def witness(path: pathlib.Path, ranked: bool) -> Peer:
    """Who tells by how much the machine was late on core 0, in a file."""
    path.write_text("0")
    process = subprocess.Popen(["taskset", "-c", "0", sys.executable, str(HERE / "_witness.py"), str(path)])
    if ranked:
        first_on_its_core(process.pid, 2)
    return Peer("witness", process, 0)


def workers(router: Peer) -> list[int]:
    """The worker's process id, alone in a list."""
    return [pid for pid in router.pids() if "edge-worker" in pathlib.Path(f"/proc/{pid}/comm").read_text()]


def measure(router: Peer, noise: Noise, pairs: int, seconds: int, before: list[str]) -> None:
    """The pairs, and what they say; ``before`` are the words that go before h2load's."""
    print(f"{'pair':>4} {'quiet p99 ms':>13} {'noisy p99 ms':>13} {'ratio':>6}   longest stall ms, and the machine's")
    load(router.port, 2, before)
    ratios = []
    for number in range(pairs):
        found = {}
        for noisy in (False, True) if number % 2 == 0 else (True, False):
            (noise.on.set if noisy else noise.on.clear)()
            time.sleep(1)
            found[noisy] = load(router.port, seconds, before)
        noise.on.clear()
        ratios.append(found[True] / found[False])
        late = float((noise.folder / "late").read_text()) * 1000
        stalls = f"{stall(noise.api):10.1f} {late:10.1f}"
        print(f"{number:4} {found[False]:13.2f} {found[True]:13.2f} {ratios[-1]:6.2f} {stalls}", flush=True)
    done = ", ".join(f"{count} {what}" for what, count in noise.done.items())
    print(f"median ratio {statistics.median(ratios):.2f} (wanted: at most 1.5); {done}")


def load(port: int, seconds: int, before: list[str]) -> float:
    """p99 in ms of an open loop; every request must succeed."""
    log = pathlib.Path(tempfile.mkstemp(suffix=".log")[1])
    count = RATE * seconds
    command = [*before, "taskset", "-c", "1", "h2load", "--h1", f"-n{count}", f"-c{CONNECTIONS}", f"--log-file={log}"]
    command += [f"--rps={RATE / CONNECTIONS}", f"--connect-to=127.0.0.1:{port}", f"http://load.test:{port}/"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in log.read_text().splitlines()]
    log.unlink()
    if f"{count} succeeded" not in out or any(row[1] != "200" for row in rows):
        raise SystemExit(out)
    return sorted(int(row[2]) for row in rows)[len(rows) * 99 // 100] / 1000


def stall(api: int) -> float:
    """The longest stall of the worker's loop since it began to serve, in ms."""
    page = urllib.request.urlopen(f"http://127.0.0.1:{api}/metrics", timeout=30).read().decode()
    return max(float(text) for text in re.findall(r"worker_loop_stall_seconds\{[^}]*\} (\S+)", page)) * 1000


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
