"""Certificates on demand from a real authority: who gets one with the first connection, who does not, and why; and what
a flood of names that nobody knows costs."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from ask_server import AskServer
from live.acme_rig import command, edge, names, open_to, orders, served
from live.toolbox import EchoServer, Router, fetch
from pebble_ca import Pebble, free_port

FLOOD, AT_ONCE = 400, 40


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[Pebble]:
    folder = tmp_path / "authority"
    folder.mkdir()
    with Pebble(folder, free_port(), free_port()).running() as authority:
        yield authority


async def issuer(router: Router, host: str) -> str:
    return (await asyncio.to_thread(served, router.port("websecure"), host))[0]


async def counted(router: Router) -> dict[str, int]:
    metrics = (await fetch(router.port("traefik"), "/metrics")).body.decode().splitlines()
    found = [line for line in metrics if line.startswith("edgerouter_acme_on_demand_total{")]
    return {line.partition('outcome="')[2].partition('"')[0]: int(line.rpartition(" ")[2]) for line in found}


async def test_a_name_gets_its_certificate_with_the_first_connection_if_the_ask_url_says_yes(
    pebble: Pebble, tmp_path: Path
) -> None:
    yes, late, no = "yes.shops.test", "late.shops.test", "no.shops.test"
    async with EchoServer() as echo, AskServer(yes, late) as ask:
        dynamic = open_to(echo.url, "HostRegexp(`^[a-z0-9]+[.]shops[.]test$`)")
        acme = {
            "tlsChallenge": {},
            "onDemand": {"ask": ask.url, "wait": "60s", "burst": 1, "interval": "1h"},
        }
        async with edge(tmp_path, pebble, dynamic, **acme) as router:
            assert "Pebble" in await issuer(router, yes), f"not with the first connection: {router.log_text()[-2000:]}"
            for _ in range(3):
                assert "Pebble" not in await issuer(router, no)
            assert "Pebble" not in await issuer(router, late), "the budget is spent"
            assert "Pebble" not in await issuer(router, "x.elsewhere.test")
            assert ask.asked == [yes, no, late] and orders(pebble) == 1
            found = await names(router, {yes: "ISSUED", no: "REFUSED", late: "FAILED"})
            assert found[no]["code"] == "ASK_DENIED" and "answered 403" in found[no]["error"], found[no]
            assert found[late]["code"] == "ON_DEMAND_BUDGET", found[late]
            assert found[late]["nextAttempt"] and "onDemand.burst" in found[late]["fix"]
            problems = (await fetch(router.port("traefik"), "/api/problems")).body.decode()
            assert "ON_DEMAND_BUDGET" in problems
            shown = problems + json.dumps(found) + router.log_text()
            assert "s3cret" not in shown and "PRIVATE KEY" not in shown
            code, text = await command(router, "certificates")
            assert code == 1 and "REFUSED" in text and f"ASK_DENIED: {found[no]['error']}" in text, text
            assert (await counted(router)) == {"ALLOWED": 2, "ASK_DENIED": 1, "NO_ROUTER": 1}


async def test_a_flood_of_unknown_names_costs_few_questions_and_keeps_nobody_from_a_certificate(
    pebble: Pebble, tmp_path: Path
) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    good, later = "good.shops.test", "later.shops.test"
    unknown = iter([f"n{number}.shops.test" for number in range(FLOOD)])

    async def flood(port: int) -> None:
        for name in unknown:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=name, local_addr=("127.0.0.2", 0)
            )
            writer.transport.abort()

    async with EchoServer() as echo, AskServer(good, later) as ask:
        dynamic = open_to(echo.url, "PathPrefix(`/`)")
        acme = {"httpChallenge": {"entryPoint": "web"}, "onDemand": {"ask": ask.url, "wait": "30s"}}
        async with edge(tmp_path, pebble, dynamic, **acme) as router:
            port = router.port("websecure")
            assert "Pebble" in await issuer(router, good)
            began = asyncio.get_running_loop().time()
            clients = [asyncio.ensure_future(flood(port)) for _ in range(AT_ONCE)]
            assert "Pebble" in await issuer(router, good)
            assert "Pebble" in await issuer(router, later), f"not while it went on: {router.log_text()[-2000:]}"
            await asyncio.gather(*clients)
            seconds = asyncio.get_running_loop().time() - began
            asked, bound = len(ask.asked), 2 + 2 * 4 * (seconds + 2)  # of two workers, four names a second and address
            assert asked <= bound and len(set(ask.asked)) == asked, f"{asked} questions in {seconds:.1f} s"
            found = await names(router, {good: "ISSUED", later: "ISSUED"})
            refused = [line for line in found.values() if line["state"] == "REFUSED"]
            assert len(refused) <= 20 and len(found) <= 22, list(found)
            assert orders(pebble) == 2
            assert not router.find_log("n1.shops.test"), "a name that anybody may send fills the log"
