"""What do TLS 1.3 handshakes, resumed ones, and keep-alive requests over TLS cost, beside nginx in the same run?

One certificate with a P-256 key, one core for the proxy (control process included), the other for load and upstream.
A handshake is a connection with one request, so that both sides have said all that they have to say. CPU microseconds
from /proc; the ratios are medians of rounds in which the peers alternate, so the machine's noise hits both alike.
``python benchmarks/tls.py [--json FILE] [rounds] [handshakes] [seconds]``.
"""

from __future__ import annotations

import json
import pathlib
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress

import _load
from _peers import HERE, Peer, free_port, launch, render, running, start_upstream
from _routes import edgerouter, nginx

SEED, ROUTES = 20261121, 100
MOST = {"full": 1.40, "resumed": 1.40, "keep-alive": 1.15}  # times nginx
WHAT = {"full": "a full handshake", "resumed": "a resumed handshake", "keep-alive": "a keep-alive request"}


def certify(folder: pathlib.Path) -> None:
    """One authority-less certificate for all hosts, by the openssl program."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=bench", "-addext", "subjectAltName=DNS:*.bench.test"]
    files = ["-keyout", str(folder / "bench.key"), "-out", str(folder / "bench.crt")]
    subprocess.run([*command, *files], check=True, capture_output=True)
    folder.chmod(0o755)
    (folder / "bench.key").chmod(0o644)  # for a router that drops its rights


def start_nginx(folder: pathlib.Path, upstream: int) -> Peer:
    """As beside plain HTTP, with the certificate and TLS 1.3 (not yet a default in 1.22); ciphers and tickets are
    its defaults."""
    port = free_port()
    routes = nginx("hosts", ROUTES, port).replace(f"127.0.0.1:{port};", f"127.0.0.1:{port} ssl;")
    secure = f"ssl_certificate {folder}/bench.crt;\nssl_certificate_key {folder}/bench.key;\n"
    secure += "ssl_protocols TLSv1.2 TLSv1.3;\n"
    conf = render("nginx.conf", folder, upstream=upstream, routes=secure + routes)
    return Peer("nginx", launch(["nginx", "-c", str(conf), "-p", str(folder)], 0), port)


def start_edgerouter(folder: pathlib.Path, upstream: int) -> Peer:
    """The same, by a file provider."""
    port = free_port()
    pair = {"certFile": str(folder / "bench.crt"), "keyFile": str(folder / "bench.key")}
    conf = folder / "edgerouter-tls.yaml"
    conf.write_text(json.dumps({**edgerouter("hosts", ROUTES, upstream), "tls": {"certificates": [pair]}}))
    flags = [f"--entrypoints.web.address=127.0.0.1:{port}", "--entrypoints.web.http.tls=true"]
    flags += ["--entrypoints.traefik.address=127.0.0.1:0", f"--providers.file.filename={conf}", "--workers=1"]
    return Peer("edgerouter", launch([sys.executable, "-m", "edgerouter", *flags], 0), port)


def wait_for(peer: Peer, folder: pathlib.Path, seconds: float = 60.0) -> None:
    """Until it answers over TLS with 200."""
    context = ssl.create_default_context(cafile=str(folder / "bench.crt"))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError):
            raw = socket.create_connection(("127.0.0.1", peer.port), 2)
            with raw, context.wrap_socket(raw, server_hostname="host-0.bench.test") as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: host-0.bench.test\r\nConnection: close\r\n\r\n")
                if connection.recv(64).startswith(b"HTTP/1.1 200"):
                    return
        time.sleep(0.05)
    raise SystemExit(f"no answer over TLS from {peer.name}")


def handshakes(peer: Peer, kind: str, count: int, folder: pathlib.Path) -> float:
    """CPU microseconds of one; raises SystemExit where one failed or was not of this kind."""
    before = peer.cpu_seconds()
    command = ["taskset", "-c", "1", sys.executable, str(HERE / "_handshakes.py"), str(peer.port), kind, str(count)]
    run = subprocess.run([*command, str(folder / "bench.crt")], capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{peer.name}: {run.stderr}")
    done, resumed = (int(word) for word in run.stdout.split())
    if resumed != (done if kind == "resumed" else 0):
        raise SystemExit(f"{peer.name}: {resumed} of {done} handshakes were resumed, asked for {kind} ones")
    return (peer.cpu_seconds() - before) * 1e6 / done


def measure(
    peers: list[Peer], folder: pathlib.Path, rounds: int, count: int, seconds: int
) -> dict[str, list[list[float]]]:
    """CPU microseconds by kind, a row a round, in the order of the peers; the first round warms up."""
    found: dict[str, list[list[float]]] = {kind: [] for kind in MOST}
    for number in range(rounds + 1):
        for kind, rows in found.items():
            if kind == "keep-alive":
                runs = [_load.run(p, seconds, SEED + number, "hosts", ROUTES, scheme="https") for p in peers]
                row = [one.cpu_us for one in runs]
            else:
                row = [handshakes(p, kind, count if number else 80, folder) for p in peers]
            if number:
                rows.append(row)
    return found


def main(arguments: list[str]) -> int:
    out = ""
    if arguments[:1] == ["--json"]:
        out, arguments = arguments[1], arguments[2:]
    rounds, count, seconds = [*(int(word) for word in arguments), *(5, 2000, 4)[len(arguments) :]]
    print(f"{rounds} rounds of 2 x {count} handshakes and {seconds} s of requests, P-256, {ssl.OPENSSL_VERSION}")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = pathlib.Path(name)
        certify(folder)
        upstream = stack.enter_context(running(start_upstream(folder)))
        peers = [
            stack.enter_context(running(begin(folder, upstream.port))) for begin in (start_nginx, start_edgerouter)
        ]
        for peer in peers:
            wait_for(peer, folder)
        found = measure(peers, folder, rounds, count, seconds)
    print(f"{'CPU us':22}{'nginx':>9}{'edgerouter':>12}{'ratio':>8}{'at most':>9}")
    ratios = {}
    for kind, rows in found.items():
        one, two = (statistics.median(row[i] for row in rows) for i in (0, 1))
        ratios[kind] = statistics.median(row[1] / row[0] for row in rows)
        print(f"{WHAT[kind]:22}{one:9.1f}{two:12.1f}{ratios[kind]:8.2f}{MOST[kind]:9.2f}")
    if out:
        pathlib.Path(out).write_text(json.dumps(ratios))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
