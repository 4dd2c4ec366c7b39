"""A real ACME authority (Pebble) and a DNS server of its own (pebble-challtestsrv), for as long as a test runs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

BUILD_SECONDS = 600.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def with_renewal_information() -> str:
    """A Pebble that has it, and profiles (Debian's has neither), built on first use."""
    script = Path(__file__).parents[1] / ".ci/pebble.sh"
    built = subprocess.run(["bash", str(script)], capture_output=True, text=True, timeout=BUILD_SECONDS)
    if built.returncode:
        pytest.skip(f"no pebble of its Go module: {built.stderr.strip().splitlines()[-1:]}")
    return built.stdout.strip()


class Pebble:
    """``directory`` is its URL, ``ca`` the file to check it with, ``dns`` its DNS server as host:port. ``program``: see
    ``with_renewal_information``; ``more``: options of its configuration file."""

    def __init__(self, folder: Path, http_port: int, tls_port: int, program: str = "pebble", **more: Any) -> None:
        for needed in ("pebble", "pebble-challtestsrv"):
            if shutil.which(needed) is None:
                pytest.skip(f"no {needed}: apt-get install pebble")
        self._program = program
        self._more = more
        self.folder = folder
        self.http_port, self.tls_port = http_port, tls_port
        self.ca = folder / "ca.pem"
        self._choose()
        self._processes: list[subprocess.Popen[bytes]] = []

    def _choose(self) -> None:
        self.port, self.dns_port, self.manage_port = free_port(), free_port(), free_port()
        self.roots_port = free_port()
        self.directory = f"https://127.0.0.1:{self.port}/dir"
        self.dns = f"127.0.0.1:{self.dns_port}"

    def start(self, **environment: str) -> None:
        """``environment``: Pebble's own switches, as ``PEBBLE_WFE_NONCEREJECT``."""
        for _ in range(5):  # somebody may take a port between its choice and its use
            self._begin(environment)
            if self._listens(self.port) and self._listens(self.manage_port):
                return
            self.stop()
            self._choose()
        raise AssertionError(f"pebble did not start: {(self.folder / 'pebble.log').read_text()[-500:]}")

    def _begin(self, environment: dict[str, str]) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca))
        own = authority.issue_cert("127.0.0.1")
        own.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        own.cert_chain_pems[0].write_to_path(str(self.folder / "cert.pem"))
        options = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.roots_port}",
            "certificate": str(self.folder / "cert.pem"),
            "privateKey": str(self.folder / "key.pem"),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            **self._more,
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": options}))
        self._run(
            [
                *("pebble-challtestsrv", "-dns01", self.dns, "-http01", "", "-https01", "", "-tlsalpn01", ""),
                *("-management", f"127.0.0.1:{self.manage_port}", "-defaultIPv6", ""),
            ]
        )
        quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", **environment}
        self._run([self._program, "-config", str(self.folder / "pebble.json"), "-dnsserver", self.dns], quick)

    def _run(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        with (self.folder / "pebble.log").open("ab") as log:
            env = {**os.environ, **(environment or {})}
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=env))

    def _listens(self, port: int) -> bool:
        """Wait for a port; False when a process ended instead."""
        end = time.monotonic() + 60
        while time.monotonic() < end and all(process.poll() is None for process in self._processes):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            time.sleep(0.05)
        return False

    def root(self, number: int) -> x509.Certificate:
        """The root of its chain of that number; there are several with ``PEBBLE_ALTERNATE_ROOTS``."""
        url = f"https://127.0.0.1:{self.roots_port}/roots/{number}"
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            return x509.load_pem_x509_certificate(answer.read())

    def tell(self, what: str, **body: Any) -> None:
        """Change the DNS: ``add-a``, ``add-caa``, ``set-servfail``, ``set-txt`` ... (challtestsrv's management)."""
        url = f"http://127.0.0.1:{self.manage_port}/{what}"
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=10).close()

    def record_writer(self) -> Path:
        """A program that writes TXT records, as DNS provider ``exec`` calls it."""
        script = self.folder / "write"
        script.write_text(
            "#!/bin/sh\n"
            "[ $1 = present ] && what=set-txt || what=clear-txt\n"
            f'curl -sf -d "{{\\"host\\": \\"$2\\", \\"value\\": \\"$3\\"}}" http://127.0.0.1:{self.manage_port}/$what\n'
        )
        script.chmod(0o700)
        return script

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(20)
        self._processes.clear()

    @contextlib.contextmanager
    def running(self, **environment: str) -> Iterator[Pebble]:
        try:
            self.start(**environment)
            yield self
        finally:
            self.stop()
