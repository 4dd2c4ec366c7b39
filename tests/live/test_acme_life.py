"""What people count on: a label becomes HTTPS in a breath, a renewal is not felt, a full disk costs nothing."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live.acme_rig import certificate_of, certified, edge, orders, routed, served
from live.docker_daemon import Boxes, boxes, docker  # noqa: F401 - a fixture
from live.toolbox import EchoServer, exchange, until
from pebble_ca import Pebble, free_port, with_renewal_information

from edgerouter.certs.acme.account import Account
from edgerouter.certs.acme.stores.file import FileStorage
from edgerouter.certs.local.ca import open_authority
from edgerouter.config.resolvers import Acme

CLIENTS, PAUSE = 20, 0.04  # 500 requests a second


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[Pebble]:
    folder = tmp_path / "authority"
    folder.mkdir()
    with Pebble(folder, free_port(), free_port()).running() as authority:
        yield authority


async def test_a_label_becomes_a_certificate_within_three_seconds(
    pebble: Pebble,
    tmp_path: Path,
    boxes: Boxes,  # noqa: F811
) -> None:
    """The best of six containers: others may need the machine at the same time."""
    router = edge(tmp_path, pebble, {}, tlsChallenge={})
    flags = ("--providers.docker", f"--providers.docker.constraints={boxes.constraint}")
    router.command += [*flags, "--providers.docker.exposedByDefault=false"]
    took = []
    async with router:
        for number in range(6):
            host = f"shop{number}.example.com"
            labels = {
                "edgerouter.enable": "true",
                f"edgerouter.http.routers.shop{number}.rule": f"Host(`{host}`)",
                f"edgerouter.http.routers.shop{number}.entrypoints": "websecure",
                f"edgerouter.http.routers.shop{number}.tls.certresolver": "le",
            }
            name = await asyncio.to_thread(boxes.start, f"shop{number}", labels)
            began = time.time()
            assert await certified(router, host) == {host}
            took.append(time.time() - began)
            assert name
            if took[-1] < 3:
                break
    assert min(took) < 3, took


async def test_a_renewal_under_load_loses_no_request(pebble: Pebble, tmp_path: Path) -> None:
    """The certificate of before ends soon, so it is to be renewed at once; whoever has its lock holds that up until the
    load is there."""
    path, host = tmp_path / "acme.json", "a.example.com"
    old = open_authority(FileStorage(str(tmp_path / "old.json")), "old")
    before = old.issue((host,), datetime.timedelta(minutes=10), datetime.datetime.now(datetime.UTC))
    body = {"names": [host], "certificate": before.certificate, "key": before.key}
    storage = FileStorage(str(path))
    storage.put(f"le/certificates/{host}", json.dumps(body))
    assert storage.lock(f"le/{host}", "the test", 600)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    statuses: list[int] = []
    enough = asyncio.Event()

    async def send(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
        for number in range(1_000_000):
            if enough.is_set():
                break
            if number % 50 == 49:  # now and then a new connection, with a new handshake
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
            statuses.append((await exchange(reader, writer, f"/{number}", host)).status)
            await asyncio.sleep(PAUSE)
        writer.close()

    async with EchoServer() as echo:
        acme = {"httpChallenge": {"entryPoint": "web"}, "storage": str(path)}
        async with edge(tmp_path, pebble, routed(echo.url, host), **acme) as router:
            port = router.port("websecure")
            clients = [asyncio.ensure_future(send(port)) for _ in range(CLIENTS)]
            await until(lambda: len(statuses) > 500, "requests before the renewal")
            issuer, _ = await asyncio.to_thread(served, port, host)
            assert "Pebble" not in issuer
            storage.unlock(f"le/{host}", "the test")
            await certified(router, host)
            count = len(statuses)
            await until(lambda: len(statuses) > count + 500, "requests after the renewal")
            enough.set()
            await asyncio.gather(*clients)
            assert set(statuses) == {200}
    assert orders(pebble) == 1


async def test_a_certificate_that_the_authority_revoked_is_replaced(tmp_path: Path) -> None:
    """It says so by renewal information (RFC 9773), which is asked for every six hours, and at once after SIGHUP."""
    host, folder, path = "a.example.com", tmp_path / "authority", tmp_path / "acme.json"
    folder.mkdir()
    with Pebble(folder, free_port(), free_port(), with_renewal_information()).running() as pebble:
        async with edge(tmp_path, pebble, routed("http://127.0.0.1:1", host), tlsChallenge={}) as router:
            await certified(router, host)
            old = await asyncio.to_thread(certificate_of, router.port("websecure"), host)
            await until(lambda: "renewalInfo/" in (folder / "pebble.log").read_text(), "a first question", 60)
            acme = Acme(ca_server=pebble.directory, ca_certificates=(str(pebble.ca),))
            account = Account(acme, FileStorage(str(path)), "le")
            await asyncio.to_thread(lambda: account.connected().revoke(old, 0))
            router.process.send_signal(signal.SIGHUP)
            line = await until(lambda: router.find_log("wants a.example.com renewed at once"), "the reason", 60)
            assert line["level"] == "warn"
            new = old
            end = time.monotonic() + 60
            while new.serial_number == old.serial_number:
                assert time.monotonic() < end, f"{old.serial_number:x} is still served: {router.log_text()[-2000:]}"
                new = await asyncio.to_thread(certificate_of, router.port("websecure"), host)
            assert "Pebble" in new.issuer.rfc4514_string() and orders(pebble) == 2


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k,mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_costs_no_order_and_no_certificate(pebble: Pebble, tmp_path: Path) -> None:
    dynamic = routed("http://127.0.0.1:1", "a.example.com")
    with small_disk(tmp_path / "disk") as disk:
        async with edge(tmp_path, pebble, dynamic, 1, tlsChallenge={}, storage=str(disk / "acme.json")) as router:
            await certified(router, "a.example.com")
            await until(lambda: "orders/" not in (disk / "acme.json").read_text(), "the end of the order")
            kept = (disk / "acme.json").read_bytes()
            with contextlib.suppress(OSError), (disk / "rest").open("wb") as rest:
                while True:
                    rest.write(bytes(1024))
                    rest.flush()
            router.write_dynamic(routed("http://127.0.0.1:1", "a.example.com", "b.example.com"))
            line = await until(lambda: router.find_log("b.example.com: STORAGE"), "the reason")
            assert "No space left on device" in line["message"] and "next attempt" in line["message"]
            assert orders(pebble) == 1 and (disk / "acme.json").read_bytes() == kept
            issuer, _ = await asyncio.to_thread(served, router.port("websecure"), "a.example.com")
            assert "Pebble" in issuer and "PRIVATE KEY" not in router.log_text()
            assert sorted(file.name for file in disk.iterdir()) == ["acme.json", "acme.json.lock", "rest"]
