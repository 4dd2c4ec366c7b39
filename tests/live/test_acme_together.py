"""Routers that share a storage: one account, one order for each name, proofs by any of them, a dead leader replaced."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ask_server import AskServer
from cryptography import x509
from live.acme_rig import certified, edge, open_to, orders, routed, served
from live.toolbox import Router, fetch, until
from pebble_ca import Pebble, free_port
from storage_servers import etcd, redis

from edgerouter.certs.acme.storage import Storage
from edgerouter.certs.acme.stores.choose import open_storage

SERVERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[str]]] = {"redis": redis, "etcd": etcd}


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[Pebble]:
    folder = tmp_path / "authority"
    folder.mkdir()
    with Pebble(folder, free_port(), free_port()).running() as authority:
        yield authority


@contextlib.asynccontextmanager
async def running(
    count: int, pebble: Pebble, folder: Path, *hosts: str, dynamic: Any = None, **acme: Any
) -> AsyncIterator[list[Router]]:
    """That many routers for these hosts, or with this configuration; the authority's looks reach the first only."""
    dynamic = dynamic or routed("http://127.0.0.1:1", *hosts)
    routers = []
    for number in range(count):
        home = folder / f"router{number}"
        home.mkdir()
        ports = {} if number == 0 else {"http_port": 0, "tls_port": 0}
        routers.append(edge(home, pebble, dynamic, workers=1, **ports, **acme))
    async with contextlib.AsyncExitStack() as stack:
        for router in routers:
            await stack.enter_async_context(router)
        yield routers


def kept(storage: Storage, section: str) -> list[str]:
    return [key.rpartition("/")[2] for key in storage.keys(f"le/{section}/")]


@pytest.mark.parametrize(("server", "challenge"), [("redis", "tlsChallenge"), ("etcd", "httpChallenge")])
async def test_three_routers_place_one_order_for_each_name(
    pebble: Pebble, tmp_path: Path, server: str, challenge: str
) -> None:
    hosts = ["a.example.com", "b.example.com", "c.example.com"]
    how = {"entryPoint": "web"} if challenge == "httpChallenge" else {}
    with SERVERS[server](tmp_path) as place:
        async with running(3, pebble, tmp_path, *hosts, storage=place, **{challenge: how}) as routers:
            for router in routers:
                for host in hosts:
                    assert await certified(router, host) == {host}
            assert orders(pebble) == len(hosts)
            storage = open_storage(place)
            assert kept(storage, "certificates") == hosts
            rest = ("orders", "http", "tls", "failures")
            await until(lambda: not any(kept(storage, name) for name in rest), "nothing left behind")
            for router in routers:
                assert "PRIVATE KEY" not in router.log_text()


@pytest.mark.parametrize("server", list(SERVERS))
async def test_a_leader_that_is_killed_in_mid_order_is_replaced(pebble: Pebble, tmp_path: Path, server: str) -> None:
    """It dies while the authority waits for a proof: the next leader goes on with the same order."""
    slow = {"httpChallenge": {"entryPoint": "web", "delay": "60s"}}
    quick = {"httpChallenge": {"entryPoint": "web"}}
    (tmp_path / "leader").mkdir()
    with SERVERS[server](tmp_path) as place:
        storage = open_storage(place)
        dynamic = routed("http://127.0.0.1:1", "a.example.com")
        leader = edge(tmp_path / "leader", pebble, dynamic, 1, storage=place, http_port=0, tls_port=0, **slow)
        await asyncio.to_thread(leader.start)
        await until(lambda: kept(storage, "http"), "a proof")
        order = json.loads(storage.get("le/orders/a.example.com") or "")
        leader.kill()
        async with running(1, pebble, tmp_path, "a.example.com", storage=place, **quick) as (router,):
            assert await certified(router, "a.example.com") == {"a.example.com"}
        certificate = json.loads(storage.get("le/certificates/a.example.com") or "")
        assert order["order"] and certificate["key"] == order["key"] and orders(pebble) == 1
        assert kept(storage, "orders") == []


async def test_a_name_that_clients_ask_several_routers_for_is_one_order_and_the_budget_is_one(
    pebble: Pebble, tmp_path: Path
) -> None:
    burst, shops = 3, [f"shop{number}.shops.test" for number in range(6)]
    dynamic = open_to("http://127.0.0.1:1", "HostRegexp(`^[a-z0-9]+[.]shops[.]test$`)")

    async def ask_all(routers: list[Router], *pairs: tuple[int, str]) -> list[bool]:
        """Whether clients that come at once get the authority's certificate; each asks one router for one name."""
        looks = [asyncio.to_thread(served, routers[at].port("websecure"), host) for at, host in pairs]
        return ["Pebble" in issuer for issuer, _ in await asyncio.gather(*looks)]

    with redis(tmp_path) as place:
        async with AskServer(*shops) as ask:
            demand = {"ask": ask.url, "wait": "25s", "burst": burst, "interval": "1h"}
            acme = {"storage": place, "tlsChallenge": {}, "onDemand": demand}
            async with running(2, pebble, tmp_path, dynamic=dynamic, **acme) as routers:
                one = [(at, shops[0]) for at in range(2) for _ in range(2)]
                assert await ask_all(routers, *one) == [True] * 4, routers[1].log_text()[-2000:]
                assert orders(pebble) == 1
                assert sorted(ask.asked) == [shops[0]] * 2, "each router asks for itself, once"
                rest = await ask_all(routers, *[(at % 2, host) for at, host in enumerate(shops[1:])])
                assert rest.count(True) == burst - 1 and orders(pebble) == burst, rest
                storage = open_storage(place)
                assert len(kept(storage, "certificates")) == burst
                assert not any("PRIVATE KEY" in router.log_text() for router in routers)


async def test_every_worker_answers_for_an_open_challenge(pebble: Pebble, tmp_path: Path) -> None:
    """The authority is not told to look yet; a client comes often enough to meet both workers."""
    hosts, slow = {"page": "page.example.com", "tls": "tls.example.com"}, {"delay": "300s"}
    with redis(tmp_path) as place:
        acme = {"storage": place, "httpChallenge": {"entryPoint": "web", **slow}}
        others = {"other": {"httpChallenge": None, "tlsChallenge": slow}}
        dynamic = routed("http://127.0.0.1:1", *hosts.values(), tls="other")
        async with edge(tmp_path, pebble, dynamic, 2, others=others, **acme) as router:
            storage = open_storage(place)
            (name,) = await until(lambda: kept(storage, "http"), "a page")
            await until(lambda: storage.keys("other/tls/"), "a certificate")
            token, port = name.rpartition(":")[2], router.port("websecure")
            await until(lambda: shows_proof(port, hosts["tls"]), "the certificate in a worker")
            assert len(router.worker_pids()) == 2
            for _ in range(20):
                page = await fetch(router.port(), f"/.well-known/acme-challenge/{token}", host=hosts["page"])
                assert page.status == 200 and page.text.startswith(f"{token}."), page
                assert await asyncio.to_thread(shows_proof, port, hosts["tls"])


def shows_proof(port: int, host: str) -> bool:
    """Whether a client that asks for TLS-ALPN-01 gets its certificate (RFC 8737)."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["acme-tls/1"])
    with (
        contextlib.suppress(ssl.SSLError, ConnectionError),
        socket.create_connection(("127.0.0.1", port), 30) as raw,
        context.wrap_socket(raw, server_hostname=host) as tls,
    ):
        found = x509.load_der_x509_certificate(tls.getpeercert(True) or b"")
        return any(one.oid.dotted_string == "1.3.6.1.5.5.7.1.31" for one in found.extensions)
    return False
