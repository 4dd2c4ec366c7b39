"""Real servers of Redis and etcd, for as long as a test runs; what is yielded is a resolver's ``storage``."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pebble_ca import free_port


@contextlib.contextmanager
def redis(folder: Path, password: str = "") -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with _running([*command, *(["--requirepass", password] if password else [])], port, folder / "redis.log"):
        yield f"redis://{':' + password + '@' if password else ''}127.0.0.1:{port}"


@contextlib.contextmanager
def etcd(folder: Path) -> Iterator[str]:
    port, peers = free_port(), free_port()
    clients = f"http://127.0.0.1:{port}"
    command = ["etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", clients]
    command += ["--advertise-client-urls", clients, "--listen-peer-urls", f"http://127.0.0.1:{peers}"]
    command += ["--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}"]
    command += ["--initial-cluster", f"default=http://127.0.0.1:{peers}"]
    with _running(command, port, folder / "etcd.log"):
        yield f"etcd://127.0.0.1:{port}"


@contextlib.contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[None]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]}: apt-get install redis-server etcd-server")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        end = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-1000:]
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)
