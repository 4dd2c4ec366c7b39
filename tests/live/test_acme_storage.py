"""Storages with a fault, at a whole router: no key is lost, and what is wrong is said."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from live.acme_rig import certified, edge, names, orders, routed, served
from live.toolbox import EchoServer, fetch, until
from pebble_ca import Pebble, free_port

from edgerouter.certs.acme.stores.file import FileStorage
from edgerouter.certs.local.ca import open_authority

HOST = "a.example.com"


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[Pebble]:
    folder = tmp_path / "authority"
    folder.mkdir()
    with Pebble(folder, free_port(), free_port()).running() as authority:
        yield authority


def kept_before(path: Path) -> str:
    """A storage with a certificate of another authority that is good for long; its text."""
    old = open_authority(FileStorage(str(path.with_name("old.json"))), "old")
    one = old.issue((HOST,), datetime.timedelta(days=90), datetime.datetime.now(datetime.UTC))
    body = {"names": [HOST], "certificate": one.certificate, "key": one.key}
    FileStorage(str(path)).put(f"le/certificates/{HOST}", json.dumps(body))
    return path.read_text()


async def test_a_half_written_file_is_never_written_over_and_the_rest_is_served(pebble: Pebble, tmp_path: Path) -> None:
    """At the start, until somebody puts the copy back; and again under a router that runs."""
    path = tmp_path / "acme.json"
    whole = kept_before(path)
    half = whole[: len(whole) // 2]
    path.write_text(half)
    async with EchoServer() as echo:
        dynamic = routed(echo.url, HOST)
        dynamic["http"]["routers"]["plain"] = {"rule": "Host(`plain.test`)", "service": "s", "entryPoints": ["web"]}
        # Nothing is asked of the authority but what this test wants, so that only the test writes the file meanwhile.
        async with edge(tmp_path, pebble, dynamic, 1, tlsChallenge={}, renewalInfo=False) as router:
            assert (await fetch(router.port(), "/", host="plain.test")).status == 200
            line = await until(lambda: router.find_log("is not whole JSON"), "the reason")
            for words in (str(path), "put a copy back, or move it away", "is left as it is"):
                assert words in line["message"], line
            problems = (await fetch(router.port("traefik"), "/api/problems")).body.decode()
            assert "is not whole JSON" in problems and str(path) in problems
            assert path.read_text() == half and orders(pebble) == 0
            path.write_text(whole)
            await until(lambda: router.find_log("back again"), "the resolver", 60)
            assert (await names(router, {HOST: "ISSUED"}))[HOST]["state"] == "ISSUED"
            path.write_text(half)
            router.write_dynamic(routed(echo.url, HOST, "b.example.com"))
            found = (await names(router, {"b.example.com": "FAILED"}))["b.example.com"]
            assert found["code"] == "STORAGE" and "is not whole JSON" in found["error"], found
            issuer, _ = await asyncio.to_thread(served, router.port("websecure"), HOST)
            assert "edgerouter" in issuer.lower(), "what was there goes on being served"
            assert path.read_text() == half and orders(pebble) == 0
            shown = router.log_text() + problems + json.dumps(found)
            assert "PRIVATE KEY" not in shown and whole[len(half) - 40 : len(half)] not in shown


async def test_a_file_that_others_may_read_is_closed_to_them_and_used(pebble: Pebble, tmp_path: Path) -> None:
    path = tmp_path / "acme.json"
    kept_before(path)
    path.chmod(0o644)
    async with edge(tmp_path, pebble, routed("http://127.0.0.1:1", HOST), 1, tlsChallenge={}) as router:
        line = await until(lambda: router.find_log("its mode was 644"), "the warning")
        assert line["level"] == "warn" and str(path) in line["message"] and "it is 600 now" in line["message"]
        await names(router, {HOST: "ISSUED"})
        assert path.stat().st_mode & 0o777 == 0o600 and orders(pebble) == 0
        (key,) = json.loads(path.read_text())[f"le/certificates/{HOST}"]["key"].splitlines()[1:2]
        shown = router.log_text()
        for what in ("overview", "rawdata", "names", "problems", "workloads", "providers"):
            answer = await fetch(router.port("traefik"), f"/api/{what}")
            assert answer.status == 200, what
            shown += answer.body.decode()
        assert "PRIVATE KEY" not in shown and key not in shown


async def test_two_routers_write_one_file_and_no_key_is_lost(
    pebble: Pebble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three names of each at once, and two that both want: one account, one order a name."""
    monkeypatch.setenv("EXEC_PATH", str(pebble.record_writer()))
    both = ["both0.example.com", "both1.example.com"]
    own = [[f"n{number}.{at}.example.com" for number in range(3)] for at in ("one", "two")]
    path = tmp_path / "acme.json"
    acme = {"dnsChallenge": {"provider": "exec", "resolvers": [pebble.dns]}, "storage": str(path)}
    async with contextlib.AsyncExitStack() as stack:
        routers = []
        for number in range(2):
            home = tmp_path / f"router{number}"
            home.mkdir()
            routers.append(await stack.enter_async_context(edge(home, pebble, {}, 1, 0, 0, **acme)))
        for router, hosts in zip(routers, own, strict=True):
            router.write_dynamic(routed("http://127.0.0.1:1", *hosts, *both))
        for router, hosts in zip(routers, own, strict=True):
            for host in (*hosts, *both):
                assert await certified(router, host) == {host}
        everything = sorted([*both, *own[0], *own[1]])
        await until(lambda: not FileStorage(str(path)).keys("le/orders/"), "the end of the orders")
        storage = FileStorage(str(path))
        assert [key.rpartition("/")[2] for key in storage.keys("le/certificates/")] == everything
        for key in storage.keys("le/certificates/"):
            assert "BEGIN PRIVATE KEY" in json.loads(storage.get(key) or "")["key"]
        assert orders(pebble) == len(everything)
        assert (pebble.folder / "pebble.log").read_text().count(" accounts in memory") == 1, (
            "there are several accounts"
        )
        assert not any("PRIVATE KEY" in router.log_text() for router in routers)
    left = [file.name for file in tmp_path.iterdir() if "acme.json" in file.name]
    assert sorted(left) == ["acme.json", "acme.json.lock"]
