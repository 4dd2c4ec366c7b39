"""A router whose certificates come from a real authority, and what is seen of them from outside."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from live.toolbox import CHECKOUT, Router, fetch
from pebble_ca import Pebble


def edge(
    folder: Path,
    pebble: Pebble,
    dynamic: dict[str, Any],
    workers: int = 2,
    http_port: int | None = None,
    tls_port: int | None = None,
    others: dict[str, dict[str, Any]] | None = None,
    **acme: Any,
) -> Router:
    """A router whose ports are those on which the authority looks, unless others are given. ``others``: resolvers
    beside ``le``, with what they have differently; None is what they have not."""
    options: dict[str, Any] = {
        "caServer": pebble.directory,
        "caCertificates": [str(pebble.ca)],
        "email": "a@example.com",
        "storage": str(folder / "acme.json"),
        "preflight": {"enabled": False},
        **acme,
    }
    points = {
        "web": {"address": f"127.0.0.1:{pebble.http_port if http_port is None else http_port}"},
        "websecure": {"address": f"127.0.0.1:{pebble.tls_port if tls_port is None else tls_port}"},
    }
    resolvers = {
        name: {"acme": {key: value for key, value in (options | different).items() if value is not None}}
        for name, different in {"le": {}, **(others or {})}.items()
    }
    static = {"certificatesResolvers": resolvers, "entryPoints": points, "api": {"insecure": True}}
    return Router(folder, dynamic, static, workers=workers, env={"RUNTIME_DIRECTORY": runtime_of(folder)})


def runtime_of(folder: Path) -> str:
    """A folder of the router's own for its sockets, whose names must be short."""
    place = Path(tempfile.gettempdir()) / f"er-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if not place.exists():
        place.mkdir()
        atexit.register(shutil.rmtree, place, ignore_errors=True)
    return str(place)


async def command(router: Router, *words: str) -> tuple[int, str]:
    """Exit code and output of ``edgerouter`` beside that router."""
    line = [sys.executable, "-m", "edgerouter", *words]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "RUNTIME_DIRECTORY": runtime_of(router.folder)}
    done = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, env=env, cwd=router.folder)
    return done.returncode, done.stdout + done.stderr


def routed(url: str, *hosts: str, **elsewhere: str) -> dict[str, Any]:
    """A router with TLS for each host. ``elsewhere``: resolvers of routers that have another than ``le``."""
    routers = {
        (name := host.split(".")[0]): {
            "rule": f"Host(`{host}`)",
            "service": "s",
            "entryPoints": ["websecure"],
            "tls": {"certResolver": elsewhere.get(name, "le")},
        }
        for host in hosts
    }
    return {"http": {"routers": routers, "services": {"s": {"loadBalancer": {"servers": [{"url": url}]}}}}}


def open_to(url: str, rule: str) -> dict[str, Any]:
    """A router whose rule spells no name out."""
    router = {"rule": rule, "service": "s", "entryPoints": ["websecure"], "tls": {"certResolver": "le"}}
    return {"http": {"routers": {"any": router}, "services": {"s": {"loadBalancer": {"servers": [{"url": url}]}}}}}


def certificate_of(port: int, host: str) -> x509.Certificate:
    """The one that a client gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 60) as raw,
        context.wrap_socket(raw, server_hostname=host) as tls,
    ):
        return x509.load_der_x509_certificate(tls.getpeercert(True) or b"")


def served(port: int, host: str) -> tuple[str, set[str]]:
    """Issuer and names of the certificate that a client gets."""
    found = certificate_of(port, host)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found.issuer.rfc4514_string(), set(names.get_values_for_type(x509.DNSName))


async def certified(router: Router, host: str, patience: float = 90) -> set[str]:
    """Wait until the authority's certificate is served for a host."""
    found: list[tuple[str, set[str]]] = []

    def done() -> bool:
        found.append(served(router.port("websecure"), host))
        return "Pebble" in found[-1][0]

    end = asyncio.get_running_loop().time() + patience
    while not await asyncio.to_thread(done):
        assert asyncio.get_running_loop().time() < end, f"{found[-1]} is served: {router.log_text()[-2000:]}"
        await asyncio.sleep(0.05)
    return found[-1][1]


async def names(router: Router, states: dict[str, str], patience: float = 60) -> dict[str, dict[str, Any]]:
    """What the API says of all names, by the first of each, once these have their states."""
    end = asyncio.get_running_loop().time() + patience
    while True:
        answer = (await fetch(router.port("traefik"), "/api/names")).body
        found = {line["names"][0]: line for line in json.loads(answer)}
        if states == {name: line["state"] for name, line in found.items() if name in states}:
            return found
        assert asyncio.get_running_loop().time() < end, f"not {states}: {found}: {router.log_text()[-2000:]}"
        await asyncio.sleep(0.1)


def orders(pebble: Pebble) -> int:
    """How many the authority has taken, by its own log."""
    return (pebble.folder / "pebble.log").read_text().count("Added order ")
