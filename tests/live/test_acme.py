"""Certificates from a real authority (Pebble): from a router's rule to a served certificate, by every kind of proof."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from live.acme_rig import certified, command, edge, orders, routed, served
from live.toolbox import EchoServer, Router, fetch, until
from pebble_ca import Pebble, free_port
from small_servers import dns_server, without


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[Pebble]:
    folder = tmp_path / "authority"
    folder.mkdir()
    with Pebble(folder, free_port(), free_port()).running() as authority:
        yield authority


async def test_a_wildcard_is_proved_by_the_dns_and_served(
    pebble: Pebble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEC_PATH", str(pebble.record_writer()))
    challenge = {"provider": "exec", "resolvers": [pebble.dns]}
    async with EchoServer() as echo:
        dynamic = routed(echo.url, "*.example.com")
        async with edge(tmp_path, pebble, dynamic, dnsChallenge=challenge) as router:
            assert await certified(router, "any.example.com") == {"*.example.com"}


@pytest.mark.parametrize("challenge", ["tlsChallenge", "httpChallenge"])
async def test_a_rule_becomes_a_served_certificate(pebble: Pebble, tmp_path: Path, challenge: str) -> None:
    how = {"entryPoint": "web"} if challenge == "httpChallenge" else {}
    async with EchoServer() as echo:
        dynamic = routed(echo.url, "a.example.com")
        async with edge(tmp_path, pebble, dynamic, **{challenge: how}) as router:
            assert await certified(router, "a.example.com") == {"a.example.com"}
            assert stat.S_IMODE((tmp_path / "acme.json").stat().st_mode) == 0o600
            ledger = (await fetch(router.port("traefik"), "/api/workloads")).body.decode()
            assert "PRIVATE KEY" not in ledger + router.log_text() and "ISSUED" in ledger
        kept = json.loads((tmp_path / "acme.json").read_text())
        async with edge(tmp_path, pebble, dynamic, **{challenge: how}) as again:
            await certified(again, "a.example.com")
            assert json.loads((tmp_path / "acme.json").read_text()) == kept, "it was ordered again"


async def test_http_proofs_go_before_a_redirection_to_https(pebble: Pebble, tmp_path: Path) -> None:
    async with EchoServer() as echo:
        dynamic = routed(echo.url, "a.example.com")
        router = edge(tmp_path, pebble, dynamic, httpChallenge={"entryPoint": "web"})
        static = router.static_file.read_text().replace(
            f"address: 127.0.0.1:{pebble.http_port}",
            f"address: 127.0.0.1:{pebble.http_port}\n    http: {{redirections: {{entryPoint: {{to: websecure}}}}}}",
        )
        router.static_file.write_text(static)
        async with router:
            await certified(router, "a.example.com")
            assert (await fetch(router.port(), "/x", host="a.example.com")).status in (301, 308)
            path = "/.well-known/acme-challenge/nothing"
            assert (await fetch(router.port(), path, host="a.example.com")).status == 404


@pytest.mark.parametrize("challenge", ["tlsChallenge", "httpChallenge"])
async def test_bad_names_beside_good_ones_are_told_and_never_ordered(
    pebble: Pebble, tmp_path: Path, challenge: str
) -> None:
    told: list[dict[str, Any]] = []

    async def hook(request: web.Request) -> web.Response:
        told.append(await request.json())
        return web.Response()

    pebble.tell("add-caa", host="barred.example.com", policies=[{"tag": "issue", "value": "other.test"}])
    pebble.tell("add-aaaa", host="wrong.example.com", addresses=["::1"])
    app = web.Application()
    app.router.add_post("/", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    good = [f"good{number}.example.com" for number in range(5)]
    bad = {"barred.example.com": "CAA", "gone.example.com": "NXDOMAIN", "wrong.example.com": "NOT_US"}
    async with EchoServer() as echo:
        hostile = routed(echo.url, *good, *bad)
        with dns_server(without("gone.example.com", pebble.dns)) as port:
            looked_at = {"resolvers": [f"127.0.0.1:{port}"], "issuer": "letsencrypt.org"}
            ports = {"httpPort": pebble.http_port, "tlsPort": pebble.tls_port}
            acme = {
                challenge: {"entryPoint": "web"} if challenge == "httpChallenge" else {},
                "preflight": {"enabled": True, **looked_at, **ports},
                "webhook": f"http://127.0.0.1:{runner.addresses[0][1]}/",
            }
            async with edge(tmp_path, pebble, hostile, **acme) as router:
                for host in good:
                    assert await certified(router, host) == {host}
                await until(lambda: len(told) >= len(bad), "a message for each bad name", 60)
                code, text = await command(router, "certificates")
                lines = text.splitlines()
                assert code == 1 and sum(line.startswith("FAILED") for line in lines) == len(bad), text
                assert sum(line.startswith("ISSUED") for line in lines) == len(good), text
                metrics = (await fetch(router.port("traefik"), "/metrics")).body.decode()
                for reason in bad.values():  # each once, or again where this took more than a minute
                    assert f'edgerouter_acme_failures_total{{resolver="le",code="{reason}"}} ' in metrics
                assert 'edgerouter_acme_certificates{resolver="le",state="ISSUED"} 5' in metrics
                pebble.tell("clear-caa", host="barred.example.com")
                code, text = await command(router, "certificates", "retry", "barred.example.com")
                assert code == 0 or orders(pebble) > len(good), text  # or its turn came by itself
                assert await certified(router, "barred.example.com") == {"barred.example.com"}
                assert (await command(router, "certificates", "retry", "barred.example.com"))[0] == 1
                issuer, _ = await asyncio.to_thread(served, router.port("websecure"), "gone.example.com")
                assert "Pebble" not in issuer
                assert {(one["names"][0], one["code"]) for one in told} == set(bad.items()), told
                assert all(one["error"] and one["fix"] and one["nextAttempt"] for one in told), told
    assert orders(pebble) == len(good) + 1, (pebble.folder / "pebble.log").read_text()[-2000:]
    await runner.cleanup()


async def test_an_end_in_mid_order_is_quick_and_the_next_start_goes_on_with_it(pebble: Pebble, tmp_path: Path) -> None:
    dynamic, path = routed("http://127.0.0.1:1", "a.example.com"), tmp_path / "acme.json"
    router = edge(tmp_path, pebble, dynamic, 1, httpChallenge={"entryPoint": "web", "delay": "300s"})
    async with router:
        await until(lambda: path.exists() and '"order": "https://' in path.read_text(), "an order")
        await asyncio.to_thread(router.stop)  # waits 30 s at most
    order = json.loads(path.read_text())["le/orders/a.example.com"]
    async with edge(tmp_path, pebble, dynamic, 1, httpChallenge={"entryPoint": "web"}) as again:
        assert await certified(again, "a.example.com") == {"a.example.com"}
    kept = json.loads(path.read_text())
    assert kept["le/certificates/a.example.com"]["key"] == order["key"] and orders(pebble) == 1
    assert not any(name.startswith(("locks/", "le/orders/")) for name in kept)


async def test_the_router_serves_at_once_when_the_authority_is_away(pebble: Pebble, tmp_path: Path) -> None:
    pebble.stop()
    dynamic = routed("http://127.0.0.1:1", "a.example.com")
    async with edge(tmp_path, pebble, dynamic, tlsChallenge={}) as router:
        issuer, _ = await asyncio.to_thread(served, router.port("websecure"), "a.example.com")
        assert "Pebble" not in issuer
        line = await until(lambda: router.find_log("UNREACHABLE"), "the reason")
        assert "next attempt" in line["message"]


def test_a_resolver_that_cannot_work_ends_the_start(tmp_path: Path) -> None:
    for acme, words in (
        ({}, "no challenge is given"),
        ({"httpChallenge": {"entryPoint": "nowhere"}}, "httpChallenge.entryPoint: there is no entry point 'nowhere'"),
        ({"dnsChallenge": {"provider": "nobody"}}, "there is no DNS provider 'nobody'"),
    ):
        static = {"certificatesResolvers": {"le": {"acme": {"storage": str(tmp_path / "acme.json"), **acme}}}}
        router = Router(tmp_path, static=static)
        with contextlib.suppress(AssertionError):
            router.start(ready=False)
        router.wait_exit(2)
        assert words in router.log_text() + router.stdout.read_text()
