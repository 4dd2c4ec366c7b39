"""Other daemons than the one at hand: over TLS with client certificates, and several in one router."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from live.docker_daemon import Boxes, Relay, Watcher, boxes, following  # noqa: F401
from live.tls_peers import Authority
from live.toolbox import Router, fetch, until

from edgerouter.clients.docker import ClientTLS
from edgerouter.providers.docker import DockerOptions


@pytest.fixture
def own(boxes: Boxes) -> Boxes:  # noqa: F811
    """This test's containers."""
    return boxes


def daemon_side(authority: Authority) -> ssl.SSLContext:
    """As ``dockerd --tlsverify`` listens: only for who has a certificate of the authority."""
    pair = authority.issue("127.0.0.1", file="daemon")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair["certFile"], pair["keyFile"])
    context.load_verify_locations(str(authority.ca_file))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_two_daemons_one_over_tls_and_one_that_goes_away(own: Boxes, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("router.test")
    own.start("near", {"edgerouter.http.routers.near.rule": "Host(`near.test`)"})
    own.start("far", {"edgerouter.http.routers.far.rule": "Host(`far.test`)", "zone": "far"})
    async with Relay(tmp_path, tls=daemon_side(authority)) as relay:
        tls = {"ca": str(authority.ca_file), "cert": pair["certFile"], "key": pair["keyFile"]}
        far = {"endpoint": f"tcp://127.0.0.1:{relay.port}", "tls": tls}
        daemons = {
            "east": {"constraints": f"{own.constraint} && !Label(`zone`, `far`)"},
            "west": {**far, "constraints": f"{own.constraint} && Label(`zone`, `far`)"},
        }
        static = {"providers": {"docker": daemons}, "api": {"insecure": True}}
        async with Router(tmp_path, static=static) as router:

            async def answers(host: str) -> int:
                return (await fetch(router.port("web"), "/", host=host)).status

            for host in ("near.test", "far.test"):
                while await answers(host) != 200:
                    await asyncio.sleep(0.02)
            seen = {line["provider"] for line in (await fetch(router.port("traefik"), "/api/workloads")).json()}
            assert seen == {"docker-east", "docker-west"}
            relay.refuse()
            await until(lambda: router.find_log("providers.docker.west") or router.find_log("docker-west"), "the loss")
            own.start("new", {"edgerouter.http.routers.new.rule": "Host(`new.test`)"})
            while await answers("new.test") != 200:
                await asyncio.sleep(0.02)
            assert await answers("far.test") == 200, "what a daemon said last goes on while it is away"
            lines = (await fetch(router.port("traefik"), "/api/providers")).json()
            states = {line["name"]: line["state"] for line in lines}
            assert (states["docker-east"], states["docker-west"]) == ("running", "stale"), states


async def test_a_daemon_that_wants_a_certificate_says_so(own: Boxes, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with Relay(tmp_path, tls=daemon_side(authority)) as relay:
        options = DockerOptions(endpoint=f"tcp://127.0.0.1:{relay.port}", tls=ClientTLS(ca=str(authority.ca_file)))
        async with following(Watcher(options)) as watcher:
            failure = await watcher.until_failure()
    said = str(failure).lower().replace("_", " ")
    assert "certificate required" in said or "name one: tls.cert and tls.key" in said, failure
